"""The network of a test cluster: each node has namespaces with its own address and host name, on a bridge."""

from __future__ import annotations

import subprocess
from pathlib import Path

from slurm.testbed.layout import RUN, Layout, Node

BRIDGE = "cluster"
INTERFACE = "eth0"  # a node's own name for its link; outside, the link has the node's name
SECONDS = 30
NETWORKS = RUN / "netns"  # where `ip netns` keeps them
HOST_NAMES = RUN / "uts"


def lay_network(layout: Layout) -> None:
    """Make the bridge and the nodes' namespaces. Runs inside the sandbox, whose network is empty before."""
    HOST_NAMES.mkdir()
    _ip(
        "link set lo up",
        f"link add {BRIDGE} type bridge",
        f"addr add {layout.head.address}/24 dev {BRIDGE}",
        f"link set {BRIDGE} up",
        *(f"netns add {node.name}" for node in layout.workers),
    )
    for node in layout.workers:
        _plug_in(node)


def _plug_in(node: Node) -> None:
    _ip(
        f"link add {node.name} type veth peer name {INTERFACE} netns {node.name}",
        f"link set {node.name} master {BRIDGE} up",
    )
    inside = ("link set lo up", f"addr add {node.address}/24 dev {INTERFACE}", f"link set {INTERFACE} up")
    _ip(*inside, namespace=node.name)
    names = HOST_NAMES / node.name
    names.touch()
    subprocess.run(["unshare", f"--uts={names}", "hostname", node.name], check=True, timeout=SECONDS)


def on_node(node: str) -> list[str]:
    """The words that, before a command, run it on a node: with its addresses and host name."""
    return ["nsenter", f"--net={NETWORKS / node}", f"--uts={HOST_NAMES / node}"]


def mount_hosts(path: Path) -> None:
    """Have the sandbox see `path` as /etc/hosts."""
    subprocess.run(["mount", "--bind", str(path), "/etc/hosts"], check=True, timeout=SECONDS)


def _ip(*commands: str, namespace: str = "") -> None:
    """Run `ip` commands in one go, in a network namespace if one is named."""
    where = ["-n", namespace] if namespace else []
    subprocess.run(
        ["ip", *where, "-batch", "-"],
        input="\n".join(commands) + "\n",
        text=True,
        check=True,
        timeout=SECONDS,
        stdout=subprocess.DEVNULL,
    )
