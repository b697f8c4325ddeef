"""The tokenizer: a thin wrapper over `tokenizers`, and fitting a small one to the notes at hand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from mmfm.errors import DataError

PAD, CLS, SEP = "[PAD]", "[CLS]", "[SEP]"
_PAD_NAMES = (PAD, "<pad>", "<|pad|>", "<|endoftext|>")


class Tokenizer:
    """Text to token ids, with the special tokens its template adds; the rest is left to `tokenizers`."""

    def __init__(self, core: tokenizers.Tokenizer) -> None:
        core.no_padding()
        core.no_truncation()
        self._core = core
        self._cut: dict[int, tokenizers.Tokenizer] = {}

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Load a `tokenizer.json`, or the one in a folder. Raises `DataError` when missing or unusable."""
        path = Path(path)
        path = path / "tokenizer.json" if path.is_dir() else path
        if not path.is_file():
            raise DataError(f"no tokenizer at {path}: give a tokenizer.json or a folder that holds one")
        try:
            return cls(tokenizers.Tokenizer.from_file(str(path)))
        except Exception as error:  # the library raises plain Exception
            raise DataError(f"{path} is no tokenizer.json of the tokenizers library: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write the tokenizer as JSON."""
        Path(path).write_text(self._json)

    def encode(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """Ids of each text with its special tokens, at most `max_tokens` of them (special ones included)."""
        if max_tokens not in self._cut:  # truncation is a state of the library's object: one for each length
            core = tokenizers.Tokenizer.from_str(self._json)
            core.enable_truncation(max_tokens)
            self._cut[max_tokens] = core
        return [encoding.ids for encoding in self._cut[max_tokens].encode_batch_fast(list(texts))]

    @cached_property
    def pad_id(self) -> int:
        """Id that fills short notes. Raises `DataError` when the vocabulary has no padding token."""
        for name in _PAD_NAMES:
            found = self._core.token_to_id(name)
            if found is not None:
                return found
        raise DataError(f"the tokenizer has no padding token (looked for {', '.join(_PAD_NAMES)})")

    @property
    def vocab_size(self) -> int:
        """Number of ids, added tokens included."""
        return self._core.get_vocab_size(with_added_tokens=True)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the tokenizer's JSON: two tokenizers that agree in it give the same ids."""
        return hashlib.sha256(self._json.encode()).hexdigest()

    @cached_property
    def _json(self) -> str:
        return self._core.to_str()


def fit_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Fit a lower-case byte-pair tokenizer that adds [CLS] and [SEP]. The same texts give the same one.

    `vocab_size` is an upper bound above the 256 bytes: few texts yield fewer pieces. Raises `DataError` when
    there is no text.
    """
    # Not WordPiece: the library numbers its word-inner letters in the order of a randomised hash map, so that
    # ties between merges fall differently in every process.
    core = tokenizers.Tokenizer(models.BPE())
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, CLS, SEP],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    seen = sorted({text for text in texts if text.strip()})
    if not seen:
        raise DataError("cannot fit a tokenizer: the split has no notes (see `notes` of `mmfm data shard`)")
    core.train_from_iterator(seen, trainer)
    specials = [(name, core.token_to_id(name)) for name in (CLS, SEP)]
    core.post_processor = processors.TemplateProcessing(single=f"{CLS} $A {SEP}", special_tokens=specials)
    return Tokenizer(core)
