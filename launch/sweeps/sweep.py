"""Sweeps: one command for every combination of some values, as members of one folder.

<root>/<name>/
  MEMBER/         the run folder of a member, named after its values: lr-0.001_width-64
  stages/         which members there are, and how each stands (`launch.pipelines.records`)
  outcomes.csv    the table of outcomes
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

from launch.checks.preflight import check
from launch.local.supervise import JobError
from launch.pipelines.chain import check_group, plan, submit_group
from launch.pipelines.records import Records, Stage
from launch.pipelines.stages import run_stage
from launch.recipes.commands import check_required, load_config
from launch.recipes.overrides import to_words
from mmfm.errors import ConfigError, UserError
from mmfm.progress import say

GROUP = "array"  # of the members, and name of the folder that holds the array's scripts
LONGEST = 60  # letters of a value in a member's name: paths end in what tells them apart
OPENING, CLOSING, QUOTES = "[{(", "]})", "'\""


def load_sweep(command: str, recipe: Path, words: Sequence[str], limit: int = 0) -> tuple[Path, list[Stage]]:
    """The folder of a sweep and its members. Words with several values, `key=a,b`, span it.

    Raises `ConfigError` where there is nothing to sweep, and for configs that cannot be used.
    """
    split = {word: _values(word) for word in words}
    fixed = [word for word, values in split.items() if len(values) < 2]
    axes = {word.partition("=")[0]: values for word, values in split.items() if len(values) > 1}
    if not axes:
        raise ConfigError("nothing to sweep: give at least one key several values, optim.lr=1e-3,1e-4")
    places = [key for key in axes if key.startswith("run.")]
    if places:
        raise ConfigError(f"{places[0]} cannot be swept: it names the folder of the sweep")
    run = load_config(command, recipe, fixed).run
    if run.name in ("", "???"):
        raise ConfigError("run.name is not set: the sweep's folder is run.root/run.name")
    folder = Path(run.root) / run.name
    members: list[Stage] = []
    for values in product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        name = member_name(chosen)
        taken = sum(re.fullmatch(rf"{re.escape(name)}(~\d+)?", other.name) is not None for other in members)
        name += f"~{taken + 1}" if taken else ""
        own = [f"{key}={value}" for key, value in chosen.items()]
        place = to_words({"run": {"root": str(folder), "name": name}})
        config = load_config(command, recipe, [*fixed, *own, *place])
        check_required(command, config)
        members.append(Stage(name, command, config, group=GROUP, limit=limit, values=chosen))
    return folder, members


def run_sweep(folder: Path, members: Sequence[Stage]) -> Records:
    """Run the members that are not finished one after another, or submit them as an array.

    A member that fails does not keep the others from running; its record says why. Raises `UserError` where
    a member could not be started, before any is.
    """
    for stage in members:
        check(stage.config)
    check_group(members)
    records, queued = plan(folder, members)
    planned = [records.stages[stage.name] for stage in members]
    todo = [stage for stage in planned if stage.name not in queued and not records.is_finished(stage)]
    say(f"{folder}: {len(planned)} members, {len(queued)} in the queue already, {len(todo)} to do")
    if todo and todo[0].config.cluster.kind == "slurm":
        jobs = submit_group(todo, folder, [])
        say(f"submitted as Slurm jobs {', '.join(jobs.values())}")
        return records
    for number, stage in enumerate(todo, start=1):
        say(f"[{number}/{len(todo)}] {stage.name}")
        try:
            with records.running_here(stage):
                run_stage(stage.command, stage.config)
        except (UserError, JobError) as error:
            say(f"{stage.name} failed: {error}")
    return records


def member_name(values: Mapping[str, str]) -> str:
    """The name of a member: its values, each by as much of its key's end as tells it from the others."""
    names = []
    for key, value in values.items():
        parts = key.split(".")
        short = next(
            ".".join(parts[-count:])
            for count in range(1, len(parts) + 1)
            if sum(f".{other}".endswith("." + ".".join(parts[-count:])) for other in values) == 1
        )
        names.append(f"{short}-{_as_name(value)}")
    return "_".join(names)


def _as_name(value: str) -> str:
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", value).strip("-.")[-LONGEST:] or "empty"


def _values(word: str) -> list[str]:
    """The values of `key=a,b`: parted at commas outside brackets and quotes."""
    key, _, text = word.partition("=")
    values = list(_part(text))
    if len(values) > 1 and "" in values:
        raise ConfigError(f"{word}: a value between the commas is empty; write '' for an empty one")
    if len(set(values)) < len(values):
        raise ConfigError(f"{word}: {key} has a value twice")
    return values


def _part(text: str) -> Iterator[str]:
    depth, quote, begin = 0, "", 0
    for position, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in QUOTES:
            quote = letter
        elif letter in OPENING or letter in CLOSING:
            depth += 1 if letter in OPENING else -1
        elif letter == "," and depth == 0:
            yield text[begin:position]
            begin = position + 1
    yield text[begin:]
