"""`mmfm data ...`: from raw images to shards, and what is in them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from launch.cli import fetch, hygiene, rework
from launch.cli.words import add_command, add_recipe, at_least

SHARD = """\
  mmfm data shard configs/data/derm.yaml root=DATA output=runs/first/shards
  mmfm data shard configs/data/derm.yaml root=DATA output=OUT split.test=0.3 pack.short_side=256
  mmfm data shard configs/data/derm.yaml root=DATA output=OUT cluster=slurm pack.tasks=8

Run again after an interruption, it goes on; finished, it returns at once.
"""

NOT_PACKED = {"missing": "not written", "left_out": "of samples left out"}


def add(commands: Any) -> None:
    """Add `data` and its subcommands."""
    parser = add_command(commands, "data", "write, check and look into shards; draw the demo set")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    shard = add_command(actions, "shard", "write shards from images and metadata", SHARD)
    add_recipe(shard, "data shard")
    shard.set_defaults(run=run_shard)
    verify = add_command(
        actions, "verify", "check shards against their manifest; exit code 1 if anything is wrong"
    )
    verify.add_argument("folder", type=Path, help="folder of shards")
    verify.add_argument("--decode", action="store_true", help="decode every image as well")
    verify.set_defaults(run=run_verify)
    stats = add_command(
        actions, "stats", "count samples, classes, metadata, licences, notes and their audit, images"
    )
    stats.add_argument("folder", type=Path, help="folder of shards")
    stats.add_argument("--json", action="store_true", help="print all counts as JSON")
    stats.set_defaults(run=run_stats)
    _add_ls(actions)
    demo = add_command(
        actions, "demo", "draw the demo set: images and metadata.csv", "  mmfm data demo runs/demo/raw"
    )
    demo.add_argument("folder", type=Path, help="folder to write")
    demo.add_argument(
        "--images", type=at_least(1), default=2400, help="images to draw (default: %(default)s)"
    )
    demo.add_argument(
        "--seed", type=at_least(0), default=0, help="seed of the drawing (default: %(default)s)"
    )
    demo.set_defaults(run=run_demo)
    for module in (fetch, hygiene, rework):
        module.add(actions)


def _add_ls(actions: Any) -> None:
    examples = "  mmfm data ls runs/first/shards --split test --class MEL --limit 5"
    parser = add_command(actions, "ls", "list samples with their notes", examples)
    parser.add_argument("folder", type=Path, help="folder of shards")
    parser.add_argument("--split", default="", help="only of this split")
    parser.add_argument("--dataset", default="", help="only of this dataset")
    parser.add_argument(
        "--class", dest="label", metavar="CLASS", default="", help="only of this class: code or name"
    )
    parser.add_argument(
        "--limit", type=at_least(0), default=20, help="most samples; 0 lists all (default: %(default)s)"
    )
    parser.set_defaults(run=run_ls)


def run_shard(args: argparse.Namespace) -> int:
    """Write shards."""
    from launch.recipes.commands import check_required, load_config
    from mmfm.config import to_yaml

    config = load_config("data shard", args.recipe, args.overrides)
    if args.print_config:
        print(to_yaml(config), end="")
        return 0
    check_required("data shard", config)
    if config.cluster.kind == "slurm":
        from launch.pipelines.sharding import JOBS_SUFFIX, submit

        job = submit(config)
        print(f"submitted; Slurm job {job} ends it. Logs: {config.output}{JOBS_SUFFIX}/logs")
        return 0
    from data_tools.shards.build import shard
    from mmfm.data.manifest import REJECTS_NAME

    manifest = shard(config)
    splits = ", ".join(f"{name} {info.samples}" for name, info in manifest.splits.items())
    rejected = sum(source["rejected"] for source in manifest.sources)
    listed = f", listed in {config.output}/{REJECTS_NAME}" if rejected else ""
    print(f"{config.output}: {splits} samples; {rejected} rows rejected{listed}")
    _print_notes(manifest.audit.get("notes", {}), config.output)
    return 0


def _print_notes(notes: dict[str, dict[str, Any]], output: str) -> None:
    """A line for each note name: how many are packed, and why others are not."""
    from data_tools.shards.plan import REFUSED_NAME

    for name, counts in notes.items():
        parts = [f"{counts['packed']} packed"]
        if counts["refused"]:
            reasons = ", ".join(f"{kind} {times}" for kind, times in counts["reasons"].items())
            parts.append(f"{counts['refused']} refused ({reasons})")
        parts += [f"{counts[key]} {words}" for key, words in NOT_PACKED.items() if counts[key]]
        print(f"notes {name}: {', '.join(parts)}")
    if any(counts["refused"] for counts in notes.values()):
        print(f"refused notes are kept, with reasons, in {output}/{REFUSED_NAME}")


def run_verify(args: argparse.Namespace) -> int:
    """Check shards; list what is wrong."""
    from data_tools.shards.verify import verify

    problems = verify(args.folder, decode=args.decode)
    for problem in problems:
        print(problem)
    if problems:
        print(f"mmfm: {args.folder}: {len(problems)} problems", file=sys.stderr)
        return 1
    print(f"{args.folder}: all shards are as the manifest says")
    return 0


def run_stats(args: argparse.Namespace) -> int:
    """Print counts."""
    from data_tools.shards.tables import print_stats

    print_stats(args.folder, as_json=args.json)
    return 0


def run_ls(args: argparse.Namespace) -> int:
    """List samples."""
    from data_tools.shards.ls import print_samples

    print_samples(args.folder, args.split, args.dataset, args.label, args.limit)
    return 0


def run_demo(args: argparse.Namespace) -> int:
    """Draw the demo set."""
    from data_tools.demo import draw_demo_set

    draw_demo_set(args.folder, args.images, args.seed)
    return 0
