"""`mmfm data ...`: mix, reshard and browse shards."""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch.cli.words import add_command, at_least
from mmfm.errors import ConfigError

if TYPE_CHECKING:
    from mmfm.data.manifest import Manifest

RESHARD = """\
  mmfm data reshard runs/first/shards --output runs/first/large --samples-per-shard 5000
  mmfm data reshard runs/first/shards --output runs/first/test --splits test
"""
MIX = """\
  mmfm data mix runs/ham/shards runs/pad/shards --output runs/both --on-clash first
  mmfm data mix ham=runs/ham/shards pad=runs/pad/shards --output runs/both --weights ham=2,pad=1
  mmfm data mix ham=runs/ham/shards pad=runs/pad/shards --output runs/both --take ham=1000
  mmfm data mix runs/ham/shards --output runs/two --where label=MEL,NEV sex=female --notes M,L1

Images are copied as they are. Near-duplicates across the folders are not looked for: `mmfm data leaks` on
the new folder finds them, `mmfm data shard` over all sources at once keeps them on one side.
"""
BROWSE = """\
  mmfm data browse runs/first/shards --open
  mmfm data browse runs/first/shards --port 8123

The page shows what is in the shards and nothing else, to this machine alone unless --host says otherwise.
Ctrl-C ends it.
"""
SHARD_SIZE = 500


def add(actions: Any) -> None:
    """Add the subcommands to those of `mmfm data`."""
    reshard = add_command(
        actions, "reshard", "copy shards into shards of another size, order or split", RESHARD
    )
    reshard.add_argument("folder", type=Path, help="folder of shards")
    _add_output(reshard)
    reshard.add_argument(
        "--splits",
        type=_words,
        default=["train", "val", "test"],
        help="splits to copy, with commas (default: all)",
    )
    reshard.set_defaults(run=run_reshard)
    _add_mix(actions)
    browse = add_command(actions, "browse", "look through shards in a local web page", BROWSE)
    browse.add_argument("folder", type=Path, help="folder of shards")
    browse.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    browse.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name to answer to, such as a proxy's; may be repeated. Names of this machine are "
        "known, and so are numeric addresses with a --host that others reach",
    )
    browse.add_argument("--port", type=at_least(0), default=0, help="0 takes a free one (default)")
    browse.add_argument("--open", action="store_true", help="open it in the browser")
    browse.set_defaults(run=run_browse)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder to write")
    parser.add_argument(
        "--samples-per-shard",
        type=at_least(1),
        default=SHARD_SIZE,
        metavar="N",
        help="samples in each tar (default: %(default)s)",
    )
    parser.add_argument(
        "--shuffle-seed",
        type=at_least(0),
        default=0,
        metavar="N",
        help="order of the samples; 0 is that of `mmfm data shard` (default)",
    )
    parser.add_argument(
        "--drop-damaged",
        action="store_true",
        help="read all images first and leave out samples with damaged bytes, not stop at them",
    )


def _add_mix(actions: Any) -> None:
    mix = add_command(actions, "mix", "copy samples of several folders of shards into one", MIX)
    mix.add_argument("folders", nargs="+", metavar="[NAME=]SHARDS", help="folders of shards")
    _add_output(mix)
    shares = mix.add_mutually_exclusive_group()
    shares.add_argument(
        "--weights",
        type=_pairs(_weight),
        default={},
        metavar="NAME=W,...",
        help="as many samples as there can be in these proportions",
    )
    shares.add_argument(
        "--take",
        type=_pairs(at_least(0)),
        default={},
        metavar="NAME=N,...",
        help="at most so many samples of a folder",
    )
    mix.add_argument(
        "--thin",
        type=_words,
        default=["train"],
        metavar="SPLITS",
        help="splits that --weights and --take thin out, each on its own (default: train)",
    )
    mix.add_argument("--seed", type=at_least(0), default=0, help="of what they choose (default: %(default)s)")
    mix.add_argument(
        "--where",
        nargs="+",
        action="extend",
        default=[],
        metavar="FIELD=VALUE,...",
        help="keep samples with one of these values: label, dataset, domain, subclass, matched_subclass, "
        "malignancy, sex, site, skin_tone, confirmation, license; `unknown` is a value too",
    )
    mix.add_argument(
        "--notes", type=_words, metavar="NAME,...", help="notes to keep, such as M,L1 (default: all)"
    )
    mix.add_argument(
        "--on-clash",
        choices=("error", "first", "prefix"),
        default="error",
        help="samples with equal keys: stop, keep that of the first folder, or put the name of the later "
        "folder before the datasets of all its samples; lesions and patients keep their ids "
        "(default: %(default)s)",
    )
    mix.add_argument(
        "--drop-conflicts",
        action="store_true",
        help="of lesions, patients and pictures in several splits keep the most held-out samples, not stop; "
        "ids with a letter are compared over all datasets, bare numbers within one",
    )
    mix.set_defaults(run=run_mix)


def run_reshard(args: argparse.Namespace) -> int:
    """Copy shards."""
    from data_tools.shards.reshard import reshard

    manifest = reshard(
        args.folder,
        args.output,
        args.samples_per_shard,
        args.splits,
        args.shuffle_seed,
        drop_damaged=args.drop_damaged,
    )
    _print_made(args.output, manifest)
    return 0


def run_mix(args: argparse.Namespace) -> int:
    """Mix shards."""
    from data_tools.shards.mix import Wanted, mix

    wanted = Wanted(
        where=_where(args.where),
        notes=tuple(args.notes) if args.notes is not None else None,
        weights=args.weights,
        take=args.take,
        thinned=args.thin,
        on_clash=args.on_clash,
        drop_conflicts=args.drop_conflicts,
        drop_damaged=args.drop_damaged,
        seed=args.seed,
    )
    manifest = mix(args.folders, args.output, wanted, args.samples_per_shard, args.shuffle_seed)
    _print_made(args.output, manifest)
    return 0


def run_browse(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    from data_tools.browse import browse

    browse(args.folder, args.host, args.port, args.open, args.allow_host)
    return 0


def _print_made(output: Path, manifest: Manifest) -> None:
    splits = ", ".join(f"{name} {info.samples}" for name, info in manifest.splits.items())
    shards = sum(len(info.shards) for info in manifest.splits.values())
    print(f"{output}: {splits} samples in {shards} shards")
    for origin in manifest.origins:
        reasons = ", ".join(f"{reason} {samples}" for reason, samples in origin["left_out"].items())
        left_out = f"; left out: {reasons}" if reasons else ""
        print(f"  {origin['name']}: {origin['taken']} of {origin['samples']}{left_out}")


def _words(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise argparse.ArgumentTypeError("names at least one")
    return words


def _pairs(value_of: Any) -> Any:
    """An option's type: NAME=VALUE pairs with commas."""

    def pairs(text: str) -> dict[str, Any]:
        found = {}
        for word in _words(text):
            name, sign, value = word.partition("=")
            if not sign or not name:
                raise argparse.ArgumentTypeError(f"{word!r} is not NAME=VALUE")
            if name in found:
                raise argparse.ArgumentTypeError(f"{name} is there twice")
            found[name] = value_of(value)
        return found

    return pairs


def _weight(word: str) -> Fraction:
    try:
        weight = Fraction(word)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{word!r} is no number") from None
    if weight <= 0:
        raise argparse.ArgumentTypeError(f"{word} must be above 0")
    return weight


def _where(words: list[str]) -> dict[str, list[str]]:
    """Values to keep by field; those of a field that is named twice are put together."""
    where: dict[str, list[str]] = {}
    for word in words:
        field, sign, listed = word.partition("=")
        values = [value.strip() for value in listed.split(",")]
        if not sign or not all(values):
            raise ConfigError(f"--where {word}: it takes FIELD=VALUE, such as label=MEL,NEV")
        where.setdefault(field, []).extend(values)
    return where
