"""What cannot be pooled is refused by name: the imputation, the term, the reason."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from numpy.testing import assert_allclose, assert_array_equal
from statsmodels.tools.sm_exceptions import (
    ConvergenceWarning,
)

from psmimpute.exceptions import PoolingError, PoolingWarning
from psmimpute.pooling.align import stack_items
from psmimpute.pooling.item import PoolItem
from psmimpute.pooling.pool import pool


def _item(names=("a", "b"), **options) -> PoolItem:
    k = len(names)
    values = {"params": pd.Series(np.arange(1.0, k + 1), index=list(names)), "cov": np.eye(k)}
    return PoolItem(**(values | {"df": 20, "nobs": 22} | options))


def test_terms_are_aligned_by_name_not_by_position():
    cov = np.array([[1.0, 0.5], [0.5, 2.0]])
    first = _item(params=pd.Series({"a": 1.0, "b": 2.0}), cov=cov)
    second = _item(params=pd.Series({"b": 3.0, "a": 1.5}), cov=cov[::-1, ::-1])
    stacked = stack_items([first, second])
    assert_array_equal(stacked.qhat, [[1.0, 2.0], [1.5, 3.0]])
    assert_array_equal(stacked.u[0], stacked.u[1])


def test_a_covariance_frame_is_aligned_too():
    cov = pd.DataFrame([[2.0, 0.5], [0.5, 1.0]], index=["b", "a"], columns=["b", "a"])
    assert_array_equal(_item(cov=cov).covariance, [[1.0, 0.5], [0.5, 2.0]])


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([_item()], "at least 2 imputations, got 1"),
        ([_item(), _item(("a",)), _item()], "imputation 2 lacks the term 'b'"),
        ([_item(("a",)), _item(), _item()], "imputation 1 lacks the term 'b'"),
        ([_item(), _item(), _item(("a", "b", "c"))], "imputation 3 has the term 'c' beside"),
        ([_item(), _item(("a", "a"))], "imputation 2 has the term 'a' more than once"),
        (
            [_item(), _item(params=pd.Series({"a": 1.0, "b": np.nan}))],
            "the term 'b' of imputation 2 has estimate nan",
        ),
        (
            [_item(), _item(), _item(cov=np.diag([1.0, 0.0]))],
            "the term 'b' of imputation 3 .* variance 0;",
        ),
        (
            [_item(), _item(cov=np.array([[1, np.nan], [np.nan, 1]]))],
            "covariance matrix of imputation 2 is not finite",
        ),
        ([_item(), _item(cov=np.eye(3))], r"covariance matrix of shape \(2, 2\), got \(3, 3\)"),
        ([_item(), _item(problem="did not converge")], "fit of imputation 2 did not converge"),
    ],
    ids=[
        "one",
        "missing term",
        "missing in the first",
        "extra term",
        "repeated",
        "nan",
        "zero variance",
        "nan covariance",
        "shape",
        "problem",
    ],
)
def test_refuses_what_cannot_be_pooled(items, message):
    with pytest.raises(PoolingError, match=message):
        stack_items(items)


def test_varying_degrees_of_freedom_are_said_and_the_smallest_taken():
    message = r"from 18 \(imputation 2\) to 20 \(imputation 1\)"
    with pytest.warns(PoolingWarning, match=message):
        assert stack_items([_item(), _item(df=18)]).dfcom == 18
    assert stack_items([_item(), _item(df=18)], dfcom=15).dfcom == 15


def test_unknown_degrees_of_freedom_are_said_and_taken_as_infinite():
    with pytest.warns(PoolingWarning, match="do not tell their residual degrees of freedom"):
        assert stack_items([_item(), _item(df=None)]).dfcom == np.inf


def test_different_numbers_of_rows_are_said():
    with pytest.warns(PoolingWarning, match=r"from 21 \(imputation 2\) to 22 \(imputation 1\)"):
        assert stack_items([_item(), _item(nobs=21)]).nobs == 21


@pytest.fixture
def frames(rng):
    def make(n: int = 60) -> pd.DataFrame:
        x = rng.normal(size=n)
        group = rng.choice(list("abc"), n)
        return pd.DataFrame({"x": x, "g": group, "y": x + rng.normal(size=n)})

    return [make() for _ in range(3)]


def test_a_level_absent_from_one_imputation_is_named(frames):
    frames[1]["g"] = frames[1]["g"].replace("c", "a")
    with pytest.raises(PoolingError, match=r"imputation 2 lacks the term 'g\[T.c\]'"):
        pool([smf.ols("y ~ x + g", frame).fit() for frame in frames])


@pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.SingularMatrixWarning")
@pytest.mark.parametrize("model", [smf.ols, smf.glm], ids=["ols", "glm"])
def test_a_level_without_rows_is_named_when_its_category_stays(frames, model):
    frames[2]["g"] = frames[2]["g"].replace("c", "a")
    fits = []
    for frame in frames:
        frame["g"] = pd.Categorical(frame["g"], categories=list("abc"))
        fits.append(model("y ~ x + g", frame).fit())
    message = r"imputation 3 has a singular design: 'g\[T.c\]' is zero"
    with pytest.raises(PoolingError, match=message):
        pool(fits)


@pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.SingularMatrixWarning")
def test_columns_that_repeat_each_other_are_named(frames):
    for i, frame in enumerate(frames):
        frame["twice"] = 2 * frame["x"] + (i != 1) * np.cos(np.arange(len(frame)))
    fits = [smf.ols("y ~ g + x + twice", frame).fit() for frame in frames]
    with pytest.raises(PoolingError, match="imputation 2 has a singular design: 'x', 'twice' are"):
        pool(fits)


@pytest.mark.filterwarnings(
    "ignore::statsmodels.tools.sm_exceptions.PerfectSeparationWarning",
    "ignore::statsmodels.tools.sm_exceptions.ConvergenceWarning",
    "ignore::statsmodels.tools.sm_exceptions.SingularMatrixWarning",
    "ignore::RuntimeWarning",
)
@pytest.mark.parametrize("model", ["logit", "probit", "glm"])
def test_a_separated_fit_is_named(frames, model):

    fits = []
    for i, frame in enumerate(frames):
        noise = 0 if i == 1 else np.sin(np.arange(len(frame)))
        frame["hit"] = (frame["x"] + 2 * noise > 0).astype(float)
        if model == "glm":
            fits.append(smf.glm("hit ~ x", frame, family=sm.families.Binomial()).fit())
        else:
            fits.append(getattr(smf, model)("hit ~ x", frame).fit(disp=0))
    with pytest.raises(PoolingError, match=r"imputation 2 is separated: .*'x'"):
        pool(fits)


def test_a_fit_without_a_covariance_is_named(frames):
    class NoCovariance:
        def __init__(self, fit):
            self._fit = fit

        def __psm_pool_item__(self):
            self._fit.cov_params(r_matrix=np.zeros((0, 0)))

    fits = [smf.ols("y ~ x", frame).fit() for frame in frames]
    with pytest.raises(PoolingError, match="imputation 2 gives no covariance matrix"):
        pool([fits[0], NoCovariance(fits[1]), *fits[2:]])


@pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.PerfectSeparationWarning")
def test_quasi_separation_by_a_level_is_named(frames):

    fits = []
    for i, frame in enumerate(frames):
        hit = (frame["x"] + 2 * np.sin(np.arange(len(frame))) > 0).astype(float)
        frame["hit"] = hit.where(frame["g"].ne("c") | (i != 2), 1.0)
        fits.append(smf.glm("hit ~ x + g", frame, family=sm.families.Binomial()).fit())
    with pytest.raises(PoolingError, match=r"imputation 3 is separated: .*'g\[T.c\]'"):
        pool(fits)


def test_a_fit_that_did_not_converge_is_named(frames):
    fits = []
    for i, frame in enumerate(frames):
        frame["hit"] = (frame["x"] + 2 * np.sin(np.arange(len(frame))) > 0).astype(float)
        if i == 2:
            with pytest.warns(ConvergenceWarning):
                fits.append(smf.logit("hit ~ x + g", frame).fit(disp=0, maxiter=1))
        else:
            fits.append(smf.logit("hit ~ x + g", frame).fit(disp=0))
    with pytest.raises(PoolingError, match="imputation 3 did not converge; raise maxiter"):
        pool(fits)


def test_large_but_finite_effects_are_no_separation(rng):
    fits = []
    for _ in range(2):
        x = rng.normal(size=400)
        frame = pd.DataFrame({"x": x, "hit": (6 * x + rng.logistic(size=400) > 0).astype(float)})
        fits.append(smf.logit("hit ~ x", frame).fit(disp=0))
    assert_allclose(pool(fits).params["x"], 6, rtol=0.5)
