"""Bootstrap resamples and folds: what is in, what is held out, and prefixes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import stats

from psmimpute.inference.members import fold_rows, resample_rows


@pytest.mark.parametrize("resample", [True, False])
def test_members_are_the_same_however_many_there_are(resample):
    few = resample_rows(200, members=range(5), seed=3, resample=resample)
    many = resample_rows(200, members=range(8), seed=3, resample=resample)
    late = resample_rows(200, members=range(5, 8), seed=3, resample=resample)
    for name in ("counts", "held_out", "held_out_weight"):
        assert_array_equal(getattr(many, name)[:5], getattr(few, name))
        assert_array_equal(getattr(many, name)[5:], getattr(late, name))


def test_seeds_and_members_give_other_resamples():
    one = resample_rows(200, members=range(3), seed=3, resample=True).counts
    two = resample_rows(200, members=range(3), seed=4, resample=True).counts
    rows = [*one, *two]
    assert len({row.tobytes() for row in rows}) == 6


@pytest.mark.parametrize("n_rows", [2, 7, 300, 3000])
@pytest.mark.parametrize("resample", [True, False])
def test_held_out_rows_are_those_not_in_the_bag(n_rows, resample):
    found = resample_rows(n_rows, members=range(4), seed=1, resample=resample)
    if resample:
        assert_array_equal(found.counts.sum(1), n_rows)
    for counts, rows, weight in zip(
        found.counts, found.held_out, found.held_out_weight, strict=True
    ):
        out = rows[weight == 1]
        assert len(set(out)) == len(out)
        assert not counts[out].any()
        assert set(np.unique(weight)) <= {0.0, 1.0}
        if n_rows < 1000:
            assert len(out) == (counts == 0).sum()


def test_bootstrap_counts_are_multinomial():
    n, members = 400, 200
    counts = resample_rows(n, members=range(members), seed=5, resample=True).counts
    seen = np.array([(counts == k).mean() for k in range(3)])
    expected = stats.binom(n, 1 / n).pmf(np.arange(3))
    # Negatively dependent between rows: the binomial error is an upper bound. Three
    # comparisons at a false-alarm rate of 1e-4 in all.
    error = np.sqrt(expected * (1 - expected) / counts.size)
    assert (np.abs(seen - expected) < stats.norm.isf(1e-4 / 6) * error).all()


def test_without_resampling_a_tenth_is_held_out_and_all_else_counts_once():
    found = resample_rows(300, members=range(2), seed=0, resample=False)
    assert_array_equal(np.sort(np.unique(found.counts)), [0, 1])
    assert_array_equal((found.counts == 0).sum(1), [30, 30])


@pytest.mark.parametrize("n_folds", [1, 2, 5])
def test_folds_hold_out_disjoint_rows(n_folds):
    found = fold_rows(103, n_folds=n_folds, seed=2)
    held_out = [
        set(rows[weight > 0])
        for rows, weight in zip(found.held_out, found.held_out_weight, strict=True)
    ]
    assert len(held_out) == n_folds
    assert sum(map(len, held_out)) == len(set().union(*held_out))
    for counts, out in zip(found.counts, held_out, strict=True):
        assert set(np.flatnonzero(counts == 0)) == out
        assert set(np.unique(counts)) == {0, 1}


def test_too_few_rows_to_split_judge_themselves():
    found = fold_rows(6, n_folds=2, seed=2)
    assert_array_equal(found.counts, np.ones((1, 6)))
    assert_array_equal(found.held_out, np.arange(6)[None])
