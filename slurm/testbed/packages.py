"""The Debian packages that a test cluster needs, and their installation where that is allowed.

`python -m slurm.testbed.packages` installs what is missing if it may (root, or sudo without a password), and
says so if it may not; `make test` calls it. It ends well in either case.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmfm.errors import UserError
from mmfm.progress import say

BASE = {
    "munged": "munge",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "ip": "iproute2",
    "unshare": "util-linux",
}
ACCOUNTING = {"slurmdbd": "slurmdbd", "mariadbd": "mariadb-server"}
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"  # daemons lie there; users' PATHs often leave it out
SERVICES = ("munge", "mariadb", "slurmdbd", "slurmctld", "slurmd")
POLICY = Path("/usr/sbin/policy-rc.d")
APT_SECONDS = 900


def search_path() -> str:
    """PATH with the folders of daemons."""
    return f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PATH}"


def missing_packages(accounting: bool = True) -> list[str]:
    """Debian packages whose program is not there."""
    programs = {**BASE, **(ACCOUNTING if accounting else {})}
    return sorted(
        package for program, package in programs.items() if not shutil.which(program, path=search_path())
    )


def require_packages(accounting: bool = True) -> None:
    """Raise `UserError` that says what to install."""
    missing = missing_packages(accounting)
    if missing:
        raise UserError(
            f"a test cluster needs Debian packages that are not installed: {', '.join(missing)}. Run: "
            f"apt-get install -y --no-install-recommends {' '.join(missing)}"
        )


def install() -> None:
    """Install what is missing, without leaving services behind. Says why where that cannot be."""
    missing = missing_packages()
    if not missing:
        return
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get") is None or not _may_install(root):
        say(f"the Slurm tests will be skipped: {', '.join(missing)} not installed, and no right to install")
        return
    say(f"installing for the Slurm tests: {' '.join(missing)}")
    with _nothing_starts(root, missing):
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
            command = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", *arguments]
            done = subprocess.run(command, timeout=APT_SECONDS, check=False, capture_output=True, text=True)
            if done.returncode:
                last = done.stderr.strip().splitlines()[-1:]
                say(f"the Slurm tests will be skipped: apt-get {arguments[0]} failed: {' '.join(last)}")
                return


def _may_install(root: list[str]) -> bool:
    if not root:
        return True
    if shutil.which("sudo") is None:
        return False
    return subprocess.run([*root, "true"], capture_output=True, timeout=30, check=False).returncode == 0


@contextmanager
def _nothing_starts(root: list[str], packages: list[str]) -> Iterator[None]:
    """Keep Debian from starting the new packages' services now, and at the next boot.

    The test cluster starts its own daemons; a desktop should not come away with a database server.
    """
    ours = not POLICY.exists()
    if ours:
        script = "printf '#!/bin/sh\\nexit 101\\n' > $0 && chmod 755 $0"
        subprocess.run([*root, "sh", "-c", script, str(POLICY)], check=True, timeout=30)
    try:
        yield
    finally:
        if ours:
            subprocess.run([*root, "rm", "-f", str(POLICY)], check=True, timeout=30)
        new = [name for name in SERVICES if any(package.startswith(name) for package in packages)]
        if new and Path("/run/systemd/system").is_dir():
            subprocess.run([*root, "systemctl", "disable", "--quiet", *new], check=False, timeout=60)


if __name__ == "__main__":
    install()
