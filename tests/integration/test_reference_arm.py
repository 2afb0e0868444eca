"""Jump to reference and copy reference against their closed forms in a normal trial."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from psmimpute import FitConfig, ModelConfig, impute
from psmimpute.exceptions import ImputationError

VISITS = ["y1", "y2", "y3"]
# Means by arm and a covariance with the same correlation between visits.
MEANS = {"placebo": np.array([0.0, 0.2, 0.4]), "drug": np.array([0.5, 1.5, 2.5])}
COVARIANCE = 0.6 + 0.4 * np.eye(3)
M, N = 5, 800


@pytest.fixture(scope="module")
def trial():
    rng = np.random.default_rng(5)
    arm = rng.choice(["placebo", "drug"], N)
    y = np.stack([MEANS[a] for a in arm]) + rng.multivariate_normal(np.zeros(3), COVARIANCE, N)
    last = rng.choice([1, 2, 3], N, p=[0.25, 0.25, 0.5])
    y[np.arange(3) >= last[:, None]] = np.nan
    frame = pd.DataFrame(y, columns=VISITS)
    frame.loc[rng.choice(N, 30, replace=False), "y1"] = np.nan
    frame.insert(0, "arm", pd.Categorical(arm))
    return frame


def quickly_imputed(frame):
    model = ModelConfig(hidden_dim=0, decoders="tied")
    fit = FitConfig(max_steps=120)
    return impute(frame, m=M, seed=1, n_sets=1, missingness="ignorable", model=model, fit=fit)


@pytest.fixture(scope="module")
def imp(trial):
    return quickly_imputed(trial)


def after_drop_out(trial):
    seen = trial[VISITS].notna().to_numpy()
    return ~np.logical_or.accumulate(seen[:, ::-1], axis=1)[:, ::-1]


def expected(completed, trial, method):
    """Conditional means of the later visits given the earlier ones, as Carpenter et al. have it."""
    later = after_drop_out(trial)
    y = completed[VISITS].to_numpy()
    found = np.full(y.shape, np.nan)
    for i in np.flatnonzero(later.any(axis=1) & (trial["arm"] == "drug").to_numpy()):
        gone = later[i]
        centre = MEANS["drug"] if method == "jump" else MEANS["placebo"]
        if gone.all():
            found[i] = MEANS["placebo"]
            continue
        slope = np.linalg.solve(COVARIANCE[np.ix_(~gone, ~gone)], COVARIANCE[np.ix_(~gone, gone)])
        found[i, gone] = MEANS["placebo"][gone] + (y[i, ~gone] - centre[~gone]) @ slope
    return found


@pytest.mark.parametrize("method", ["copy", "jump"])
def test_drop_outs_follow_the_closed_form(trial, imp, method):
    other = imp.under_reference("arm", "placebo", VISITS, method=method)
    gaps = []
    for completed in other:
        found = expected(completed, trial, method)
        gaps.append(np.nanmean(completed[VISITS].to_numpy() - found, axis=0)[1:])
    # Means of some 200 and 100 residuals of variance below 0.6, and estimated parameters, whose
    # standard error is of the size of the means' own in 400 rows (0.05): five standard errors.
    assert (np.abs(np.mean(gaps, axis=0)) < 5 * 0.05).all()
    plain = [
        np.nanmean(completed[VISITS].to_numpy() - expected(completed, trial, method), axis=0)[1:]
        for completed in imp
    ]
    assert (np.mean(plain, axis=0) > 0.5).all()


def test_visits_in_whole_numbers_follow_the_closed_form_too(trial):
    rounded = trial.assign(**{name: trial[name].round() for name in VISITS})
    imp = quickly_imputed(rounded)
    assert all(imp.schema[name].is_rounded for name in VISITS)
    gaps = []
    for completed in imp.under_reference("arm", "placebo", VISITS, method="jump"):
        assert (completed[VISITS] % 1 == 0).all(axis=None)
        found = expected(completed, rounded, "jump")
        gaps.append(np.nanmean(completed[VISITS].to_numpy() - found, axis=0)[1:])
    # The arms are 1.3 and 2.1 apart. Rounding weakens what a visit says of the arm and of the next.
    assert (np.abs(np.mean(gaps, axis=0)) < 0.2 * (MEANS["drug"] - MEANS["placebo"])[1:]).all()


def test_jump_keeps_deviations_and_copy_does_not(trial, imp):
    copy, jump = (
        imp.under_reference("arm", "placebo", VISITS, method=method) for method in ("copy", "jump")
    )
    later = after_drop_out(trial) & (trial["arm"] == "drug").to_numpy()[:, None]
    both = later[:, 2] & ~later[:, 0]
    gap = np.mean([(a["y3"] - b["y3"])[both].mean() for a, b in zip(copy, jump, strict=True)])
    # Those who were doing well under the drug look like exceptional placebo patients to "copy".
    assert gap > 0.2


def test_only_later_visits_of_other_arms_change(trial, imp):
    other = imp.under_reference("arm", "placebo", VISITS)
    stays = ~(after_drop_out(trial) & (trial["arm"] == "drug").to_numpy()[:, None])
    for before, after in zip(imp, other, strict=True):
        np.testing.assert_array_equal(
            before[VISITS].to_numpy()[stays], after[VISITS].to_numpy()[stays]
        )
        assert (before["arm"] == after["arm"]).all()
    assert "jumps to 'placebo'" in other.info.adjustments[0]
    assert "jumps to 'placebo'" in other.report().to_text()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("arm", "none", VISITS), {}, "no level 'none'.*placebo"),
        (("arm", "placebo", []), {}, "must name visits"),
        (("arm", "placebo", ["y1", "y1"]), {}, "each once"),
        (("arm", "placebo", ["nope"]), {}, "unknown column 'nope'"),
        (("y1", "placebo", ["y2"]), {}, "'y1' must be one of arms"),
        (("arm", "placebo", VISITS), {"method": "hop"}, "method='hop'"),
    ],
)
def test_bad_references_are_refused(imp, arguments, options, message):
    with pytest.raises(ImputationError, match=message):
        imp.under_reference(*arguments, **options)


@pytest.mark.filterwarnings("ignore::psmimpute.exceptions.ConstantColumnWarning")
def test_a_constant_visit_has_no_mean_to_move(trial):
    constant = quickly_imputed(trial.assign(y3=trial["y3"] * 0))
    with pytest.raises(ImputationError, match="'y3' is continuous: use method='copy'"):
        constant.under_reference("arm", "placebo", VISITS, method="jump")


def test_a_changed_object_has_no_model(imp):
    with pytest.raises(ImputationError, match="have no model to draw from"):
        imp.delta({"y3": 1.0}).under_reference("arm", "placebo", VISITS)
