"""Mixtures of notes: what their names stand for, and what each position of the stream then gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfm.config.schema import DataConfig, PretrainConfig
from mmfm.data.batching import Batching
from mmfm.data.manifest import Manifest
from mmfm.data.mixtures import MIXTURES, WHOLE, expand
from mmfm.data.stream import choose_notes, open_stream
from mmfm.data.tokenizer import Tokenizer
from mmfm.errors import ConfigError
from mmfm.records import Note, Record
from mmfm.training.task import all_notes

THERE = ("M", "L1", "L2", "L1-medgemma", "L2-medgemma", "S1", "D1", "S2", "OL", "R", "K")


@pytest.mark.parametrize(
    ("name", "notes"),
    [
        ("L", {"L1", "L2"}),
        ("meta", {"L1", "L2"}),
        ("LM", {"L1", "L2", "M"}),
        ("all", {"L1", "L2", "M"}),
        ("SM", {"S1", "M"}),
        ("DM", {"D1", "M"}),
        ("L-medgemma", {"L1-medgemma", "L2-medgemma"}),
        ("LM-medgemma", {"L1-medgemma", "L2-medgemma", "M"}),
        ("whole", {"L1-medgemma", "L2-medgemma", "D1", "S1", "L1", "L2"}),
        ("whole_all", {"L1-medgemma", "L2-medgemma", "D1", "S1", "L1", "L2", "M"}),
        ("whole-medgemma", {"L1-medgemma", "L2-medgemma"}),
        ("whole_all-medgemma", {"L1-medgemma", "L2-medgemma", "M"}),
        ("S2", {"S2"}),
    ],
)
def test_names_stand_for_notes_in_equal_shares(name: str, notes: set[str]) -> None:
    shares = expand({name: 0.6}, THERE)
    assert set(shares) == notes
    assert len(set(shares.values())) == 1
    assert sum(shares.values()) == pytest.approx(0.6)


def test_shares_of_a_note_that_is_named_twice_add_up() -> None:
    assert expand({"LM": 0.6, "M": 0.4}, THERE) == pytest.approx({"L1": 0.2, "L2": 0.2, "M": 0.6})


def test_the_shards_own_notes_come_first() -> None:
    assert expand({"LM": 1.0, "all": 1.0}, ("LM", "all")) == {"LM": 1.0, "all": 1.0}


@given(st.dictionaries(st.sampled_from(THERE), st.floats(0, 10)))
def test_plain_notes_stay_as_they_are(shares: dict[str, float]) -> None:
    assert expand(shares, THERE) == shares
    assert list(expand(shares, THERE)) == list(shares)


@given(st.dictionaries(st.sampled_from((*THERE, *MIXTURES, *WHOLE)), st.floats(0, 10), min_size=1))
def test_no_share_is_lost(shares: dict[str, float]) -> None:
    assert sum(expand(shares, THERE).values()) == pytest.approx(sum(shares.values()))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("LM", "LM mixes L1, L2, M, and the shards lack L1, L2; they have the notes M, OL"),
        ("LM-gpt", "lack L1-gpt, L2-gpt"),
        ("whole", "L1, L2, S1, D1, and the shards have none of these; they have the notes M, OL"),
        ("whole-gpt", "by gpt"),
        ("whole_all", "L1, L2, S1, D1, and the shards have none of these"),
    ],
)
def test_what_the_shards_lack_is_named(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        expand({name: 1.0}, ("M", "OL"))


@pytest.fixture
def mixed(write_shards: Callable[..., Path], tmp_path: Path, data_config: DataConfig) -> DataConfig:
    """Shards whose samples all have the notes L1, L2 and M, but the first, which lacks L2."""

    def change(record: Record) -> None:
        names = ("L1", "L2", "M") if record.image_id != "0" else ("L1", "M")
        record.notes = {name: Note(name, f"{name} says a word of {record.image_id}") for name in names}

    folder = write_shards(tmp_path / "mixed", change=change)
    manifest = Manifest.read(folder)
    replace(manifest, notes=["L1", "L2", "M"]).write(folder)
    return replace(data_config, shards=str(folder), notes={"LM": 1.0})


def test_a_mixture_is_its_notes_at_every_position(mixed: DataConfig, tokenizer: Tokenizer) -> None:
    def tokens(config: DataConfig) -> list[list[list[int]]]:
        with open_stream(config, tokenizer, Batching(19), seed=5) as stream:
            steps = stream.batches()
            return [batch.tokens.tolist() for _ in range(4) for batch in next(steps)]

    apart = replace(mixed, notes=dict.fromkeys(("M", "L2", "L1"), 1 / 3))
    assert tokens(mixed) == tokens(apart)
    alone = replace(mixed, notes={"M": 1.0})
    assert tokens(mixed) != tokens(alone)


def test_each_turn_of_a_sample_draws_anew_by_the_shares() -> None:
    shares = np.array(list(expand({"LM": 0.9, "OL": 0.1}, THERE).values()))
    chosen = choose_notes(shares, np.ones((9000, 4), bool), 5, np.arange(9000))
    counts = Counter(chosen.tolist())
    assert [counts[number] / 9000 for number in range(4)] == pytest.approx([0.3, 0.3, 0.3, 0.1], abs=0.02)


def test_a_tokenizer_is_fitted_to_the_notes_of_a_mixture(mixed: DataConfig) -> None:
    config = PretrainConfig(data=replace(mixed, notes={"L": 1.0}))
    words = Counter(text.split()[0] for text in all_notes(config))
    assert set(words) == {"L1", "L2"}


def test_a_mixture_that_the_shards_cannot_give_is_refused(
    data_config: DataConfig, tokenizer: Tokenizer
) -> None:
    with pytest.raises(ConfigError, match="the shards lack L1, L2; they have the notes D, M"):
        open_stream(replace(data_config, notes={"LM": 1.0}), tokenizer, Batching(4), seed=0)
