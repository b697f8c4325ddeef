"""The configuration files of a test cluster, filled in from `templates/`."""

from __future__ import annotations

import getpass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from slurm.testbed.layout import RUN, Layout

TEMPLATES = Path(__file__).parent / "templates"
GPUS = ("/dev/null", "/dev/zero")  # devices that stand for a node's GPUs


def write_files(layout: Layout) -> None:
    """Write every template into the cluster's `etc`. slurmdbd insists on a file that only its user reads."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # no markup here
    )
    values = {
        "head": layout.head,
        "workers": layout.workers,
        "cpus": layout.cpus,
        "memory_mb": layout.memory_mb,
        "accounting": layout.accounting,
        "gpus": GPUS,
        "user": getpass.getuser(),
        "run": RUN,
        "etc": layout.etc,
        "log": layout.log("x").parent,
    }
    for name in environment.list_templates():
        path = layout.etc / name
        path.touch(mode=0o600)
        path.write_text(environment.get_template(name).render(values))
