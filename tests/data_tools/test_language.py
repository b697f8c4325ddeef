"""The tiny language models made for tests and for the demonstration."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from data_tools.demo.language import make_tiny_model
from data_tools.demo.language_pairs import ASKED, REFUSAL, pairs
from data_tools.demo.language_training import train_tiny_model
from data_tools.notes.registry import STRATEGIES
from mmfm.models.torchvision_compat import declare_operators


@pytest.mark.parametrize("vision", [False, True])
def test_a_tiny_model_is_the_same_each_time_and_answers_in_words(tmp_path: Path, vision: bool) -> None:
    declare_operators()
    from PIL import Image
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

    folders = [make_tiny_model(tmp_path / name, vision, seed=3) for name in ("one", "two")]
    files = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert files[0] == files[1]
    auto = AutoProcessor if vision else AutoTokenizer
    processor = auto.from_pretrained(folders[0])
    model = (AutoModelForImageTextToText if vision else AutoModelForCausalLM).from_pretrained(folders[0])
    content = [{"type": "text", "text": "Describe the lesion."}]
    if vision:
        content.insert(0, {"type": "image", "image": Image.new("RGB", (60, 40), "red")})  # type: ignore[dict-item]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    written = model.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert processor.decode(written).replace(" ", "").isalpha()


def test_pairs_are_answers_that_the_strategies_can_read() -> None:
    some = list(itertools.islice(pairs(seed=1), 400))
    assert some == list(itertools.islice(pairs(seed=1), 400))
    assert {prompt.strategy for prompt, _ in some} == set(ASKED)
    written = [(prompt, answer) for prompt, answer in some if answer != REFUSAL]
    notes = [(prompt, STRATEGIES[prompt.strategy].read(answer, prompt)) for prompt, answer in written]
    told = [(prompt.facts["age"], note) for prompt, note in notes if "age" in prompt.facts]
    assert len(told) > 100
    assert sum(age in note for age, note in told) > 0.9 * len(told)  # but for the lies


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    before = train_tiny_model(tmp_path / "random", pairs(), seconds=0)
    loss = train_tiny_model(tmp_path / "trained", itertools.islice(pairs(), 480), seconds=1000)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "trained")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "trained")
    assert math.isnan(before)
    assert loss < math.log(len(tokenizer)) - 1
    assert model.config.vocab_size == len(tokenizer)
