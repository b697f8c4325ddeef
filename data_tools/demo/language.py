"""Tiny language models made here: a real one for `transformers serve` and for tests, without a download.

A model is a folder as any other of transformers: Llama's architecture, or LLaVA's (CLIP's vision tower before
it) where it is to be shown pictures; a byte-level BPE tokenizer with a chat template; weights. With random
weights it answers in words without sense.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.demo.lesion import draw_lesion

PAD, SYSTEM, USER, ASSISTANT, END, IMAGE = (
    "<|pad|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
    "<image>",
)
SPECIAL = (PAD, SYSTEM, USER, ASSISTANT, END, IMAGE)
# Content is a string, or parts of text and image.
CHAT_TEMPLATE = """\
{%- for message in messages -%}
<|{{ message.role }}|>
{%- if message.content is string -%}{{ message.content }}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == "image" -%}<image>{%- else -%}{{ part.text }}{%- endif -%}
{%- endfor -%}
{%- endif -%}
<|end|>
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}
"""
IMAGE_SIDE, PATCH = 32, 16  # pixels: four patches tell the model of a picture
SENTENCES = 300  # that the tokenizer of a random model is fitted on


@dataclass(frozen=True)
class Shape:
    """Size of the text model."""

    hidden: int = 32
    layers: int = 1
    heads: int = 2
    vocabulary: int = 600
    context: int = 8192


def make_tiny_model(folder: Path, vision: bool = False, seed: int = 0, shape: Shape | None = None) -> Path:
    """Write a model of random weights to `folder`, and return the folder.

    `AutoModelForCausalLM` and `AutoTokenizer` read it, or with `vision` `AutoModelForImageTextToText` and
    `AutoProcessor`. At temperature 0 it never answers with nothing: tokens that are no word are never the
    likeliest. The same arguments give the same files.
    """
    import torch

    shape = shape or Shape()
    tokenizer = fit_chat_tokenizer((draw_lesion(seed).describe() for seed in range(SENTENCES)), shape)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build_model(shape, tokenizer, vision)
    prefer_words(model, tokenizer)
    return save_model(folder, model, tokenizer, vision)


def fit_chat_tokenizer(texts: Iterable[str], shape: Shape, phrases: Sequence[str] = ()) -> Any:
    """A byte-level BPE tokenizer of at most `shape.vocabulary` pieces, with the chat template.

    Each of `phrases` becomes one piece more: texts in which they recur get short.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=shape.vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    core.add_tokens([AddedToken(phrase, normalized=False) for phrase in phrases])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT, IMAGE],
        chat_template=CHAT_TEMPLATE,
        model_max_length=shape.context,
    )


def build_model(shape: Shape, tokenizer: Any, vision: bool) -> Any:
    """A Llama, or a LLaVA whose text part it is, with weights as torch draws them."""
    from mmfm.models.torchvision_compat import declare_operators

    declare_operators()  # before transformers looks for torchvision
    from transformers import (
        CLIPVisionConfig,
        GenerationConfig,
        LlamaConfig,
        LlamaForCausalLM,
        LlavaConfig,
        LlavaForConditionalGeneration,
    )

    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=3 * shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.context,
        bos_token_id=None,
        **ids,
    )
    if vision:
        eye = CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=IMAGE_SIDE,
            patch_size=PATCH,
        )
        config = LlavaConfig(
            vision_config=eye,
            text_config=text,
            image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
            image_seq_length=(IMAGE_SIDE // PATCH) ** 2,
            vision_feature_layer=-1,
            vision_feature_select_strategy="default",
        )
        model: Any = LlavaForConditionalGeneration(config)
    else:
        model = LlamaForCausalLM(text)
    model.generation_config = GenerationConfig(do_sample=True, **ids)  # `temperature` has no effect without
    return model.eval()


def save_model(folder: Path, model: Any, tokenizer: Any, vision: bool) -> Path:
    """Write model, tokenizer and, with `vision`, processor to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    if not vision:
        tokenizer.save_pretrained(folder)
        return folder
    from transformers import CLIPImageProcessor, LlavaProcessor

    side = {"height": IMAGE_SIDE, "width": IMAGE_SIDE}
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(size=side, crop_size=side),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE,
        num_additional_image_tokens=1,  # CLIP's class token, which "default" leaves away again
    )
    processor.save_pretrained(folder)
    return folder


def prefer_words(model: Any, tokenizer: Any) -> None:
    """Set scores to zero for tokens that are no word: the best of hundreds of random scores is above zero."""
    import torch

    with torch.no_grad():
        for token, number in tokenizer.get_vocab().items():
            word = token.removeprefix("Ġ")  # the byte-level sign of a space
            if not (word.isascii() and word.isalpha()):
                model.lm_head.weight[number] = 0
