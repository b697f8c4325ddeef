"""The command line. `main` is the console script `mmfm`."""

from launch.cli.entry import main

__all__ = ["main"]
