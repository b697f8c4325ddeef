"""Evaluation: suites of measurements on a checkpoint, each number with its 95% interval and chance level."""

from __future__ import annotations

from pathlib import Path

from mmfm.config.schema import EvaluateConfig

__all__ = ["evaluate"]


def evaluate(config: EvaluateConfig) -> list[Path]:
    """Run the suites of `config` and return their result files; see `mmfm.evaluation.run.run_suites`."""
    # Here, so that reading results does not load what computing them needs.
    from mmfm.evaluation.run import run_suites

    return run_suites(config)
