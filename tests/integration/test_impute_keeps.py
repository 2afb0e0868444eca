"""What every call keeps: observed cells bit for bit, index, columns, dtypes; and no gap left."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
import torch

from psmimpute.imputer import PSMImputer, impute
from psmimpute.inference.config import FitConfig
from psmimpute.model.config import ModelConfig
from psmimpute.table.reading import missing_cells

# The weights of tiny, hastily fitted tables may be uneven; that is warned of elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::psmimpute.exceptions.LowESSWarning")


def check_kept(df, imp):
    """All completed frames keep what is to be kept."""
    missing = missing_cells(df)
    for frame in imp:
        check_frame(df, frame, missing)
    pd.testing.assert_frame_equal(imp.complete(0), df, check_exact=True)
    np.testing.assert_array_equal(imp.where.to_numpy(), missing)


def check_frame(df, frame, missing):
    assert not missing_cells(frame).any()
    assert frame.index.equals(df.index)
    assert frame.index.names == df.index.names
    pd.testing.assert_index_equal(frame.columns, df.columns, exact=True)
    assert frame.dtypes.tolist() == df.dtypes.tolist()
    for j in range(df.shape[1]):
        seen = np.flatnonzero(~missing[:, j])
        before, after = df.iloc[seen, j], frame.iloc[seen, j]
        pd.testing.assert_series_equal(after, before, check_exact=True)
        if isinstance(before.dtype, np.dtype) and before.dtype.kind == "f":
            assert before.to_numpy().tobytes() == after.to_numpy().tobytes()


@pytest.fixture(scope="module", params=["shared", "selection", "ignorable"])
def imputed(request, every_dtype, fast):
    before = every_dtype.copy(deep=True)
    imp = impute(every_dtype, missingness=request.param, **fast)
    pd.testing.assert_frame_equal(every_dtype, before, check_exact=True)
    return imp


def test_every_dtype_comes_back_as_it_went_in(every_dtype, imputed):
    check_kept(every_dtype, imputed)


def test_imputed_levels_are_observed_levels(every_dtype, imputed):
    for name in ("category", "ordered", "object", "string[python]", "arrow string", "boolean"):
        observed = set(every_dtype[name].dropna())
        for frame in imputed:
            assert set(frame[name]) <= observed
    ordered = imputed.complete(1)["ordered"].dtype
    assert ordered.ordered
    assert list(ordered.categories) == ["S", "M", "L", "never"]


def test_imputed_numbers_stay_on_their_columns_support(every_dtype, imputed):
    for frame in imputed:
        assert (frame["positive"] > 0).all()
        assert (frame["semicontinuous"] >= 0).all()
        counts = frame["count"].to_numpy()
        assert (counts >= 0).all()
        assert (counts == np.rint(counts)).all()
        assert (frame["timedelta"] > pd.Timedelta(0)).all()
        # Dates were whole days and stay whole days, of local time where there is a zone.
        for name in ("datetime", "datetime tz"):
            assert (frame[name] == frame[name].dt.normalize()).all()


def test_imputations_differ_and_are_plausible(every_dtype, imputed):
    first, second = imputed
    for name in ("float64", "Float64", "arrow double", "float32"):
        gaps = every_dtype[name].isna().to_numpy()
        one, two = (frame[name].to_numpy(dtype=float)[gaps] for frame in (first, second))
        assert (one != two).all()
        observed = every_dtype[name].dropna().to_numpy(dtype=float)
        assert (np.abs(one - observed.mean()) < 8 * observed.std()).all()


def test_the_object_says_what_it_is(every_dtype, imputed):
    assert imputed.m == len(imputed) == 2
    assert imputed.n_missing.sum() == missing_cells(every_dtype).sum()
    assert imputed.schema.column_names == tuple(every_dtype.columns)
    assert imputed.info.seed == 1
    assert imputed.info.members == 2
    assert imputed.info.device == "cpu"
    assert imputed.info.n_sets == 1
    assert {row["member"] for row in imputed.info.history} == {0, 1}


def test_a_semicontinuous_column_keeps_its_share_of_zeros(every_dtype, imputed):
    """At a false-alarm rate of 1e-4, both shares being uncertain."""
    gaps = every_dtype["semicontinuous"].isna().to_numpy()
    share = (every_dtype["semicontinuous"].dropna() == 0).mean()
    zeros = np.concatenate([frame["semicontinuous"].to_numpy()[gaps] == 0 for frame in imputed])
    # The imputations share their gaps, whose other cells say much: count each gap once.
    error = np.sqrt(share * (1 - share) * (1 / (~gaps).sum() + 1 / gaps.sum()))
    assert abs(zeros.mean() - share) < 3.9 * error
    assert 0 < zeros.mean() < 1


@pytest.mark.parametrize("n_sets", [1, 3])
def test_pattern_sets_have_the_frames_rows(small, fast, n_sets):
    imp = impute(small, **{**fast, "n_sets": n_sets})
    sets = imp.pattern_set
    assert sets.name == "pattern_set"
    assert isinstance(sets.dtype, pd.CategoricalDtype)
    assert sets.index.equals(small.index)
    assert imp.pattern_set_probabilities.shape == (40, n_sets)
    np.testing.assert_allclose(imp.pattern_set_probabilities.sum(axis=1), 1, rtol=1e-5)
    assert imp.complete(1, pattern_set=True).columns.tolist() == ["x", "y", "k", "pattern_set"]


def test_the_same_seed_gives_the_same_result_and_another_another(small, fast):
    one, same, other = (impute(small, **{**fast, "seed": seed}) for seed in (1, 1, 2))
    for a, b, c in zip(one, same, other, strict=True):
        pd.testing.assert_frame_equal(a, b, check_exact=True)
        gaps = small["x"].isna()
        assert (a["x"] != c["x"])[gaps].all()
    assert one.info.history == same.info.history


def test_a_seed_that_was_drawn_is_told_and_can_be_used_again(small, fast):
    drawn = impute(small, **{**fast, "seed": None})
    again = impute(small, **{**fast, "seed": drawn.info.seed})
    other = impute(small, **{**fast, "seed": None})
    pd.testing.assert_frame_equal(drawn.complete(2), again.complete(2), check_exact=True)
    assert other.info.seed != drawn.info.seed


@pytest.mark.parametrize("config", [ModelConfig(hidden_dim=0), ModelConfig(hidden_dim=8)])
@pytest.mark.parametrize("n_sets", [1, 2])
def test_the_first_imputations_do_not_change_when_m_grows(small, fast, config, n_sets):
    options = {**fast, "model": config, "n_sets": n_sets}
    few, many = (impute(small, **{**options, "m": m}) for m in (3, 5))
    for k in (1, 2, 3):
        _nearly_equal(few.complete(k), many.complete(k))


def _nearly_equal(one, other):
    """Equal but for the rounding of batched products, which depends on their number."""
    pd.testing.assert_frame_equal(one, other, check_exact=False, rtol=1e-4, atol=1e-4)


def test_extending_keeps_the_imputations_there_are(small, fast):
    few = impute(small, **{**fast, "m": 2})
    many = few.extend(4)
    assert (few.m, many.m) == (2, 4)
    assert many.info.members == 4
    for k in (1, 2):
        _nearly_equal(few.complete(k), many.complete(k))
    _nearly_equal(many.complete(4), impute(small, **{**fast, "m": 4}).complete(4))
    check_kept(small, many)


def test_global_random_state_is_not_touched(small, fast):
    random.seed(4)
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    imputer = PSMImputer(**fast).fit(small)
    imputer.impute(small)
    imputer.transform(small, n_samples=20)
    assert random.getstate() == states[0]
    for before, after in zip(states[1], np.random.get_state(), strict=True):  # noqa: NPY002
        np.testing.assert_array_equal(before, after)
    assert bool((torch.get_rng_state() == states[2]).all())


def test_global_random_state_has_no_influence(small, fast):
    frames = []
    for seed in (0, 1):
        with torch.random.fork_rng():
            torch.random.default_generator.manual_seed(seed)
            frames.append(impute(small, **fast).complete(1))
    pd.testing.assert_frame_equal(*frames, check_exact=True)


def test_the_callers_frame_can_change_afterwards(small, fast):
    df = small.copy()
    imp = impute(df, **fast)
    first = imp.complete(1)
    df["x"] = 0.0
    pd.testing.assert_frame_equal(imp.complete(1), first)
    assert imp.complete(0)["x"].isna().any()


def test_fewer_members_than_imputations_are_shared_out(small, fast):
    imp = impute(small, **{**fast, "m": 5, "members": 2})
    assert imp.member_of.tolist() == [0, 1, 0, 1, 0]
    assert imp.info.members == 2
    frames = list(imp)
    gaps = small["x"].isna()
    assert (frames[0]["x"] != frames[2]["x"])[gaps].all()
    check_kept(small, imp)


@pytest.mark.parametrize("resample", [True, False])
def test_bootstrap_members_differ_in_what_they_learnt(small, fast, resample):
    fit = FitConfig(max_steps=20, resample=resample)
    imputer = PSMImputer(**{**fast, "fit": fit}).fit(small)
    loadings = imputer.fitted_.model.decoder.intercept
    assert not torch.equal(loadings[0], loadings[1])
