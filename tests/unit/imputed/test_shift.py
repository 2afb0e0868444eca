"""Shifted imputations: numbers exactly, levels in distribution."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logit

from psmimpute.exceptions import (
    BoundedShiftWarning,
    DerivedMismatchWarning,
    ImputationError,
    NoEffectWarning,
)
from psmimpute.imputed.level_shift import level_probabilities, shift_levels, shift_ordered
from psmimpute.imputed.multiply_imputed import MultiplyImputed
from psmimpute.imputed.stored import read_imputed
from psmimpute.table.infer import infer_schema

# Statistical checks below are at 5 standard errors: false alarms at 6e-7 each.
Z = 5


def drawn_levels(rng, probabilities, m):
    """Draw levels of cells with these probabilities m times."""
    edges = np.cumsum(probabilities, axis=1)
    return (rng.random((m, len(probabilities), 1)) > edges).sum(axis=-1)


def test_numbers_move_by_delta_and_nothing_else_moves(imp, frame):
    shifted = imp.delta({"height": 0.5, "weight": -2})
    for k in range(1, 5):
        before, after = imp.complete(k), shifted.complete(k)
        gaps = frame["height"].isna()
        assert_allclose(after.loc[gaps, "height"], before.loc[gaps, "height"] + 0.5)
        assert_array_equal(after.loc[~gaps, "height"], before.loc[~gaps, "height"])
        assert after.drop(columns=["height", "weight"]).equals(
            before.drop(columns=["height", "weight"])
        )
    assert shifted.info.adjustments == ("'height' shifted by 0.5", "'weight' shifted by -2")
    assert "shifted" in repr(shifted)


def test_only_rows_drawn_into_the_set_move(imp, frame):
    shifted = imp.delta({"height": 10.0}, pattern_set=2)
    for k in range(1, 5):
        moved = shifted.complete(k)["height"] - imp.complete(k)["height"]
        expected = frame["height"].isna() & (imp.complete(k, pattern_set=True)["pattern_set"] == 2)
        assert_allclose(moved, 10.0 * expected)
    assert shifted.delta({"height": 10.0}, pattern_set=[1]) == imp.delta({"height": 10.0})
    both = imp.delta({"height": 10.0}, pattern_set=[1, 2])
    assert both.complete(1).equals(imp.delta({"height": 10.0}).complete(1))


def test_a_shift_of_a_complete_column_says_that_it_does_nothing(imp):
    with pytest.warns(NoEffectWarning, match="'done' has no imputed cell: nothing was shifted"):
        shifted = imp.delta({"done": 1.0, "height": 2.0})
    assert shifted.info.adjustments == ("'height' shifted by 2.0",)


def test_derived_columns_of_a_file_do_not_follow_and_say_so(imp, tmp_path):
    more = imp.assign(ratio=lambda d: d["weight"] / d["height"])
    more.info = replace(more.info, declared={"Derived": "ratio: weight / height"})
    more.to_parquet(tmp_path / "stored")
    stored = read_imputed(tmp_path / "stored")
    with pytest.warns(DerivedMismatchWarning, match=r"ratio: weight / height.*assign"):
        shifted = stored.delta({"weight": 5.0})
    assert_allclose(shifted.complete(1)["ratio"], stored.complete(1)["ratio"])
    follows = more.delta({"weight": 5.0}).complete(1)
    assert_allclose(follows["ratio"], follows["weight"] / follows["height"])


def test_no_shift_changes_nothing(imp):
    zero = pd.Timedelta(0)
    shifted = imp.delta(
        {"height": 0, "visits": 0, "grade": 0, "town": {"Bonn": 0}, "seen": zero}, scale="link"
    )
    for k in range(1, 5):
        assert shifted.complete(k).equals(imp.complete(k))


def test_dates_move_by_durations(imp, frame):
    shifted = imp.delta({"seen": pd.Timedelta("2 days")})
    moved = shifted.complete(1)["seen"] - imp.complete(1)["seen"]
    assert (moved == frame["seen"].isna().astype(int) * pd.Timedelta("2 days")).all()


def test_counts_stay_whole_and_not_negative(imp, frame):
    with pytest.warns(BoundedShiftWarning, match="cannot go below 0: 100% of those"):
        low = imp.delta({"visits": -100}).complete(1)["visits"]
    assert (low[frame["visits"].isna()] == 0).all()
    doubled = imp.delta({"visits": np.log(2)}, scale="link")
    gaps = frame["visits"].isna()
    assert (doubled.complete(1)["visits"][gaps] == 2 * imp.complete(1)["visits"][gaps]).all()
    assert doubled.complete(1)["visits"].dtype == "Int64"


def test_whole_numbers_move_by_the_shift_on_average(rng):
    frame = pd.DataFrame({"n": rng.poisson(30, 4000).astype(float)})
    frame.loc[:1999, "n"] = np.nan
    imp = MultiplyImputed(
        data=frame,
        schema=infer_schema(frame),
        where=frame.isna().to_numpy(),
        values={0: rng.poisson(30, (2, 2000)).astype(float)},
        member_of=[0, 1],
    )
    before = imp.values[0]
    for delta in (0.0, 0.3, -0.3, 2.0):
        moved = imp.delta({"n": delta}).values[0] - before
        assert set(np.unique(moved)) <= {np.floor(delta), np.ceil(delta)}
        error = np.sqrt(abs(delta) % 1 * (1 - abs(delta) % 1) / moved.size)
        assert abs(moved.mean() - delta) <= Z * error
    assert (imp.delta({"n": 0.3}).values[0] <= imp.delta({"n": 0.6}).values[0]).all()


def test_zeros_of_amounts_stay_zero(rng):
    spent = np.where(rng.random(300) < 0.5, 0.0, rng.lognormal(size=300))
    frame = pd.DataFrame({"spent": np.where(rng.random(300) < 0.2, np.nan, spent)})
    schema = infer_schema(frame, kinds={"spent": "semicontinuous"})
    where = frame.isna().to_numpy()
    cells = rng.choice(spent, size=(3, where.sum()))
    imp = MultiplyImputed(
        data=frame, schema=schema, where=where, values={0: cells}, member_of=[0, 1, 2]
    )
    assert_allclose(imp.delta({"spent": 1.0}).values[0], np.where(cells == 0, 0, cells + 1))
    doubled = imp.delta({"spent": np.log(2)}, scale="link").values[0]
    assert_allclose(doubled, 2 * cells)
    with pytest.warns(BoundedShiftWarning, match="'spent' cannot go below 0"):
        assert (imp.delta({"spent": -1e6}).values[0][cells > 0] > 0).all()


def test_probabilities_sum_to_one_and_leave_out_the_draw_itself(rng):
    codes = rng.integers(0, 3, (5, 40))
    probabilities = level_probabilities(codes, 3)
    assert_allclose(probabilities.sum(axis=-1), 1)
    changed = codes.copy()
    changed[2] = (changed[2] + 1) % 3
    other = level_probabilities(changed, 3)
    # Only the column's overall shares, not the cell's own draws, can have changed.
    assert np.abs(other[2] - probabilities[2]).max() < np.abs(other[0] - probabilities[0]).max()


def test_one_imputation_uses_the_overall_shares(rng):
    codes = rng.integers(0, 2, (1, 50))
    assert_allclose(level_probabilities(codes, 2)[0, :, 1], codes.mean())


@pytest.mark.parametrize("shift", [-1.5, 0.7])
def test_known_probabilities_are_shifted_on_the_logit_scale(rng, shift):
    n, m = 4000, 5
    p = rng.beta(2, 3, n)
    true = np.stack([1 - p, p], axis=1)
    codes = drawn_levels(rng, true, m)
    moved = shift_ordered(codes, np.broadcast_to(true, (m, n, 2)), shift, rng.random((m, n)))
    expected = expit(logit(p) + shift)
    error = Z * np.sqrt((expected * (1 - expected)).mean() / (n * m))
    assert_allclose(moved.mean(), expected.mean(), atol=error)
    assert ((moved - codes) * np.sign(shift) >= 0).all()


def test_ordered_shift_moves_every_cumulative_logit(rng):
    n, m, shift = 6000, 4, 0.9
    p = rng.dirichlet([2, 3, 1, 2], n)
    codes = drawn_levels(rng, p, m)
    moved = shift_ordered(codes, np.broadcast_to(p, (m, n, 4)), shift, rng.random((m, n)))
    below = np.cumsum(p, axis=1)[:, :-1]
    expected = expit(logit(below) - shift)
    for j in range(3):
        error = Z * np.sqrt((expected[:, j] * (1 - expected[:, j])).mean() / (n * m))
        assert_allclose((moved <= j).mean(), expected[:, j].mean(), atol=error)


def test_unordered_shift_tilts_probabilities(rng):
    n, m = 6000, 4
    p, shifts = rng.dirichlet([2, 3, 1], n), np.array([0.0, -1.0, 1.0])
    codes = drawn_levels(rng, p, m)
    moved = shift_levels(codes, np.broadcast_to(p, (m, n, 3)), shifts, rng.random((m, n)))
    tilted = p * np.exp(shifts)
    tilted /= tilted.sum(axis=1, keepdims=True)
    for level in range(3):
        error = Z * np.sqrt((tilted[:, level] * (1 - tilted[:, level])).mean() / (n * m))
        assert_allclose((moved == level).mean(), tilted[:, level].mean(), atol=error)


@pytest.mark.parametrize(("a", "b"), [(2, 3), (0.3, 0.4), (30, 50)])
def test_probabilities_learned_from_draws_shift_nearly_as_the_true_ones(rng, a, b):
    n, m, shift = 5000, 20, 1.0
    p = rng.beta(a, b, n)
    codes = drawn_levels(rng, np.stack([1 - p, p], axis=1), m)
    moved = shift_ordered(codes, level_probabilities(codes, 2), shift, rng.random((m, n)))
    expected = expit(logit(p) + shift).mean()
    # The remaining error is that of estimating p from 19 draws, measured to be below 0.02.
    assert_allclose(moved.mean(), expected, atol=0.02)


def test_levels_move_steadily_with_the_shift(imp):
    codes = [
        imp.delta({"grade": shift}).complete(1)["grade"].cat.codes.to_numpy()
        for shift in (-3, -1, 0, 1, 3)
    ]
    assert all((later >= earlier).all() for earlier, later in itertools.pairwise(codes))
    assert (codes[0] < codes[-1]).any()


def test_a_nominal_level_can_be_favoured(imp, frame):
    pisa = imp.delta({"town": {"Pisa": 30.0}})
    assert (pisa.complete(2)["town"][frame["town"].isna()] == "Pisa").all()
    assert pisa.complete(2)["town"].dtype == frame["town"].dtype


@pytest.mark.parametrize(
    ("deltas", "options", "message"),
    [
        ({"nope": 1}, {}, "unknown column 'nope'"),
        ({"town": 1}, {}, "'town' is nominal: give its shift by level"),
        ({"town": {"Rome": 1}}, {}, "no level 'Rome'"),
        ({"town": {"Pisa": "x"}}, {}, "takes a number as shift, got 'x'"),
        ({"height": "1"}, {}, "'height' of kind continuous takes a number"),
        ({"height": {"a": 1}}, {}, "'height' of kind continuous takes a number"),
        ({"height": np.nan}, {}, "not finite"),
        ({"seen": 3}, {}, "'seen' of kind datetime takes a duration"),
        ({"height": 1}, {"pattern_set": 3}, "no pattern set 3: they are 1 to 2"),
        ({"height": 1}, {"pattern_set": [1, 0]}, "no pattern set 0"),
        ({"height": 1}, {"scale": "log"}, "scale='log'"),
    ],
)
def test_refuses_shifts_that_do_not_fit(imp, deltas, options, message):
    with pytest.raises(ImputationError, match=message):
        imp.delta(deltas, **options)


def test_columns_without_imputed_cells_take_only_shifts_that_fit_them(frame):
    whole = frame.dropna().reset_index(drop=True)
    first = whole.mask(pd.DataFrame(False, index=whole.index, columns=whole.columns))
    first.loc[0, "weight"] = np.nan
    copies = MultiplyImputed(
        data=first,
        schema=infer_schema(frame),
        where=first.isna().to_numpy(),
        values={first.columns.get_loc("weight"): np.full((2, 1), 60.0)},
        member_of=np.arange(2),
    )
    fit = {"height": 1.0, "visits": 2, "grade": 0.5, "seen": pd.Timedelta("1 day")}
    fit["town"] = {"Pisa": 1.0}
    with pytest.warns(NoEffectWarning, match="no imputed cell"):
        assert copies.delta(fit).complete(2).equals(copies.complete(2))
    for name in fit:
        with pytest.raises(ImputationError, match=f"'{name}'"):
            copies.delta({name: "x"})


def test_shifted_imputations_pickle_and_do_not_touch_the_original(imp):
    before = imp.complete(1)
    imp.delta({"height": 5.0, "grade": 2.0})
    assert imp.complete(1).equals(before)
    assert imp.info.adjustments == ()


def test_a_shift_beyond_bounds_says_how_far_it_went(imp):
    before = imp.imputed_values("visits").astype(float)
    with pytest.warns(BoundedShiftWarning, match="'visits' cannot go below 0: ") as told:
        after = imp.delta({"visits": -2}).imputed_values("visits").astype(float)
    moved = (after - before).to_numpy().mean()
    assert -2 < moved < 0
    assert f"mean moved by {moved:.3g} in place of -2" in str(told[0].message)
    held = (before.to_numpy() < 2).mean()
    assert f"{held:.0%} of those" in str(told[0].message)


def test_a_computed_column_is_shifted_by_what_it_is_computed_from(imp):
    more = imp.assign(double=lambda d: 2 * d["height"])
    with pytest.raises(ImputationError, match="'double' is computed from others"):
        more.delta({"double": 1.0})


@pytest.mark.parametrize("rows", ["done > 0", lambda d: d["done"] > 0, "mask"])
def test_rows_of_a_condition_move_alone(imp, frame, rows):
    chosen = (frame["done"] > 0).to_numpy()
    shifted = imp.delta({"height": 10.0}, rows=chosen if rows == "mask" else rows)
    for before, after in zip(imp, shifted, strict=True):
        moved = after["height"] - before["height"]
        assert_allclose(moved, 10.0 * (frame["height"].isna() & chosen))
    assert " where done > 0" in repr(shifted) or " in some rows" in repr(shifted)
    with pytest.raises(ImputationError, match="one boolean for each of the 40 rows"):
        imp.delta({"height": 10.0}, rows=[True])
