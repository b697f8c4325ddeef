"""`mmfm data ...`: data sets from where they are published, and the corrections of their labels."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from launch.cli.words import add_command
from mmfm.errors import USER_ERROR_EXIT, ConfigError, DataError

FETCH = """\
  mmfm data fetch --list
  mmfm data fetch ham10000 milk10k pad_ufes20 --output DATA

What a licence allows is downloaded, resumed where it stopped, checked and unpacked; for the rest it is said
what a person must do (then the exit code is 2). Run again, it downloads nothing that is there.
"""
PATCHES = """\
  mmfm data patches
  mmfm data patches corrections.yaml

A recipe names its files in `patches`; `builtin` is the file that comes with mmfm, `patches=[]` takes none.
"""


def add(actions: Any) -> None:
    """Add the subcommands to those of `mmfm data`."""
    fetch = add_command(
        actions, "fetch", "download data sets, or say what a person must do to have them", FETCH
    )
    fetch.add_argument("names", metavar="NAME", nargs="*", help="data sets; --list shows them")
    fetch.add_argument("--output", type=Path, help="folder that gets a folder for each data set")
    fetch.add_argument("--list", action="store_true", help="list all data sets with licence and size")
    fetch.add_argument("--keep", action="store_true", help="keep archives once they are unpacked")
    fetch.set_defaults(run=run_fetch)
    patches = add_command(actions, "patches", "show which known label errors are corrected, and why", PATCHES)
    patches.add_argument("files", metavar="FILE", nargs="*", help="patch files instead of the built-in one")
    patches.set_defaults(run=run_patches)


def run_fetch(args: argparse.Namespace) -> int:
    """Fetch data sets, or list them."""
    from data_tools.fetch import catalogue, entries_of, fetch

    if args.list:
        for entry in catalogue().values():
            how = "a person must ask for it" if entry.how == "person" else "downloaded"
            how += ", but for what a person must ask for" if entry.steps and entry.how != "person" else ""
            print(f"{entry.name}: {entry.title}")
            print(f"  {entry.license}; {entry.size}; {how}; {entry.page}")
        return 0
    if not args.names or args.output is None:
        raise ConfigError(
            "data fetch needs names of data sets and --output; `mmfm data fetch --list` has the names"
        )
    left: list[str] = []
    lines: list[str] = []
    failed: list[str] = []
    for entry in entries_of(args.names):
        try:
            steps = fetch(entry, args.output, keep=args.keep)
        except DataError as error:  # the other data sets may come all the same
            failed.append(str(error))
            continue
        left += steps
        if not steps:
            print(f"{args.output / entry.name}: complete")
            lines += [entry.recipe()] if entry.recipe() else []
    if lines:
        print(f"\nin a recipe with root={args.output}:\nsources:")
        print("\n".join(f"  {line}" for line in lines))
    if left:
        print("\nleft for a person to do:\n" + "\n".join(left))
    if failed:
        raise DataError("\nmmfm: error: ".join(failed))
    return USER_ERROR_EXIT if left else 0


def run_patches(args: argparse.Namespace) -> int:
    """Print patches with their reasons."""
    from textwrap import fill

    from data_tools.patches import BUILTIN, load_patches
    from mmfm.taxonomy import CODES, UNKNOWN_LABEL

    for patch in load_patches(args.files or [BUILTIN]):
        label = patch.values.get("label")
        code = {} if label is None else {"label": "unlabelled" if label == UNKNOWN_LABEL else CODES[label]}
        match = {**patch.match, **({"ids": f"{len(patch.ids)} of them"} if patch.ids else {})}
        expected = ", ".join(f"{count} in {dataset}" for dataset, count in patch.expected.items())
        print(f"{patch.name} (version {patch.version}), {', '.join(patch.datasets)}")
        print("  rows:   " + ", ".join(f"{name} is {value}" for name, value in match.items()))
        print("  set:    " + ", ".join(f"{k}: {v or 'unknown'}" for k, v in {**patch.values, **code}.items()))
        print(fill(patch.reason, 100, initial_indent="  reason: ", subsequent_indent="          "))
        print(f"  count:  {expected}\n" if expected else "")
    return 0
