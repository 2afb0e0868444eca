"""What the plots show, read back from the axes; and that they fit small and large frames."""

from __future__ import annotations

import itertools
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text
from numpy.testing import assert_allclose

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.plots.pattern_sets import missing_rates, standardized_means
from psmimpute.imputed.plots.propensity import missing_propensity
from psmimpute.imputed.plots.style import IMPUTED, OBSERVED
from psmimpute.table.patterns import flux


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def wide(fill_gaps):
    """Sixty columns of all sorts, with gaps of 0 to 50 %."""
    rng = np.random.default_rng(3)
    columns = {f"measure_{j}": rng.normal(size=80) for j in range(50)}
    columns |= {f"group_{j}": pd.Categorical(rng.choice(["a", "b"], 80)) for j in range(10)}
    frame = pd.DataFrame(columns)
    rates = np.where(np.arange(60) % 3 == 0, 0, rng.uniform(0, 0.5, 60))
    return fill_gaps(frame.mask(rng.random(frame.shape) < rates))


def points(ax) -> list[np.ndarray]:
    return [np.asarray(c.get_offsets()) for c in ax.collections]


def test_density_draws_observed_blue_and_every_imputation_red(imp):
    ax = imp.plot.density("height")
    colors = [line.get_color() for line in ax.lines]
    assert colors == [IMPUTED] * 4 + [OBSERVED]
    grid, density = ax.lines[-1].get_data()
    assert_allclose(np.trapezoid(density, grid), 1, atol=0.01)
    assert ax.get_xlabel() == "height"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["imputed", "observed"]


def test_plots_draw_where_they_are_told(imp):
    _, ax = plt.subplots()
    assert imp.plot.density("height", ax=ax) is ax


def test_strip_shows_every_value(imp, frame):
    drawn = points(imp.plot.strip(column="height"))
    assert len(drawn) == 5
    assert_allclose(drawn[0][:, 1], frame["height"].dropna())
    for k in range(1, 5):
        assert_allclose(drawn[k][:, 1], imp.imputed_values("height")[k])
        assert (np.abs(drawn[k][:, 0] - k) <= 0.3).all()


def test_box_shows_the_medians(imp, frame):
    ax = imp.plot.box("weight")
    medians = [line.get_ydata()[0] for line in ax.lines if line.get_color() == "white"]
    expected = [frame["weight"].median(), *imp.imputed_values("weight").median()]
    assert_allclose(medians, expected)


def test_xy_splits_rows_by_whether_both_were_observed(imp, frame):
    observed, imputed = points(imp.plot.xy("height", "weight", imputation=2))
    both = frame[["height", "weight"]].notna().all(axis=1)
    assert_allclose(observed, frame.loc[both, ["height", "weight"]])
    assert_allclose(imputed, imp.complete(2).loc[~both, ["height", "weight"]])


def test_bars_show_shares_by_level_in_their_order(imp, frame):
    ax = imp.plot.bars("grade")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["c", "b", "a"]
    heights = [bar.get_height() for bar in ax.patches]
    assert_allclose(heights[:3], frame["grade"].value_counts(normalize=True)[["c", "b", "a"]])
    assert_allclose(sum(heights[3:]), 1)


def test_pattern_counts_rows_and_cells(imp, frame):
    ax = imp.plot.pattern()
    grid = np.asarray(ax.collections[0].get_array())
    counts = np.array([int(label.get_text()) for label in ax.get_yticklabels()])
    assert counts.sum() == len(frame)
    assert_allclose(counts @ grid, np.sort(frame.isna().sum()))
    assert imp.plot.pattern(max_patterns=2).collections[0].get_array().shape == (2, 7)


def test_trace_has_a_line_for_each_member_and_loss(imp):
    lines = imp.plot.trace().lines
    assert [line.get_color() for line in lines] == [OBSERVED] * 4 + [IMPUTED] * 4
    assert_allclose(lines[0].get_ydata(), 3 - np.arange(5) / 10)


def test_weights_counts_rows(imp):
    ax = imp.plot.weights()
    total = sum(bar.get_height() for bar in ax.patches)
    assert total == 40
    red = [bar for bar in ax.patches if to_hex(bar.get_facecolor()) == IMPUTED.lower()]
    assert sum(bar.get_height() for bar in red) == (imp.info.pareto_k > 0.7).sum()


def test_missing_rates_average_to_the_share_missing(imp, frame):
    rates, sizes = missing_rates(imp), imp.pattern_set_probabilities.sum()
    assert_allclose((rates.T @ sizes) / len(frame), frame.isna().mean()[rates.columns])


def test_standardized_means_average_to_zero(imp):
    means, sizes = standardized_means(imp), imp.pattern_set_probabilities.sum()
    assert_allclose(means.T @ sizes, 0, atol=1e-10)


@pytest.mark.parametrize("show", ["missing", "mean"])
def test_pattern_sets_heat_map(imp, show):
    ax = imp.plot.pattern_sets(show=show)
    expected = missing_rates(imp) if show == "missing" else standardized_means(imp)
    assert_allclose(np.asarray(ax.collections[0].get_array()), expected)
    assert len(ax.texts) == expected.size


def test_membership_counts_rows(imp):
    assert sum(bar.get_height() for bar in imp.plot.pattern_sets(show="membership").patches) == 40


def test_propensity_of_noise_is_the_share_missing():
    rng = np.random.default_rng(0)
    predictors = pd.DataFrame({"x": rng.normal(size=4000), "constant": 1.0})
    missing = rng.random(4000) < 0.3
    assert_allclose(missing_propensity(predictors, missing), missing.mean(), atol=0.05)


def test_propensity_follows_the_mechanism():
    rng = np.random.default_rng(0)
    x = rng.normal(size=20_000)
    truth = 1 / (1 + np.exp(-(x - 1)))
    fitted = missing_propensity(pd.DataFrame({"x": x}), rng.random(20_000) < truth)
    assert_allclose(fitted, truth, atol=0.03)


def test_propensity_plot(imp, frame):
    observed, imputed = points(imp.plot.propensity("height"))
    assert len(imputed) == frame["height"].isna().sum()
    assert len(observed) + len(imputed) == 40


def test_overimpute_compares_with_what_was_observed(imp, frame):
    with pytest.raises(ImputationError, match="no observed cell of column 'height'"):
        imp.plot.overimpute("height")
    where, position = imp.where.to_numpy().copy(), imp.position("done")
    where[:6, position] = True
    draws = np.random.default_rng(0).normal(size=(4, 6))
    over = type(imp)(
        data=frame,
        schema=imp.schema,
        where=where,
        values={**imp.values, position: draws},
        member_of=imp.member_of,
    )
    ax = over.plot.overimpute("done")
    assert_allclose(points(ax)[-1][:, 0], frame["done"].iloc[:6])
    assert_allclose(points(ax)[-1][:, 1], draws.mean(axis=0))
    # Four draws leave five places for the observed value: three of them are between draws.
    ends = np.array([segment[:, 1] for segment in ax.collections[0].get_segments()])
    assert_allclose(ends, np.column_stack([draws.min(axis=0), draws.max(axis=0)]))
    truth = frame["done"].iloc[:6].to_numpy()
    inside = 100 * np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1]))
    title = f"{inside:.0f} % of the lines hold the observed value, 60 % expected"
    assert ax.get_title() == title


@pytest.mark.parametrize(("m", "share"), [(20, 0.9), (100, 0.9), (5, 4 / 6)])
def test_overimputation_lines_hold_as_many_values_as_they_say(fill_gaps, m, share):
    rng = np.random.default_rng(0)
    n = 4000
    frame = pd.DataFrame({"x": rng.normal(size=n), "y": rng.normal(size=n)})
    base = fill_gaps(frame, m=m)
    over = type(base)(
        data=frame,
        schema=base.schema,
        where=np.tile([True, False], (n, 1)),
        values={0: rng.normal(size=(m, n))},
        member_of=np.arange(m),
    )
    title = over.plot.overimpute("x").get_title()
    assert title.endswith(f"{100 * share:.0f} % expected")
    # Rounded to whole per cents, and within four standard errors of a share of 4,000 cells.
    error = 100 * 4 * np.sqrt(share * (1 - share) / n) + 0.5
    assert abs(float(title.split()[0]) - 100 * share) < error


def test_assigned_columns_can_be_drawn(imp):
    more = imp.assign(ratio=lambda d: d["weight"] / d["height"])
    drawn = points(more.plot.strip("ratio"))
    assert len(drawn[0]) + len(drawn[1]) == 40
    assert len(points(more.plot.xy("ratio", "height"))) == 2


@pytest.mark.parametrize("column", ["seen", "visits"])
def test_dates_and_nullable_integers(imp, column):
    for draw in (imp.plot.density, imp.plot.strip, imp.plot.box):
        draw(column).figure.canvas.draw()


def test_constant_columns_and_single_gaps_do_not_break(imp, fill_gaps):
    frame = pd.DataFrame({"x": [1.0] * 5 + [2.0, None], "y": [1.0, None] + [3.0] * 5})
    few = fill_gaps(frame)
    for draw in (few.plot.density, few.plot.strip, few.plot.box, few.plot.bars):
        draw("x").figure.canvas.draw()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda p: p.density("nope"), "unknown column 'nope'"),
        (lambda p: p.density("grade"), "use plot.bars"),
        (lambda p: p.bars("height"), "at most 60|distinct values"),
        (lambda p: p.xy("height", "weight", imputation=0), "no imputation 0"),
        (lambda p: p.pattern_sets(show="nope"), "show='nope'"),
        (lambda p: p.propensity("done"), "'done' has no imputed cell"),
    ],
)
def test_refuses_what_it_cannot_draw(imp, draw, message, fill_gaps):
    many = pd.DataFrame({"height": np.r_[np.arange(80.0), np.nan]})
    target = fill_gaps(many) if "distinct" in message else imp
    with pytest.raises(ImputationError, match=message):
        draw(target.plot)


def test_no_history_and_no_weights_is_said(imp):
    imp.info = replace(imp.info, history=(), ess=None)
    with pytest.raises(ImputationError, match="no training history"):
        imp.plot.trace()
    with pytest.raises(ImputationError, match="no effective sample sizes"):
        imp.plot.weights()


@pytest.mark.parametrize("size", ["small", "large"])
def test_flux_names_stand_near_their_points_and_cover_none(imp, wide, size):
    table = imp if size == "small" else wide
    ax = table.plot.flux()
    ax.figure.canvas.draw()
    drawn = ax.collections[0].get_offsets()
    assert_allclose(drawn, flux(table.data)[["influx", "outflux"]])
    pixels = ax.transData.transform(drawn)
    named = set()
    for label in ax.texts:
        box = Text.get_window_extent(label)
        assert not box.count_contains(pixels)
        assert ax.bbox.x0 <= box.x0 < box.x1 <= ax.bbox.x1
        place = ax.transData.transform(label.xy)
        assert np.hypot(*(np.array([box.x0, box.y0]) - place)) < 3.5 * ax.figure.dpi
        named |= set(label.get_text().split(", "))
    if size == "small":
        assert named - {"+1 more"} <= set(map(str, table.data.columns))
    assert len(named) > 5


def test_flux_of_complete_data_has_no_outflux_to_label(fill_gaps):
    whole = fill_gaps(pd.DataFrame({"x": [1.0, 2.0], "y": [2.0, 1.0]}))
    whole.plot.flux().figure.canvas.draw()


def test_many_columns_run_down_the_page(wide):
    ax = wide.plot.pattern_sets()
    expected = missing_rates(wide)
    assert_allclose(np.asarray(ax.collections[0].get_array()), expected.T)
    assert [label.get_text() for label in ax.get_yticklabels()] == [*expected.columns]
    width, _ = wide.plot.pattern().figure.get_size_inches()
    assert width < 12


def overlapping(texts, renderer) -> list[tuple[str, str]]:
    boxes = [(t.get_text(), Text.get_window_extent(t, renderer)) for t in texts if t.get_text()]
    return [
        (one, two)
        for (one, a), (two, b) in itertools.combinations(boxes, 2)
        if a.overlaps(b) and a.width and b.width
    ]


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize(
    ("method", "columns", "options"),
    [
        ("density", "x", {}),
        ("strip", "x", {}),
        ("box", "x", {}),
        ("xy", "xx", {}),
        ("bars", "g", {}),
        ("pattern", "", {}),
        ("flux", "", {}),
        ("trace", "", {}),
        ("pattern_sets", "", {}),
        ("pattern_sets", "", {"show": "mean"}),
        ("pattern_sets", "", {"show": "membership"}),
        ("weights", "", {}),
        ("propensity", "x", {}),
    ],
)
def test_labels_do_not_overlap(imp, wide, method, columns, options, size):
    table, names = (
        (imp, {"x": "height", "g": "grade"})
        if size == "small"
        else (wide, {"x": "measure_1", "g": "group_1"})
    )
    ax = getattr(table.plot, method)(*(names[c] for c in columns), **options)
    ax.figure.canvas.draw()
    renderer = ax.figure.canvas.get_renderer()
    assert overlapping(ax.texts, renderer) == []
    for axis in (ax, *ax.child_axes):
        assert overlapping(axis.get_xticklabels(), renderer) == []
        assert overlapping(axis.get_yticklabels(), renderer) == []
