"""One transformers model in this process: loaded from a folder, asked in batches."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_tools.config import PrepareConfig, WriterConfig
from data_tools.notes.backends import Answer, Failure, Request
from data_tools.notes.strategy import Prompt
from mmfm.errors import DataError, UserError

WEIGHTS = ("*.safetensors", "*.bin")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tekken.json", "*.tiktoken")
PARTS = {"its settings": ("config.json",), "its weights": WEIGHTS, "its tokenizer": TOKENIZERS}


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds no model, naming what is missing. Raises `DataError`."""
    if not folder.is_dir():
        raise DataError(
            f"{folder} is no folder: a local model is one with config.json, weights and tokenizer"
        )
    for what, patterns in PARTS.items():
        if not any(any(folder.glob(pattern)) for pattern in patterns):
            raise DataError(f"{folder} holds no whole model: {what} ({' or '.join(patterns)}) are missing")


class LocalModel:
    """A text model (`AutoModelForCausalLM`) or image-text model (`AutoModelForImageTextToText`).

    `number` says which GPU, where there are several. Raises `DataError` naming the folder for what cannot be
    loaded.
    """

    def __init__(self, writer: WriterConfig, prepare: PrepareConfig, number: int = 0) -> None:
        check_folder(Path(writer.model))
        os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is looked for elsewhere
        import torch

        import mmfm.models  # noqa: F401  makes torchvision, and so transformers' models, importable

        self.writer = writer
        self.prepare = prepare
        self.folder = Path(writer.model)
        self.device = _device(writer.local.device, number)
        try:
            self._load()
        except UserError:
            raise
        except torch.OutOfMemoryError as error:
            raise DataError(
                f"{self.folder}: the model does not fit into the memory of {self.device}"
            ) from error
        except Exception as error:  # transformers raises errors of many families
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(f"{self.folder}: transformers cannot load this model: {reason}") from error

    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        """An outcome for each request. They are of one kind: all with a picture, or none.

        Raises `UserError` where a text model is to be shown pictures, or one request fills the memory.
        """
        from data_tools.images.open import UnusableImage
        from data_tools.notes.backends.images import image_bytes

        outcomes: list[Answer | Failure] = []
        ready, images = [], []
        for request in requests:
            if request.image is None:
                ready.append(request)
                continue
            if not self.sees:
                raise UserError(
                    f"{self.folder} is a text model, but strategy {request.prompt.strategy} shows it "
                    "pictures: take an image-text model, or strategies that show none"
                )
            try:
                images.append(image_bytes(request.image, self.writer.image_side, self.prepare))
                ready.append(request)
            except UnusableImage as error:
                outcomes.append(Failure(request.key, "image", f"{request.image.name}: {error}"))
        return outcomes + self._fitting(ready, images)

    def _fitting(self, requests: Sequence[Request], images: Sequence[bytes]) -> list[Answer | Failure]:
        """Outcomes of a batch, halved as often as the memory needs it."""
        import torch

        if not requests:
            return []
        try:
            return self._generate(requests, images)
        except torch.OutOfMemoryError as error:
            if len(requests) == 1:
                raise UserError(
                    f"{self.folder}: one request fills the memory of {self.device}: lower max_tokens or "
                    "image_side, or take a smaller model"
                ) from error
        torch.cuda.empty_cache()
        half = len(requests) // 2
        return self._fitting(requests[:half], images[:half]) + self._fitting(requests[half:], images[half:])

    def _generate(self, requests: Sequence[Request], images: Sequence[bytes]) -> list[Answer | Failure]:
        import torch

        began = time.monotonic()
        inputs = self._encode([request.prompt for request in requests], images)
        lengths = inputs["attention_mask"].sum(dim=1).tolist()
        too_long = [length + self.writer.max_tokens > self.context for length in lengths]
        if any(too_long):
            return self._without(requests, images, too_long, lengths)
        torch.manual_seed(requests[0].seed)
        with torch.inference_mode():
            rows = self.model.generate(**inputs, generation_config=self._decoding())
        seconds = time.monotonic() - began
        rows = rows[:, inputs["input_ids"].shape[1] :].tolist()
        return [
            self._outcome(request, row, length, seconds)
            for request, row, length in zip(requests, rows, lengths, strict=True)
        ]

    def _outcome(self, request: Request, row: list[int], length: int, seconds: float) -> Answer | Failure:
        end = next((place for place, token in enumerate(row) if token in self.ends), None)
        text = self.tokenizer.decode(row[:end], skip_special_tokens=True).strip()
        if not text:
            return Failure(request.key, "empty", "the model answered nothing")
        written = len(row) if end is None else end + 1
        finish = "length" if end is None else "stop"
        return Answer(request.key, text, finish, self.folder.name, length, written, seconds=seconds)

    def _without(
        self,
        requests: Sequence[Request],
        images: Sequence[bytes],
        out: Sequence[bool],
        lengths: Sequence[int],
    ) -> list[Answer | Failure]:
        """Outcomes of a batch whose requests marked in `out` do not fit into the model's context."""
        failures: list[Answer | Failure] = [
            Failure(
                request.key,
                "too long",
                f"{length} tokens and max_tokens={self.writer.max_tokens} do not fit into {self.context}",
            )
            for request, length, marked in zip(requests, lengths, out, strict=True)
            if marked
        ]
        kept = [number for number, marked in enumerate(out) if not marked]
        pictures = [images[number] for number in kept] if images else []
        return failures + self._fitting([requests[number] for number in kept], pictures)

    def _encode(self, prompts: Sequence[Prompt], images: Sequence[bytes]) -> Any:
        """Token ids and pixels of a batch, padded on the left, on the model's device."""
        from PIL import Image

        # The template has begun the text with whatever tokens it begins with.
        options = {"padding": True, "return_tensors": "pt", "add_special_tokens": False}
        texts = [self._render(prompt, bool(images)) for prompt in prompts]
        if not self.sees:
            return self.tokenizer(texts, **options, return_token_type_ids=False).to(self.device)
        if images:
            pictures = [[Image.open(io.BytesIO(data))] for data in images]
            inputs = self.processor(text=texts, images=pictures, **options)
        else:
            inputs = self.processor(text=texts, **options)
        return inputs.to(self.device, dtype=self.model.dtype)  # the type of pixels; ids stay whole numbers

    def _render(self, prompt: Prompt, picture: bool) -> str:
        """The text that the model's chat template makes of a prompt."""
        from jinja2 import TemplateError

        try:
            return self._chat(prompt.system, prompt.user, picture)
        except TemplateError:  # of a model that knows no system's turn
            return self._chat("", f"{prompt.system}\n\n{prompt.user}".strip(), picture)

    def _chat(self, system: str, user: str, picture: bool) -> str:
        turns = [("system", system)] if system else []
        messages: list[dict[str, Any]] = []
        for role, text in [*turns, ("user", user)]:
            parts: list[dict[str, str]] = [{"type": "text", "text": text}]
            if picture and role == "user":
                parts.insert(0, {"type": "image"})
            messages.append({"role": role, "content": parts if self.sees else text})
        rendered: str = self.processor.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        return rendered

    def _decoding(self) -> Any:
        """How to generate: what the recipe says and nothing else, whatever the folder recommends."""
        from transformers import GenerationConfig

        how: dict[str, Any] = {"do_sample": False}
        if self.writer.temperature:
            how = {"do_sample": True, "temperature": self.writer.temperature, "top_k": 0}
            how["top_p"] = self.writer.top_p
        ends = {"eos_token_id": sorted(self.ends), "pad_token_id": self.tokenizer.pad_token_id}
        return GenerationConfig(max_new_tokens=self.writer.max_tokens, **how, **ends)

    def _load(self) -> None:
        import transformers

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        config = transformers.AutoConfig.from_pretrained(self.folder)
        self.sees = type(config) in transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
        kind = transformers.AutoProcessor if self.sees else transformers.AutoTokenizer
        self.processor: Any = kind.from_pretrained(self.folder)
        self.tokenizer: Any = self.processor.tokenizer if self.sees else self.processor
        if not self.processor.chat_template:
            raise DataError(
                f"{self.folder}: the model has no chat template: take one that follows instructions"
            )
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        dtype = self.writer.local.dtype
        if dtype == "auto" and self.device == "cpu":
            dtype = "float32"  # half precision is slow there
        loader = transformers.AutoModelForImageTextToText if self.sees else transformers.AutoModelForCausalLM
        model: Any = loader.from_pretrained(self.folder, dtype=dtype)
        self.model = model.to(self.device).eval()
        self.ends = _ends(self.model.generation_config.eos_token_id, self.tokenizer.eos_token_id)
        self.model.generation_config = transformers.GenerationConfig()
        text = config.get_text_config()
        self.context = int(getattr(text, "max_position_embeddings", None) or 10**9)


def _ends(*given: int | list[int] | None) -> frozenset[int]:
    """The tokens that end an answer."""
    lists = [[one] if isinstance(one, int) else one or [] for one in given]
    return frozenset(token for tokens in lists for token in tokens)


def _device(wanted: str, number: int) -> str:
    """Name of the device. Raises `UserError` for a GPU where there is none."""
    import torch

    count = torch.cuda.device_count()
    if wanted == "cuda" and not count:
        raise UserError("local.device=cuda, but torch finds no GPU here")
    return f"cuda:{number % count}" if count and wanted != "cpu" else "cpu"
