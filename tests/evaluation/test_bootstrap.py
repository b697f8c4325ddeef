import numpy as np
import pytest

from mmfm.evaluation.bootstrap import Bootstrap, means, median


def test_interval_of_a_mean_is_that_of_theory():
    values = np.random.default_rng(0).normal(3.0, 2.0, 2000)
    estimate = Bootstrap(np.arange(2000), 2000, seed=1).estimate(means(values[:, None]))[0]
    error = values.std() / np.sqrt(2000)
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert estimate.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_copies_within_a_group_do_not_narrow_the_interval():
    values = np.random.default_rng(0).normal(size=100)
    single = Bootstrap(np.arange(100), 500, seed=1).estimate(means(values[:, None]))[0]
    copied = Bootstrap(np.repeat(np.arange(100), 7), 500, seed=1).estimate(
        means(np.repeat(values, 7)[:, None])
    )[0]
    assert (copied.low, copied.high) == pytest.approx((single.low, single.high))


def test_seed_decides_and_chunks_do_not_matter(monkeypatch):
    values = np.random.default_rng(0).normal(size=(50, 1))
    first = Bootstrap(np.arange(50), 300, seed=1).estimate(means(values))
    assert first == Bootstrap(np.arange(50), 300, seed=1).estimate(means(values))
    assert first != Bootstrap(np.arange(50), 300, seed=2).estimate(means(values))
    monkeypatch.setattr("mmfm.evaluation.bootstrap.CELLS", 350)
    chunked = Bootstrap(np.arange(50), 300, seed=1).estimate(means(values))
    assert (chunked[0].low, chunked[0].high) == pytest.approx((first[0].low, first[0].high))


def test_median_takes_weights_as_copies():
    generator = np.random.default_rng(3)
    values = generator.integers(1, 30, 41).astype(float)
    weights = generator.integers(0, 4, (20, 41))
    found = median(values)(weights.astype(float))[:, 0]
    for row, value in zip(weights, found, strict=True):
        copies = np.sort(np.repeat(values, row))
        assert value == copies[(len(copies) - 1) // 2]


def test_what_is_never_defined_has_no_interval():
    estimate = Bootstrap(np.arange(3), 10, seed=0).estimate(lambda w: np.full((len(w), 1), np.nan))[0]
    assert not estimate.defined
