"""Style examples: of the same class, of another lesion, and hardly changed by what is added."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data_tools.config import GraphConfig
from data_tools.notes.examples import StyleExamples
from mmfm.errors import ConfigError
from mmfm.records import Record


def records(count: int) -> list[Record]:
    """Two images of each lesion, of classes 0, 1, 2 in turn."""
    return [Record("s", str(n), "", lesion_id=f"L{n // 2}", label=n // 2 % 3) for n in range(count)]


def examples(of: list[Record], count: int = 2) -> StyleExamples:
    return StyleExamples(GraphConfig(examples=count), of, lambda record: record.key)


def test_examples_are_of_other_lesions_of_the_class() -> None:
    all_records = records(60)
    by_key = {record.key: record for record in all_records}
    chosen = examples(all_records)
    seen = set()
    for record in all_records:
        texts = chosen.of(record)
        assert len(set(texts)) == len(texts) == 2
        for text in texts:
            assert by_key[text].label == record.label and by_key[text].lesion_id != record.lesion_id
        seen.update(texts)
    assert len(seen) > 30  # not the same few for all
    assert examples(all_records[::-1]).of(all_records[0]) == chosen.of(all_records[0])
    assert examples(all_records, 0).of(all_records[0]) == ()
    assert examples(records(2)).of(all_records[0]) == ()


def test_a_record_more_changes_few_examples() -> None:
    before, after = examples(records(300)), examples(records(302))
    changed = sum(before.of(record) != after.of(record) for record in records(300))
    assert changed < 30


def test_examples_from_a_file_are_of_the_class_or_of_none(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    lines = [{"text": "a  mole\n", "class": "NEV"}, {"text": "bad", "class": "melanoma"}, {"text": "any"}]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")

    def of(label: int) -> set[str]:
        graph = GraphConfig(examples=5, examples_file=str(path))
        record = Record("s", "1", "", label=label)
        return set(StyleExamples(graph, [record], lambda record: "template").of(record))

    assert of(2) == {"a mole", "any"} and of(6) == {"bad", "any"} and of(-1) == {"any"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not of the form"),
        ('{"text": 3}', "line 2"),
        ('{"text": "a", "class": "dog"}', "'dog' is none"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text('{"text": "fine"}\n' + line)
    graph = GraphConfig(examples=1, examples_file=str(path))
    with pytest.raises(ConfigError, match=message):
        StyleExamples(graph, records(2), str).of(records(2)[0])
    with pytest.raises(ConfigError, match="not found"):
        StyleExamples(GraphConfig(examples=1, examples_file="no"), records(2), str).of(records(2)[0])
