"""Notes by language models: asked for once, whatever ends a run, and found again when notes are gathered."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakewriter
import pytest
from fakewriter import FakeBackend, agree
from hypothesis import given
from hypothesis import strategies as st
from waiting import until

from data_tools.config import ShardsConfig
from data_tools.notes import writing
from data_tools.notes.backends import Answer, Failure, Request
from data_tools.notes.gather import notes_of
from data_tools.notes.meter import ALL_FAILED, Meter
from data_tools.notes.store import Entry, NoteStore
from data_tools.notes.writing import write_notes, written_path
from data_tools.shards.inputs import read_samples
from data_tools.shards.plan import identity
from mmfm.config import load
from mmfm.errors import ConfigError, DataError, UserError
from mmfm.records import Note, Record

RUN_SECONDS = 120.0
RECIPE = Path(__file__).parents[3] / "configs/data/demo.yaml"
Recipe = Callable[..., ShardsConfig]
Fake = Callable[..., FakeBackend]


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn set of 24 images."""
    from data_tools.demo import draw_demo_set

    folder = tmp_path_factory.mktemp("few")
    draw_demo_set(folder, images=24, seed=3)
    return folder


@pytest.fixture
def recipe(few: Path, tmp_path: Path) -> Recipe:
    """`recipe(*overrides)`: the demo's recipe over 24 images, with notes S2 by a model."""

    def recipe(*words: str, root: Path = few) -> ShardsConfig:
        usual = ["notes=[M,S2]", "writers.default.model=fake", f"store={tmp_path / 'store'}", f"root={root}"]
        return load(ShardsConfig, RECIPE, [*usual, *words])

    return recipe


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """`fake(...)` puts a `FakeBackend` in the place of all models."""

    def install(rule: fakewriter.Rule = agree, **options: Any) -> FakeBackend:
        backend = FakeBackend(rule, **options)
        monkeypatch.setattr(writing, "backend_of", lambda writer, prepare: backend)
        return backend

    return install


def gather(cfg: ShardsConfig) -> tuple[list[Record], list[dict[str, Note]]]:
    samples = [(sample.record, sample.image) for sample in read_samples(cfg).samples]
    return [record for record, _ in samples], notes_of(cfg, samples)


def test_what_is_written_is_gathered_and_never_asked_again(recipe: Recipe, fake: Fake) -> None:
    cfg, model = recipe(), fake()
    summary = write_notes(cfg)
    assert summary.written == 24 and summary.there == 0 and not summary.failed
    assert (summary.tokens_in, summary.tokens_out, summary.cost) == (240, 120, 6.0)
    assert len(model.asked) == len({request.key for request in model.asked}) == 24
    _, notes = gather(cfg)
    assert all(list(own) == ["M", "S2"] for own in notes)
    texts = {f"A lesion with an even border, number {int(request.key[:12], 16)}." for request in model.asked}
    assert {own["S2"].text for own in notes} == texts
    note = notes[0]["S2"]
    assert note.strategy == "S2" and note.provenance["model"] == "fake"
    assert note.provenance["decoding"]["temperature"] == 0.2 and note.provenance["finish"] == "stop"
    again = write_notes(cfg)
    assert again.there == 24 and again.written == 0 and len(model.asked) == 24
    assert gather(cfg)[1] == notes


def test_a_request_has_the_picture_where_the_prompt_shows_it_and_a_seed_of_its_own(
    recipe: Recipe, fake: Fake
) -> None:
    model = fake()
    write_notes(recipe())
    assert all(request.image and request.image.is_file() and request.prompt.image for request in model.asked)
    assert len({request.seed for request in model.asked}) == 24


def test_new_prompts_models_and_pictures_are_new_notes_and_the_old_stay(
    recipe: Recipe, fake: Fake, few: Path, tmp_path: Path
) -> None:
    model, cfg = fake(), recipe("notes=[S1]")
    write_notes(cfg)
    for number, change in enumerate(
        ("max_words=60", "model=other", "temperature=0", "image_side=256"), start=2
    ):
        assert write_notes(recipe("notes=[S1]", f"writers.default.{change}")).written == 24
        assert len(model.asked) == 24 * number
    assert write_notes(recipe("notes=[S1]", "prepare.hair=true")).written == 24
    assert write_notes(recipe("notes=[S1]", "writers.default.server.concurrency=3")).written == 0
    moved = shutil.copytree(few, tmp_path / "moved")
    assert write_notes(recipe("notes=[S1]", root=moved)).written == 0
    first = sorted((moved / "images").iterdir())[0]
    first.write_bytes(first.read_bytes() + b"\0")
    assert write_notes(recipe("notes=[S1]", root=moved)).written == 1
    assert write_notes(cfg).written == 0
    assert len(list(NoteStore(cfg.store).entries())) == 24 * 6 + 1


def test_the_same_question_is_asked_once_for_two_names(recipe: Recipe, fake: Fake) -> None:
    model, cfg = fake(), recipe("notes=[S2,S2-twin]", "writers.twin.model=fake")
    assert write_notes(cfg).written == 24 and len(model.asked) == 24
    assert all(own["S2"].text == own["S2-twin"].text for own in gather(cfg)[1])


def test_failures_are_kept_and_asked_again_unless_told_not_to(
    recipe: Recipe, fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    def moody(request: Request) -> Answer | Failure:
        kind = int(request.key[:8], 16) % 3
        if kind == 0:
            return Failure(request.key, "refused", "I cannot say", tries=2, tokens_in=9, cost=0.5)
        return replace(agree(request), text=" \n" if kind == 1 else "A plain lesion.")

    cfg, model = recipe(), fake(moody)
    summary = write_notes(cfg)
    failed = summary.failed.total()
    assert set(summary.failed) == {"refused", "unusable"} and summary.written == 24 - failed
    kinds = {entry.failure: entry for entry in NoteStore(cfg.store).entries()}
    assert kinds["refused"].detail == "I cannot say" and kinds["refused"].tries == 2
    assert kinds["refused"].tokens_in == 9 and kinds["refused"].cost == 0.5  # it was paid for
    refused = summary.failed["refused"]
    assert summary.cost == 0.25 * (24 - refused) + 0.5 * refused
    assert kinds["unusable"].answer == " \n" and kinds["unusable"].detail and kinds["unusable"].cost == 0.25
    assert sum("S2" in own for own in gather(cfg)[1]) == summary.written
    assert f"lacks notes of this recipe: S2 {failed} of 24 ({failed} failed)" in capsys.readouterr().err

    asked = len(model.asked)
    skipping = write_notes(recipe("writers.default.retry_failed=false"))
    assert skipping.left_out == failed and len(model.asked) == asked
    model.rule = agree
    assert write_notes(cfg).written == failed and len(model.asked) == asked + failed
    assert all("S2" in own for own in gather(cfg)[1])


def test_shares_by_key_make_the_whole_and_share_the_limits(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = recipe("writers.default.server.budget=9", "writers.default.server.requests_per_minute=100")
    model, limits = FakeBackend(), []
    monkeypatch.setattr(writing, "backend_of", lambda writer, prepare: limits.append(writer.server) or model)
    written = [write_notes(cfg, (number, 3)).written for number in range(3)]
    assert sum(written) == 24 and min(written) > 0
    assert len({request.key for request in model.asked}) == 24
    assert {(server.budget, server.requests_per_minute) for server in limits} == {(3.0, 34)}
    assert not written_path(cfg).exists()
    assert write_notes(cfg).there == 24 and written_path(cfg).exists()


def test_a_budget_is_what_the_notes_cost_in_all(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the jobs of an array, the one after it and runs that come later; each answer costs 0.25."""
    left: list[float] = []

    class Paid(FakeBackend):
        def answer(self, requests: Any) -> Iterator[Answer | Failure]:
            return super().answer(itertools.islice(requests, round(left[-1] / 0.25)))

    monkeypatch.setattr(
        writing, "backend_of", lambda writer, prepare: left.append(writer.server.budget) or Paid()
    )
    cfg = recipe("writers.default.server.budget=4.5")
    for number in range(3):
        write_notes(cfg, (number, 3))
    assert left == pytest.approx([1.5] * 3)
    spent = 0.25 * len(list(NoteStore(cfg.store).entries()))
    assert 2.25 < spent <= 4.5  # a share may hold fewer notes than it may pay for
    if spent < 4.5:
        write_notes(cfg)
        assert left[3:] == pytest.approx([4.5 - spent])
    for share in ((0, 1), (1, 3)):
        with pytest.raises(UserError, match=r"budget of 4\.5 is spent: .*have cost 4\.50 so far"):
            write_notes(cfg, share)
    more = recipe("writers.default.server.budget=5")
    write_notes(more)
    assert left[-1] == pytest.approx(0.5)
    other = recipe("writers.default.server.budget=5", "notes=[S1]")  # other questions, not yet paid for
    write_notes(other)
    assert left[-1] == pytest.approx(5)


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=9),
    st.floats(0.01, 300),
)
def test_shares_of_what_is_left_make_the_whole(spent: list[float], budget: float) -> None:
    shares = [writing._left(budget, spent, number) for number in range(len(spent))]
    assert min(shares) >= 0
    assert sum(shares) == pytest.approx(max(0.0, budget - sum(spent)), abs=1e-6)


def test_the_provenance_of_a_local_model_names_no_place(recipe: Recipe, fake: Fake, tmp_path: Path) -> None:
    fake()
    notes, files, plans = [], [], []
    for place in ("here", "there"):
        folder = tmp_path / place / "tiny"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        cfg = recipe("writers.default.backend=local", f"writers.default.model={folder}")
        write_notes(cfg)
        notes.append(gather(cfg)[1])
        files.append(written_path(cfg))
        plans.append(identity(cfg))
    assert notes[0] == notes[1] and plans[0] == plans[1] and files[0] != files[1]
    provenance = notes[0][0]["S2"].provenance
    assert provenance["model"] == "tiny" and len(provenance["identity"]) == 16
    assert str(tmp_path) not in str(notes)
    fake()
    write_notes(recipe())
    served = gather(recipe())[1][0]["S2"].provenance
    assert served["model"] == "fake" and "identity" not in served


def test_the_file_for_later_stages_changes_with_the_notes_alone(recipe: Recipe, fake: Fake) -> None:
    cfg, model = recipe(), fake()
    model.rule = lambda request: Failure(request.key, "refused", "") if request.key < "8" else agree(request)
    write_notes(cfg)
    first = written_path(cfg).read_text()
    later = recipe("writers.default.retry_failed=false", "pack.workers=3")
    assert written_path(later) == written_path(cfg)
    write_notes(later)
    assert written_path(cfg).read_text() == first
    model.rule = agree
    write_notes(cfg)
    assert json.loads(written_path(cfg).read_text())["notes"] == {"S2": {"notes": 24, "asked": 24}}
    assert written_path(cfg).read_text() != first
    faster = "writers.default.server.concurrency=3"
    assert written_path(cfg) == written_path(recipe("output=elsewhere", "tasks=4", faster))
    assert written_path(cfg) != written_path(recipe("notes=[S1]"))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143), UserError("the budget is spent")])
def test_a_run_that_is_stopped_keeps_what_it_has(
    recipe: Recipe, fake: Fake, error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = []

    class Stopping(FakeBackend):
        def answer(self, requests: Any) -> Iterator[Answer | Failure]:
            try:
                for number, outcome in enumerate(super().answer(requests)):
                    if number == 10:
                        raise error
                    yield outcome
            finally:
                closed.append(True)

    cfg, model = recipe(), fake()
    writing_backend = Stopping()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "backend_of", lambda writer, prepare: writing_backend)
        with pytest.raises(type(error)):
            write_notes(cfg)
    assert closed and "10 new answers are safe" in capsys.readouterr().err
    assert write_notes(cfg).written == 14 and len(model.asked) == 14


def test_what_another_process_writes_meanwhile_is_not_asked_for(
    recipe: Recipe, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = recipe()
    other = FakeBackend()

    def slow(request: Request) -> Answer:
        if len(model.asked) == 1:  # the first is under way here while another process writes all
            with monkeypatch.context() as patch:
                patch.setattr(writing, "backend_of", lambda writer, prepare: other)
                write_notes(cfg)
        return agree(request)

    model = fake(slow)
    monkeypatch.setattr(writing, "REFRESH_SECONDS", -1.0)
    summary = write_notes(cfg)
    assert (len(model.asked), len(other.asked)) == (1, 24)
    assert summary.written == 1 and summary.there == 23
    assert len(list(NoteStore(cfg.store).entries())) == 24


def test_two_processes_go_through_the_lesions_of_a_server_in_different_orders(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else they would ask for the same at the same time, from the first to the last."""

    def orders(*words: str) -> list[list[str]]:
        cfg, asked = recipe("notes=[S1,S2]", *words), []
        for run in "123":
            model = FakeBackend()
            monkeypatch.setattr(writing, "backend_of", lambda writer, prepare, model=model: model)
            write_notes(replace(cfg, store=f"{cfg.store}{run}{len(words)}"))
            asked.append([request.key for request in model.asked])
            pictures = [request.image for request in model.asked]
            assert pictures[::2] == pictures[1::2]  # all notes of a lesion one after the other
        return asked

    one, two, three = orders()
    assert one != two != three and sorted(one) == sorted(two) == sorted(three)
    one, two, three = orders("writers.default.backend=local", f"writers.default.model={RECIPE.parent}")
    assert one == two == three  # its batches decide what is sampled


def test_a_store_that_takes_no_notes_is_said_before_anything_is_asked(
    recipe: Recipe, fake: Fake, tmp_path: Path
) -> None:
    model = fake()
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match="notes cannot be written there"):
        write_notes(recipe(f"store={tmp_path / 'file'}"))
    assert not model.asked


def test_a_run_without_a_single_note_says_why(recipe: Recipe, fake: Fake) -> None:
    fake(lambda request: Failure(request.key, "refused", "not allowed"))
    with pytest.raises(DataError, match=r"all 24 failed, 24 of them as 'refused', the last .*: not allowed"):
        write_notes(recipe())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["notes=[M,K,R]"], "no language model writes these"),
        (["notes=[L1-mine]"], "'mine', but the recipe has default: say writers.mine.backend"),
        (["writers.default.model=''"], "writers.default.model is not set"),
        (["store=''"], "store is not set"),
        (["writers.default.temperature=3"], r"writers\.default\.temperature=3\.0 must be at most 2"),
        (["notes=[L9]"], "'L9' is not a strategy"),
        (["writers.default.backend=local", "writers.default.model=/no/model"], "/no/model is no folder"),
    ],
)
def test_mistakes_are_named_before_anything_is_asked(recipe: Recipe, words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        write_notes(recipe(*words))


def test_notes_that_nobody_wrote_are_an_error_and_templates_need_no_store(recipe: Recipe, fake: Fake) -> None:
    with pytest.raises(DataError, match="there is no store"):
        gather(recipe())
    fake()
    write_notes(recipe())
    with pytest.raises(DataError, match=r"S1 24 of 24\. `mmfm notes write` writes them; it needs the same"):
        gather(recipe("notes=[S1,S2]"))
    with pytest.raises(ConfigError, match="store is not set"):
        gather(recipe("store=''"))
    assert list(gather(recipe("notes=[M,K]", "store=''"))[1][0]) == ["M", "K"]


def test_the_control_has_the_note_of_another_lesion(recipe: Recipe, fake: Fake) -> None:
    fake()
    cfg = recipe("notes=[R,M,S2]")
    write_notes(cfg)
    records, notes = gather(cfg)
    by_key = dict(zip([record.key for record in records], zip(records, notes, strict=True), strict=True))
    kinds = set()
    for record, own in zip(records, notes, strict=True):
        assert list(own) == ["R", "M", "S2"]
        donor, theirs = by_key[own["R"].provenance["of"]]
        assert donor.lesion_id != record.lesion_id or (not record.lesion_id and donor.key != record.key)
        assert own["R"].text == theirs[own["R"].provenance["note"]].text
        kinds.add(own["R"].provenance["note"])
    assert kinds == {"M", "S2"}
    assert gather(cfg)[1] == notes


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_is_ended_loses_nothing_and_what_counted_is_not_asked_again(
    how: signal.Signals, recipe: Recipe, few: Path, tmp_path: Path
) -> None:
    cfg, log = recipe(), tmp_path / "asked"
    words = ["notes", "write", str(RECIPE), f"root={few}", f"store={cfg.store}", "notes=[M,S2]"]
    program = [sys.executable, fakewriter.__file__, str(log)]

    def start(seconds: str) -> subprocess.Popen[str]:
        command = [*program, seconds, *words, "writers.default.model=fake"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def written() -> set[str]:
        return {entry.key for entry in NoteStore(cfg.store).entries()}

    ended = start("0.1")
    until(lambda: ended.poll() is not None or len(written()) >= 5, lambda: "no notes", RUN_SECONDS)
    ended.send_signal(how)
    said, _ = ended.communicate(timeout=RUN_SECONDS)
    durable, before = written(), log.read_text().split()
    assert 5 <= len(durable) < 24 and durable <= set(before), said
    if how == signal.SIGINT:
        assert ended.returncode == 130
        assert f"{len(durable)} new answers are safe in {cfg.store}; the same command goes on" in said
    again = start("0")
    said, _ = again.communicate(timeout=RUN_SECONDS)
    assert again.returncode == 0, said
    after = log.read_text().split()[len(before) :]
    assert f"{24 - len(durable)} notes written, {len(durable)} were there" in said
    assert not durable & set(after) and len(after) == len(set(after)) == 24 - len(durable)
    assert len(set(before) & set(after)) <= 5  # what was under way, and what was answered but not on disk
    assert written() == durable | set(after) and len(written()) == 24


def test_rows_that_cannot_be_used_are_told_before_anything_is_asked(
    recipe: Recipe, fake: Fake, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, root = fake(), tmp_path / "copy"
    shutil.copytree(few, root)
    images = sorted((root / "images").rglob("*.*"))
    for image in images[:2]:
        image.unlink()
    with pytest.raises(
        DataError, match=r"source demo\w*: 2 of .* rows cannot be used .*image not found.*mend them"
    ):
        write_notes(recipe(root=root))
    assert not model.asked
    summary = write_notes(recipe("max_reject_share=0.5", root=root))
    assert summary.written == len(images) - 2
    assert "rows left out, most often (2 times): image not found" in capsys.readouterr().err


def test_a_run_of_nothing_but_failures_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    def failed(number: int) -> Entry:
        return Entry(
            str(number), "a", "L1", "1", "p", {}, "server", "a", {}, failure="refused", detail="no key"
        )

    with Meter("L1 by a", 100) as meter:
        for number in range(ALL_FAILED + 20):
            meter.add(failed(number))
    told = capsys.readouterr().err
    assert told.count(f"the first {ALL_FAILED} all failed (refused {ALL_FAILED}), the last: no key") == 1
    assert f"{ALL_FAILED + 20} failed (refused {ALL_FAILED + 20})" in told.splitlines()[-1]
    with Meter("L1 by a", 100) as meter:
        meter.add(replace(failed(0), failure="", text="A note."))
        for number in range(1, ALL_FAILED + 20):
            meter.add(failed(number))
    assert "all failed" not in capsys.readouterr().err
