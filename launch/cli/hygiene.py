"""`mmfm data ...`: duplicates, leakage, identifying words, preparation."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch.cli.words import add_command, add_recipe, at_least

if TYPE_CHECKING:
    from collections.abc import Iterator

    from data_tools.deid.reading import Text

PREPARE = """\
  mmfm data prepare configs/data/derm.yaml root=DATA prepare.hair=true prepare.border=true
  mmfm data prepare configs/data/derm.yaml root=DATA --changed --count 30 --output hair.png prepare.hair=true

Steps are those that the recipe switches on under `prepare`; where it has none, all are shown.
"""
DUPLICATES = """\
  mmfm data duplicates configs/data/derm.yaml root=DATA --output pairs.csv
  mmfm data duplicates configs/data/derm.yaml root=DATA dedup.turned=true

The bounds are those of the recipe under `dedup`, which `mmfm data shard` keeps on one side of the split.
"""
LEAKS = """\
  mmfm data leaks runs/first/shards
  mmfm data leaks runs/ham/shards runs/pad/shards --output leaks.html

Looked for are lesions, patients, image ids and near-duplicate pictures on both sides, which count as a leak
where one side is trained on and the other is not, and notes of the same words, which are told alone.
"""
DEID = """\
  mmfm data deid texts/                                      every .json, .jsonl, .csv, .tsv, .txt, .md below
  mmfm data deid notes.csv --fields description history --output hits.csv
  mmfm data deid configs/data/table_example.yaml root=DATA   the descriptions of a recipe's records

Looked for are names, dates, ages over 89, telephone numbers, e-mail, pages, handles, street addresses, record
numbers, national ids and accounts, in English, Spanish and Chinese. What is found is counted, and not printed
unless --show asks for it. A name that stands alone, without title or label, may be missed: read a sample.
"""
LEAK_DISTANCE, LEAK_DISTANCE_ACROSS = 8, 16  # bits, below those of a recipe: packing changes images a little


def add(actions: Any) -> None:
    """Add the subcommands to those of `mmfm data`."""
    prepare = add_command(
        actions, "prepare", "show images before and after the preparation that a recipe asks for", PREPARE
    )
    add_recipe(prepare, "data shard")
    prepare.add_argument(
        "--count", type=at_least(1), default=12, help="images to show (default: %(default)s)"
    )
    prepare.add_argument("--changed", action="store_true", help="show only images that some step changes")
    prepare.add_argument(
        "--output",
        type=Path,
        default=Path("before_after.png"),
        metavar="FILE",
        help="picture to write: .png or .jpg (default: %(default)s)",
    )
    prepare.set_defaults(run=run_prepare)
    duplicates = add_command(
        actions, "duplicates", "list pairs of a recipe's images that show the same picture", DUPLICATES
    )
    add_recipe(duplicates, "data shard")
    duplicates.add_argument("--output", type=Path, metavar="FILE", help="CSV file of all pairs to write")
    duplicates.set_defaults(run=run_duplicates)
    _add_leaks(actions)
    _add_deid(actions)


def _add_leaks(actions: Any) -> None:
    parser = add_command(
        actions,
        "leaks",
        "look for what the splits of shards share; exit code 1 if training data leaks",
        LEAKS,
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="folder of shards")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="file of all that is shared: .csv, or .html with pictures"
    )
    parser.add_argument(
        "--max-distance",
        type=at_least(0),
        default=LEAK_DISTANCE,
        metavar="BITS",
        help="near-duplicates of one dataset: most bits of 256 that differ (default: %(default)s)",
    )
    parser.add_argument(
        "--max-distance-across",
        type=at_least(0),
        default=LEAK_DISTANCE_ACROSS,
        metavar="BITS",
        help="the same for two datasets (default: %(default)s)",
    )
    parser.add_argument("--turned", action="store_true", help="find mirrored and turned copies as well")
    parser.add_argument("--no-images", action="store_true", help="compare ids and notes alone: in seconds")
    parser.set_defaults(run=run_leaks)


def _add_deid(actions: Any) -> None:
    parser = add_command(
        actions, "deid", "look for what tells who somebody is in texts; exit code 1 if there is any", DEID
    )
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="file or folder of texts, or a data recipe (.yaml)"
    )
    parser.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="over the recipe")
    parser.add_argument(
        "--fields", nargs="+", default=[], metavar="NAME", help="columns or JSON names to read (default: all)"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="CSV file of all places to write")
    parser.add_argument("--show", action="store_true", help="show what was found, and write it to the file")
    parser.add_argument(
        "--limit", type=at_least(0), default=20, help="with --show: most of each kind (default: %(default)s)"
    )
    parser.set_defaults(run=run_deid)


def _recipe(args: argparse.Namespace) -> Any:
    """The config of a data recipe whose raw data must be there; None after printing it."""
    from launch.recipes.commands import load_config
    from mmfm.config import to_yaml
    from mmfm.config.load import require

    config = load_config("data shard", args.recipe, args.overrides)
    if args.print_config:
        print(to_yaml(config), end="")
        return None
    require(config, "root")
    return config


def run_prepare(args: argparse.Namespace) -> int:
    """Draw the contact sheet."""
    from data_tools.images.sheet import make_sheet
    from data_tools.shards.inputs import read_samples
    from mmfm.errors import UserError

    if args.output.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UserError(f"--output {args.output}: a picture's name ends in .png or .jpg")
    config = _recipe(args)
    if config is None:
        return 0
    samples = read_samples(config).samples
    images = [(sample.record.key, sample.image) for sample in samples]
    sheet = make_sheet(images, config.prepare, args.count, args.changed)
    if not sheet.strips:
        print(f"none of {sheet.seen} images is changed by {', '.join(sheet.steps)}")
        return 0
    args.output.parent.mkdir(parents=True, exist_ok=True)
    sheet.draw().save(args.output)
    for step in sheet.steps:
        print(f"{step}: changed {sheet.changed[step]} of {sheet.seen} images")
    print(f"{args.output}: {len(sheet.strips)} images")
    return 0


def run_duplicates(args: argparse.Namespace) -> int:
    """List near-duplicates."""
    config = _recipe(args)
    if config is None:
        return 0
    from data_tools.dedup.listing import list_duplicates
    from data_tools.shards.inputs import read_samples

    found = list_duplicates(read_samples(config).samples, config.dedup, config.prepare.max_pixels)
    for (a, b), count in sorted(found.between.items()):
        print(f"{a if a == b else f'{a} and {b}'}: {count} pairs")
    print(
        f"{len(found.pairs)} pairs among {len(found.samples)} images, {len(found.unrelated)} of them of "
        f"different lesions and patients; {found.seconds:.1f} s"
    )
    if args.output:
        found.write(args.output)
        print(f"{args.output}: all pairs")
    return 0


def run_leaks(args: argparse.Namespace) -> int:
    """Compare splits."""
    from data_tools.config import DedupConfig
    from data_tools.leaks import find_leaks, print_findings, read_sides, write_findings
    from data_tools.leaks.report import check_output

    if args.output:
        check_output(args.output)
    cfg = DedupConfig(
        enabled=not args.no_images,
        max_distance=args.max_distance,
        max_distance_across=args.max_distance_across,
        turned=args.turned,
    )
    sides = read_sides(args.folders)
    findings = find_leaks(sides, cfg)
    print_findings(sides, findings)
    if args.output:
        write_findings(sides, findings, args.output)
        print(f"{args.output}: all that is shared")
    leaks = sum(found.leaks for found in findings)
    if leaks:
        print(f"mmfm: training data leaks in {leaks} ways", file=sys.stderr)
    return 1 if leaks else 0


def run_deid(args: argparse.Namespace) -> int:
    """Check texts."""
    from data_tools.deid.reading import read_texts, text_files
    from data_tools.deid.report import Check
    from mmfm.progress import track

    words = [*args.paths, *args.overrides]
    recipes = [word for word in words if word.endswith((".yaml", ".yml"))]
    if recipes:
        check = Check.of(_descriptions(recipes, [word for word in words if word not in recipes]))
    else:
        texts = (
            text
            for file in text_files([Path(word) for word in words])
            for text in read_texts(file, args.fields)
        )
        check = Check.of(track(texts, "reading texts"))
    check.print(args.show, args.limit)
    if args.output:
        check.write(args.output, args.show)
        print(f"{args.output}: all places{'' if args.show else ', masked'}")
    return 1 if check.hits else 0


def _descriptions(recipes: list[str], overrides: list[str]) -> Iterator[Text]:
    """The free texts of the records of a recipe."""
    from data_tools.deid.reading import Text
    from data_tools.shards.inputs import read_samples
    from launch.recipes.commands import load_config
    from mmfm.config.load import require
    from mmfm.errors import ConfigError

    stray = [word for word in overrides if "=" not in word]
    if len(recipes) > 1 or stray:
        raise ConfigError(f"{(recipes[1:] + stray)[0]}: a recipe is checked alone, with key=value after it")
    config = load_config("data shard", recipes[0], overrides)
    require(config, "root")
    for sample in read_samples(config).samples:
        record = sample.record
        yield Text(record.dataset, sample.row, "description", record.description)
        for name, value in record.extras.items():
            if isinstance(value, str):
                yield Text(record.dataset, sample.row, f"extras.{name}", value)
