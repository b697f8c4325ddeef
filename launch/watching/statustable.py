"""The table of `mmfm status`: once, again and again, or as a picture."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich import box
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from launch.watching.watch import Overview, RunStatus
from launch.watching.wording import duration
from mmfm.files import write_atomically

STYLES = {
    **dict.fromkeys(("running", "starting", "completing"), "green"),
    **dict.fromkeys(("pending", "configuring", "suspended", "requeued", "stopped", "cancelled"), "yellow"),
    **dict.fromkeys(("done", "completed", "over", "unknown"), "dim"),
}
OTHER_STYLE = "red"  # failed, given up, timeout, node_fail, out_of_memory, silent, ...
COLUMNS = ("run", "job", "state", "nodes", "starts", "step", "loss", "samples/s", "left")
GIVING_WAY = ("nodes", "job", "loss", "samples/s")  # where the terminal is narrow, in this order
NUMBERS = ("step", "loss", "samples/s", "left")
PICTURE_WIDTH = 100  # at the least, in columns
UNLIMITED = 10_000  # columns of a file or a pipe


def status_console() -> Console:
    """Where the table goes; what is no terminal gets lines as long as they need to be."""
    console = Console()
    return console if console.is_terminal else Console(width=UNLIMITED)


def status_table(overview: Overview, width: int = UNLIMITED) -> RenderableType:
    """A row for each run, below them what there is to say of it, and what could not be found out."""
    shown = _table(overview.runs, COLUMNS)
    for count in range(1, len(GIVING_WAY) + 1):
        if _width(shown) <= width:
            break
        shown = _table(overview.runs, [name for name in COLUMNS if name not in GIVING_WAY[:count]])
    notes = [Text.assemble((f"{run.run}: ", "bold"), run.note) for run in overview.runs if run.note]
    trouble = [Text(overview.trouble, "red")] if overview.trouble else []
    return Group(shown, *notes, *trouble)


def keep_showing(show: Callable[[], RenderableType], seconds: float, console: Console) -> None:
    """Show anew every `seconds`, until Ctrl-C: in place on a terminal, else one below the other."""
    if not console.is_terminal:
        while True:
            console.print(show())
            time.sleep(seconds)
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        while True:
            live.update(Group(show(), Text(time.strftime("%H:%M:%S, Ctrl-C ends this"), "dim")), refresh=True)
            time.sleep(seconds)


def write_svg(command: str, overview: Overview, path: Path) -> None:
    """Write what `command` shows as a picture of a terminal that is wide enough for the table."""
    width = max(PICTURE_WIDTH, _width(_table(overview.runs, COLUMNS)))
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {command}", "bold"))
    console.print(status_table(overview))
    without_fonts = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)  # no web
    picture = console.export_svg(title="mmfm", code_format=without_fonts, unique_id="status")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, picture)


def _table(runs: Sequence[RunStatus], columns: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in NUMBERS else "left", no_wrap=True)
    for run in runs:
        cells = _cells(run)
        table.add_row(*(cells[name] for name in columns))
    return table


def _cells(run: RunStatus) -> dict[str, str | Text]:
    done = run.progress
    starts = f"{run.starts}, {run.failures} failed" if run.failures else str(run.starts)
    moving = run.state == "running" and done.step
    return {
        "run": str(run.run),
        "job": run.job,
        "state": Text(run.state, STYLES.get(run.state, OTHER_STYLE)),
        "nodes": run.nodes,
        "starts": starts if run.starts else "",
        "step": f"{done.step}/{done.steps}" if done.steps else "",
        "loss": "" if done.loss is None else f"{done.loss:.3f}",
        "samples/s": f"{done.samples_per_s:.0f}" if moving else "",
        "left": duration(done.seconds_left) if moving and done.seconds_left is not None else "",
    }


def _width(shown: RenderableType) -> int:
    """Columns that something takes if it may."""
    return Console(width=UNLIMITED).measure(shown).maximum
