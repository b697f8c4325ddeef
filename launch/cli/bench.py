"""`mmfm bench`: measurements of speed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from launch.cli.words import OVERRIDES_HELP, add_command, at_least
from mmfm.errors import UserError

SCALING = """\
  mmfm bench scaling configs/pretrain/derm_vits16.yaml data.shards=SHARDS cluster=slurm nodes=1,2,4
  mmfm bench scaling configs/pretrain/demo.yaml data.shards=SHARDS processes=1,2 train.steps=60

One run for each size, in runs/scaling-DATE (run.root, run.name), of 100 steps unless train.steps says more.
Halfway each is told to save and leave, and starts again. The same command goes on with what is there.
Results: a dated .json and .svg beside the runs. The run folders may be deleted afterwards.
"""

NOTES = """\
  mmfm bench notes
  mmfm bench notes --server http://localhost:8000/v1 --model medgemma --concurrency 32 --images

Without --server, `transformers serve` over a tiny model of random weights is started here and ended.
"""


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
    _add_notes(actions)
    _add_scaling(actions)


def _add_notes(actions: Any) -> None:
    notes = add_command(
        actions,
        "notes",
        "requests per second of the backend that writes notes, beside one request at a time",
        NOTES,
    )
    notes.add_argument(
        "--server", metavar="URL", help="base URL of a server, such as http://localhost:8000/v1"
    )
    notes.add_argument("--model", metavar="NAME", default="", help="name that the server gives its model")
    notes.add_argument(
        "--key-variable",
        metavar="NAME",
        default="",
        help="environment variable that holds the key; without it none is sent",
    )
    for name, least, default, meaning in (
        ("concurrency", 2, 16, "requests at once"),
        ("rounds", 1, 3, "rounds, in which the contestants take turns"),
        ("requests", 1, 96, "requests per round; one at a time, a quarter of them"),
        ("max-tokens", 1, 64, "longest answer in tokens"),
    ):
        text = f"{meaning} (default: %(default)s)"
        notes.add_argument(f"--{name}", type=at_least(least), default=default, help=text)
    notes.add_argument("--images", action="store_true", help="show a drawn picture with each request")
    notes.set_defaults(run=run_notes)


def _add_scaling(actions: Any) -> None:
    scaling = add_command(
        actions,
        "scaling",
        "speed of pretraining over nodes or processes, and the time that starting and saving take",
        SCALING,
    )
    scaling.add_argument("recipe", metavar="RECIPE", help="YAML file of `mmfm pretrain`")
    words = "nodes=1,2,4 or processes=1,2, and overrides: " + OVERRIDES_HELP
    scaling.add_argument("overrides", metavar="key=value", nargs="*", default=[], help=words)
    scaling.add_argument(
        "--strong",
        action="store_true",
        help="strong scaling: the global batch is the same for all sizes (default: weak, the batch of each "
        "process is; the recipe's train.global_batch is that of the smallest size)",
    )
    scaling.add_argument(
        "--together",
        action="store_true",
        help="submit all sizes at once: less waiting in the queue, but they may disturb each other",
    )
    scaling.add_argument(
        "--dry-run", action="store_true", help="check all sizes and print what would be submitted"
    )
    scaling.set_defaults(run=run_scaling)


def run_loader(args: argparse.Namespace) -> int:
    """Measure the loader."""
    from mmfm.data.benchmark import loader_benchmark

    sizes = (args.image_size, args.batch, args.workers, args.rounds, args.samples)
    print(loader_benchmark(args.shards, args.split, *sizes))
    return 0


def run_notes(args: argparse.Namespace) -> int:
    """Measure a server, or one of its own."""
    from data_tools.config import ServerConfig
    from data_tools.notes.benchmark import notes_benchmark

    if bool(args.server) != bool(args.model):
        raise UserError("--server and --model go together: the server's URL, and the name of a model there")
    server = ServerConfig(url=args.server, key_variable=args.key_variable) if args.server else None
    sizes = (args.concurrency, args.rounds, args.requests, args.max_tokens)
    print(notes_benchmark(server, args.model, *sizes, images=args.images))
    return 0


def run_scaling(args: argparse.Namespace) -> int:
    """Run the sizes, collect what they tell, and say where it is. 1 if a size has no speed."""
    from launch.run import dry_run
    from launch.scaling.figure import draw
    from launch.scaling.measures import collect
    from launch.scaling.runs import Plan, run_plan
    from mmfm.files import write_atomically

    plan = Plan.of(args.recipe, args.overrides, "strong" if args.strong else "weak")
    if args.dry_run:
        for size, _, config in plan.trials:
            print(f"# {size}: global batch {size.global_batch}\n{dry_run('pretrain', config)}")
        return 0
    run_plan(plan, args.together)
    result = collect(plan.recipe, plan.mode, plan.folders)
    path = plan.folder / f"scaling-{result.date.split()[0]}.json"
    result.write(path)
    write_atomically(path.with_suffix(".svg"), draw(result))
    print(f"{result}\n{path}\n{path.with_suffix('.svg')}")
    return 0 if all(run.samples_per_s for run in result.runs) else 1
