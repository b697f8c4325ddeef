"""Training a tiny writer: a language model that answers the project's prompts in readable sentences."""

from __future__ import annotations

import argparse
import itertools
import math
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from data_tools.demo.language import Shape, build_model, fit_chat_tokenizer, prefer_words, save_model
from data_tools.notes.strategy import Prompt
from mmfm.progress import say

WRITER = Shape(hidden=128, layers=2, heads=4, vocabulary=2048, context=4096)
FITTED = 1500  # pairs that the tokenizer is fitted on
BATCH = 16
RECURRING = 0.01  # share of the prompts that has a line, from which on it becomes one token
PEAK, WARMUP = 4e-3, 0.05  # learning rate, and the share of the time in which it rises
LONG_LINE = 20  # characters
FACT = re.compile(r"- [A-Z][^:]*:")  # the name before a fact, which becomes a token as well
SAY_EVERY = 20.0  # seconds

Pair = tuple[Prompt, str]
Example = tuple[list[int], int]  # token ids of prompt and answer, and where the answer begins


def train_tiny_model(
    folder: Path, pairs: Iterator[Pair], seconds: float = 300.0, seed: int = 0, shape: Shape = WRITER
) -> float:
    """Train a model of `shape` on `pairs` until they end or `seconds` are over, and write it to `folder`.

    0 seconds leave its weights random: it then answers as `make_tiny_model` says. It is a text model, for
    which a server can batch requests; pictures are not looked at. The loss counts answers alone; returns its
    running mean at the end, in nats per token.
    """
    import torch

    first = list(itertools.islice(pairs, FITTED))
    texts = [f"{prompt.system}\n{prompt.user}\n{answer}" for prompt, answer in first]
    tokenizer = fit_chat_tokenizer(texts, shape, _recurring(prompt for prompt, _ in first))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build_model(shape, tokenizer, vision=False).train()
    prefer_words(model, tokenizer)
    loss = _train(model, tokenizer, itertools.chain(first, pairs), seconds)
    save_model(folder, model.eval(), tokenizer, vision=False)
    return loss


def _train(model: Any, tokenizer: Any, pairs: Iterator[Pair], seconds: float) -> float:
    """Train until the time is over or no pairs are left, and return the running mean of the loss."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, betas=(0.9, 0.95), weight_decay=0.01)
    loss, steps, begun, said = math.nan, 0, time.monotonic(), 0.0
    for batch in _batches(_example(tokenizer, pair) for pair in pairs):
        passed = time.monotonic() - begun
        if passed >= seconds:
            break
        for group in optimizer.param_groups:
            group["lr"] = PEAK * _schedule(passed / seconds)
        now = _loss(model, batch, tokenizer.pad_token_id)
        optimizer.zero_grad()
        now.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss, steps = now.item() if math.isnan(loss) else 0.9 * loss + 0.1 * now.item(), steps + 1
        if passed - said >= SAY_EVERY:
            said = passed
            say(f"training the writer: {passed:.0f} of {seconds:.0f} s, {steps} steps, loss {loss:.3f}")
    return loss


def _recurring(prompts: Iterable[Prompt]) -> list[str]:
    """The lines of the templates: those that recur, but for the ones that tell a fact."""
    lines = [line for prompt in prompts for part in (prompt.system, prompt.user) for line in part.split("\n")]
    counts = Counter(line for line in lines if len(line) > LONG_LINE and not FACT.match(line))
    facts = Counter(match[0] for line in lines if (match := FACT.match(line)))
    least = RECURRING * FITTED
    return [line for line, count in (counts + facts).items() if count >= least]


def _schedule(done: float) -> float:
    """Linear warm-up, then a cosine to a twentieth."""
    if done < WARMUP:
        return (done + 0.01) / (WARMUP + 0.01)
    return 0.05 + 0.95 * (1 + math.cos(math.pi * (done - WARMUP) / (1 - WARMUP))) / 2


def _example(tokenizer: Any, pair: Pair) -> Example:
    prompt, answer = pair
    messages = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
    asked = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(asked, add_special_tokens=False)["input_ids"]
    said = tokenizer(answer, add_special_tokens=False)["input_ids"]
    return [*ids, *said, tokenizer.eos_token_id], len(ids)


def _batches(examples: Iterator[Example]) -> Iterator[list[Example]]:
    """Batches of examples of like length, so that little is padded."""
    while pool := sorted(itertools.islice(examples, 8 * BATCH), key=lambda example: len(example[0])):
        groups = [pool[start : start + BATCH] for start in range(0, len(pool), BATCH)]
        yield from groups[::2] + groups[1::2]


def _loss(model: Any, batch: list[Example], pad: int) -> Any:
    """Mean cross entropy of the answers' tokens."""
    import torch
    from torch.nn import functional as F

    longest = max(len(ids) for ids, _ in batch)
    tokens = torch.tensor([ids + [pad] * (longest - len(ids)) for ids, _ in batch])
    answers = torch.zeros_like(tokens, dtype=torch.bool)
    for row, (ids, start) in enumerate(batch):
        answers[row, start : len(ids)] = True
    hidden = model.model(
        input_ids=tokens[:, :-1]
    ).last_hidden_state  # causal, so padding at the end is unseen
    wanted = answers[:, 1:]
    return F.cross_entropy(model.lm_head(hidden[wanted]), tokens[:, 1:][wanted])


def main() -> None:
    """Train a writer on pairs of `language_pairs`, from the command line."""
    from data_tools.demo.language_pairs import pairs

    parser = argparse.ArgumentParser(
        prog="python -m data_tools.demo.language_training",
        description="Train a tiny writer on made-up lesions. It knows the prompts as they are now: when they "
        "change, train it anew.",
    )
    parser.add_argument("folder", type=Path, help="folder of the model to write")
    parser.add_argument("--seconds", type=float, default=900.0, help="time to train (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights and pairs (default: 0)")
    args = parser.parse_args()
    loss = train_tiny_model(args.folder, pairs(args.seed), args.seconds, args.seed)
    print(f"{args.folder}: loss {loss:.3f} nats per token")


if __name__ == "__main__":
    main()
