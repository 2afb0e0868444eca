"""Tipping points of an analysis whose answer to a shift is known in closed form."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from numpy.testing import assert_allclose

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.pi_sensitivity import PiSensitivity
from psmimpute.imputed.sensitivity import TippingPoint, tipping_point

MEAN = "I(height - 168) ~ 1"
DELTAS = [-40.0, -20.0, 0.0, 20.0, 40.0]


@pytest.fixture
def tipping(imp):
    return tipping_point(imp, MEAN, "height", DELTAS, model=smf.ols, term="Intercept")


def test_a_mean_moves_by_the_share_imputed(tipping, imp, frame):
    share = frame["height"].isna().mean()
    plain = imp.pool(MEAN, model=smf.ols).params["Intercept"]
    assert_allclose(tipping.frame["estimate"], plain + share * np.array(DELTAS))


def test_points_lie_where_the_interval_meets_zero(tipping):
    low = tipping.frame["conf_low"].to_numpy()
    assert tipping.points
    for point in tipping.points:
        ends = [np.interp(point, DELTAS, tipping.frame[c]) for c in ("conf_low", "conf_high")]
        assert_allclose(min(np.abs(ends)), 0, atol=1e-9)
    assert (np.diff(low) > 0).any()


def test_conclusions_and_summary(tipping):
    expected = (tipping.frame["conf_low"] > 0).astype(int) - (tipping.frame["conf_high"] < 0)
    assert tipping.frame["conclusion"].tolist() == expected.tolist()
    assert "changes: the nearest shift" in repr(tipping)
    assert "<table" in tipping._repr_html_()
    assert tipping.to_frame().equals(tipping.frame)


def test_without_a_change_it_says_so(imp):
    small = tipping_point(imp, MEAN, "height", [-0.01, 0.01], model=smf.ols, term="Intercept")
    assert small.points == []
    assert "does not change" in small.summary()


def test_by_pattern_set_and_with_durations(imp):
    one = tipping_point(imp, MEAN, "height", DELTAS, model=smf.ols, term="Intercept", pattern_set=1)
    assert "in pattern set 1" in one.summary()
    days = [pd.Timedelta(days=d) for d in (-2, 0, 2)]
    dates = tipping_point(imp, "weight ~ height", "seen", days, model=smf.ols)
    assert dates.term == "height"
    assert_allclose(dates.frame["estimate"], dates.frame["estimate"][0])
    assert "days" in dates.plot().get_xlabel()
    plt.close("all")


def test_plot(tipping):
    ax = tipping.plot()
    assert_allclose(ax.lines[0].get_ydata(), tipping.frame["estimate"])
    assert len(ax.lines) == 2 + len(tipping.points)
    plt.close("all")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"deltas": []}, "deltas is empty"),
        ({"term": "age"}, r"no term 'age'; it has \['Intercept', 'height', 'done'\]"),
        ({}, "choose one with term="),
        ({"term": "done", "alpha": 5}, "alpha=5"),
        ({"term": "done", "column": "nope"}, "unknown column 'nope'"),
    ],
)
def test_refuses_questions_without_an_answer(imp, options, message):
    asked = {"column": "height", "deltas": [0.0], "model": smf.ols, **options}
    with pytest.raises(ImputationError, match=message):
        tipping_point(imp, "weight ~ height + done", **asked)


def test_labels_of_the_sensitivity_plots_fit(imp):
    """Tipping points and π′ share their look; a long term must not leave the figure."""
    term = "C(a_rather_long_name_of_a_column)[T.and_of_a_level]"
    rows = {"estimate": [0.1, 0.2], "conf_low": [-0.1, 0.1], "conf_high": [0.3, 0.3]}
    frame = pd.DataFrame({"pi": [0.0, 1.0], **rows, "conclusion": [0, 1]})
    found = PiSensitivity(frame, term, 0.05)
    assert "the conclusion changes" in found.summary()
    assert "estimate" in repr(found)
    tipping = TippingPoint(
        frame.rename(columns={"pi": "delta"}), "a_rather_long_name_of_a_column", term, 0.05, 0
    )
    for drawn in (found, tipping):
        ax = drawn.plot()
        ax.figure.canvas.draw()
        box = ax.figure.bbox
        label = ax.xaxis.label.get_window_extent()
        assert box.x0 <= label.x0 < label.x1 <= box.x1
        label = ax.yaxis.label.get_window_extent()
        assert box.y0 <= label.y0 < label.y1 <= box.y1
        assert box.x0 <= label.x0
        plt.close(ax.figure)


def test_keywords_of_the_model_go_along(imp):
    found = tipping_point(
        imp, "weight ~ height", "height", [0.0, 5.0], model=smf.wls, weights=2.0, term="height"
    )
    plain = tipping_point(
        imp, "weight ~ height", "height", [0.0, 5.0], model=smf.ols, term="height"
    )
    assert_allclose(found.frame["estimate"], plain.frame["estimate"])
    with pytest.raises(ImputationError, match="keywords are a model's"):
        tipping_point(imp, lambda d: smf.ols("weight ~ height", d).fit(), "height", [0.0], cov=1)
