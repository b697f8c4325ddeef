from __future__ import annotations

import pytest

from mmfm.errors import ConfigError
from mmfm.training.engine import NonFiniteLossError, check_norm, portable


class NeedsTwoError(Exception):
    """Cannot be made again from what pickle keeps of it."""

    def __init__(self, name: str, value: int) -> None:
        super().__init__(f"{name}={value}")


def test_an_error_reaches_other_ranks_as_it_is_or_as_one_that_says_the_same() -> None:
    error = ConfigError("train.steps=0")
    assert portable(error) is error
    odd = portable(NeedsTwoError("steps", 0))
    assert type(odd) is RuntimeError and str(odd) == "NeedsTwoError: steps=0"


@pytest.mark.parametrize("norm", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_is_refused(norm: float) -> None:
    check_norm(1.0, 3)
    with pytest.raises(NonFiniteLossError, match="gradient of step 3 is not finite"):
        check_norm(norm, 3)
