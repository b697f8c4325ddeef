"""`mmfm bench`: measurements of speed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from launch.cli.words import add_command, at_least


def add(commands: Any) -> None:
    """Add `bench` and its subcommands."""
    parser = add_command(commands, "bench", "measure speed")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    loader = add_command(
        actions,
        "loader",
        "samples per CPU-second of the stream, beside the pure decode limit and a usual webdataset pipeline",
        "  mmfm bench loader runs/first/shards",
    )
    loader.add_argument("shards", type=Path, help="folder of shards")
    loader.add_argument("--split", default="train", help="split to read (default: %(default)s)")
    for name, least, default, meaning in (
        ("image-size", 1, 224, "side of the decoded images in pixels"),
        ("batch", 1, 32, "samples per batch"),
        ("workers", 0, 2, "decoding threads; 0 decodes where the batch is asked for"),
        ("rounds", 1, 5, "rounds, in which the contestants take turns"),
        ("samples", 1, 1024, "samples per round"),
    ):
        text = f"{meaning} (default: %(default)s)"
        loader.add_argument(f"--{name}", type=at_least(least), default=default, help=text)
    loader.set_defaults(run=run_loader)


def run_loader(args: argparse.Namespace) -> int:
    """Measure the loader."""
    from mmfm.data.benchmark import loader_benchmark

    sizes = (args.image_size, args.batch, args.workers, args.rounds, args.samples)
    print(loader_benchmark(args.shards, args.split, *sizes))
    return 0
