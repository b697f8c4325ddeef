"""From words to a subcommand, and from errors to exit codes.

Exit codes: 0 done; 1 failed (a job that died, damaged shards, a defect of ours with its traceback);
2 something the user can mend, in one message; 128 + n after signal n.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from launch.cli import bench, cluster, data, jobs, notes, pipeline, report, sweep, watch
from mmfm import __version__
from mmfm.errors import USER_ERROR_EXIT, UserError

EPILOG = """\
a first run:
  mmfm demo                                          a small set drawn here, from images to a report

the road, step by step:
  mmfm data shard configs/data/derm.yaml root=DATA output=runs/first/shards
  mmfm data verify runs/first/shards
  mmfm pretrain configs/pretrain/derm_cpu.yaml data.shards=runs/first/shards \\
      run.root=runs/first run.name=pretrain
  mmfm evaluate configs/evaluate/derm_cpu.yaml checkpoint=runs/first/pretrain shards=runs/first/shards \\
      run.root=runs/first run.name=pretrain
  mmfm report runs/first

or all of it:
  mmfm pipeline configs/pipeline/derm_cpu.yaml data.root=DATA run.name=first

Every recipe takes overrides, key=value with dots: train.steps=500 cluster.processes=4.
`mmfm COMMAND --keys` lists the keys with their defaults.
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all subcommands. Each sets `run`, a function of the parsed words."""
    parser = argparse.ArgumentParser(
        prog="mmfm",
        description="Pretrain, fine-tune and evaluate image+note models of skin lesions.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mmfm {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (pipeline, data, notes, jobs, sweep, watch, report, bench, cluster):
        module.add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    # imported late by `run` functions: torch and the like, so that help and errors come at once
    try:
        args = _parse(build_parser(), sys.argv[1:] if argv is None else argv)
        code: int = args.run(args)
        return code
    except UserError as error:
        print(f"mmfm: error: {error}", file=sys.stderr)
        return USER_ERROR_EXIT
    except KeyboardInterrupt:
        print("mmfm: stopped", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:  # `mmfm data ls | head`
        sys.stderr.close()
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.filename is None:
            raise
        print(f"mmfm: error: {error.filename}: {error.strerror}", file=sys.stderr)
        return USER_ERROR_EXIT
    except Exception as error:
        return _failed(error)


def _parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Parse, with overrides and flags in any order."""
    args, rest = parser.parse_known_args(argv)
    stray = [
        word for word in rest if word.startswith("-") or "=" not in word or not hasattr(args, "overrides")
    ]
    if stray:
        parser.error(f"unrecognized arguments: {' '.join(stray)}")
    if rest:
        args.overrides = [*args.overrides, *rest]
    return args


def _failed(error: Exception) -> int:
    """Exit code of a job that failed or was stopped; any other error is ours and goes on as it is."""
    from launch.local.supervise import JobError, StoppedError

    if isinstance(error, StoppedError):
        print(f"mmfm: {error}; the same command goes on from what was saved", file=sys.stderr)
        return 128 + error.signum
    if isinstance(error, JobError):
        print(f"mmfm: error: {error}", file=sys.stderr)
        return 1
    raise error
