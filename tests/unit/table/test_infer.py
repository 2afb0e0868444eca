"""The kind of each column and its reason; what is refused, and how it is said."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from psmimpute.exceptions import (
    ConstantColumnWarning,
    NumbersAsTextWarning,
    SchemaError,
    SparseColumnWarning,
    SupportError,
    SuspectValueWarning,
)
from psmimpute.table.infer import infer_schema
from psmimpute.table.kinds import ColumnKind

N = 400


def _kinds(**columns):
    return {column.name: column for column in infer_schema(pd.DataFrame(columns)).columns}


def test_numbers(rng):
    zero = rng.random(N) < 0.4
    found = _kinds(
        real=rng.normal(size=N),
        whole=rng.integers(-40, 40, N),
        age=rng.integers(18, 90, N).astype(float),
        two=rng.choice([1.0, 2.0], N),
        count=rng.poisson(3, N),
        many_zeros=rng.poisson(0.7, N),
        days_off=np.arange(N) % 6 * (np.arange(N) % 11),
        visits=np.round(rng.exponential(12, size=N)),
        income=rng.lognormal(sigma=0.8, size=N),
        rain=np.where(zero, 0.0, rng.lognormal(size=N)),
        capital=np.where(zero, 0, rng.integers(1000, 9000, N)),
    )
    assert {name: str(column.kind) for name, column in found.items()} == {
        "real": "continuous",
        "whole": "continuous",
        "age": "continuous",
        "two": "binary",
        "count": "count",
        "many_zeros": "count",
        "days_off": "count",
        "visits": "count",
        "income": "positive",
        "rain": "semicontinuous",
        "capital": "semicontinuous",
    }
    assert [name for name, column in found.items() if column.is_integer] == [
        "whole",
        "age",
        "count",
        "many_zeros",
        "days_off",
        "visits",
        "capital",
    ]
    assert found["two"].levels == (1.0, 2.0)
    assert found["two"].reason == "two distinct values, 1 and 2"
    assert "exact zeros, the rest positive" in found["rain"].reason
    assert found["income"].reason.startswith("positive, skewness")
    assert found["rain"].transform.kind == "normal_scores"


def test_narrow_whole_numbers_that_are_no_counts_are_rounded(rng):
    found = _kinds(
        delay=rng.integers(-2, 4, N),
        year=rng.integers(2015, 2020, N),
        wide=rng.integers(-9, 9, N),
        real=rng.normal(size=N),
        likert=rng.integers(0, 5, N),
    )
    assert [name for name, column in found.items() if column.is_rounded] == ["delay", "year"]
    families = {name: str(column.features(0)[0].family) for name, column in found.items()}
    assert families == {
        "delay": "count",
        "year": "count",
        "wide": "gaussian",
        "real": "gaussian",
        "likert": "count",
    }
    delay = pd.DataFrame({"delay": rng.integers(-2, 4, N)})
    assert not infer_schema(delay, kinds={"delay": "continuous"})["delay"].is_rounded


def test_a_column_that_goes_by_square_roots_is_never_imputed_negative(rng):
    dose = rng.gamma(0.7, size=N)
    dose[:5] = 0.0
    found = _kinds(dose=dose, error=rng.normal(size=N))
    assert (found["dose"].kind, found["dose"].transform.kind) == ("continuous", "sqrt")
    assert found["dose"].support[0] == 0
    assert found["error"].support[0] < 0


def test_a_positive_column_that_goes_by_roots_stays_above_half_its_smallest_value(rng):
    waiting = rng.gamma(2.0, size=N)
    found = _kinds(waiting=waiting, income=rng.lognormal(size=N))
    assert (found["waiting"].kind, found["waiting"].transform.kind) == ("positive", "cube_root")
    assert found["waiting"].support[0] == waiting.min() / 2
    assert found["income"].transform.kind == "log"
    assert 0 < found["income"].support[0] < 1e-300


def test_categories_labels_and_times(rng):
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 99, N), unit="D")
    found = _kinds(
        flag=rng.random(N) < 0.5,
        text=rng.choice(["x", "y", "z"], N),
        two_words=rng.choice(["yes", "no"], N),
        nominal=pd.Categorical(rng.choice(["x", "y", "z"], N), categories=["z", "y", "x", "q"]),
        ordinal=pd.Categorical(rng.choice(["lo", "mid", "hi"], N), ["lo", "mid", "hi"], True),
        half=pd.Categorical(rng.choice(["lo", "hi"], N), ["lo", "mid", "hi"], ordered=True),
        day=days,
        hour=days.tz_localize("Europe/Paris") + pd.Timedelta("3h"),
        span=pd.to_timedelta(rng.integers(1, 999, N), unit="min"),
    )
    assert [str(column.kind) for column in found.values()] == [
        "binary",
        "nominal",
        "binary",
        "nominal",
        "ordinal",
        "binary",
        "datetime",
        "datetime",
        "timedelta",
    ]
    assert found["flag"].levels == (False, True)
    assert found["two_words"].levels == ("no", "yes")
    assert found["two_words"].reason == "labels, two of them observed"
    assert found["flag"].reason == "true or false"
    assert found["nominal"].levels == ("z", "y", "x")
    assert found["half"].levels == ("lo", "hi")
    assert found["ordinal"].reason == "categories ordered, 3 of them observed"
    assert found["day"].reason == "dates or times, all on the day"
    assert found["hour"].reason == "dates or times, all on the hour"
    assert found["span"].reason == "durations, all on the minute"


def test_kinds_can_be_asked_for(rng):
    df = pd.DataFrame({"code": rng.integers(1, 5, N), "x": rng.lognormal(size=N)})
    schema = infer_schema(df, kinds={"code": "nominal", "x": ColumnKind.CONTINUOUS})
    assert schema["code"].levels == (1, 2, 3, 4)
    assert schema["code"].reason.startswith("numbers, as asked for by kinds=")
    assert schema["x"].kind is ColumnKind.CONTINUOUS
    assert infer_schema(df, kinds={"code": "ordinal"})["code"].features(0)[0].n_levels == 4


def test_features_of_a_schema(rng):
    df = pd.DataFrame(
        {
            "rain": np.where(rng.random(N) < 0.5, 0.0, rng.exponential(size=N)),
            "k": rng.poisson(3, N),
            "g": rng.choice(["x", "y", "z"], N),
            "x": rng.normal(size=N),
        }
    )
    schema = infer_schema(df)
    assert [(f.name, str(f.family), f.column, f.n_levels) for f in schema.features] == [
        ("rain:nonzero", "bernoulli", 0, 2),
        ("rain:amount", "gaussian", 0, 0),
        ("k", "count", 1, 0),
        ("g", "categorical", 2, 3),
        ("x", "gaussian", 3, 0),
    ]
    assert schema.feature_slices == (slice(0, 2), slice(2, 3), slice(3, 4), slice(4, 5))


def test_excluded_columns_are_not_looked_at():
    df = pd.DataFrame({"x": [1.0, 2.5, None, 4.0], "odd": [1, "a", None, ()], "never": [None] * 4})
    schema = infer_schema(df, exclude=["never", "odd"])
    assert schema.column_names == ("x",)
    assert schema.excluded == ("odd", "never")
    assert schema.to_frame().loc["never", "kind"] == "excluded"
    assert "2 excluded" in repr(schema)
    assert "<table" in schema._repr_html_()


def test_repr_shows_kind_and_reason(rng):
    shown = repr(infer_schema(pd.DataFrame({"smokes": [True, False, None] * 5})))
    assert "1 column, 1 with missing cells" in shown
    assert "true or false" in shown
    assert "False, True" in shown


def test_identifiers_are_left_out(rng):
    df = pd.DataFrame({"name": [f"person {i}" for i in range(N)], "x": rng.normal(size=N)})
    with pytest.warns(SparseColumnWarning, match=r"'name' looks like an identifier: 400 distinct"):
        schema = infer_schema(df)
    assert schema.excluded == ("name",)
    assert len(infer_schema(df, kinds={"name": "nominal"})["name"].levels) == N
    df.loc[3, "name"] = None
    with pytest.raises(SchemaError, match=r"'name' looks like .* 1 missing: give exclude=\['name'"):
        infer_schema(df)


def test_every_column_that_cannot_be_used_is_named_at_once():
    df = pd.DataFrame({"x": [1.0, 2.5, None, 4.0], "odd": [1, "a", None, ()], "never": [None] * 4})
    with pytest.raises(
        SchemaError, match=r"2 columns cannot be used.*\n\* .*'odd'.*\n\* .*'never'"
    ):
        infer_schema(df)


@pytest.mark.parametrize(("n_days", "gap"), [(20, True), (N, False), (N, True)])
def test_dates_that_came_as_text_are_announced(rng, n_days, gap):
    days = pd.date_range("2020-01-01", periods=n_days).strftime("%Y-%m-%d")
    df = pd.DataFrame({"day": np.resize(days, N), "x": rng.normal(size=N)})
    if gap:
        df.loc[3, "day"] = None
    if n_days == N and gap:
        with pytest.raises(SchemaError, match=r"pd.to_datetime\(df\['day'\]\)"):
            infer_schema(df)
        return
    kind = NumbersAsTextWarning if n_days < N else SparseColumnWarning
    with pytest.warns(kind, match=r"pd.to_datetime\(df\['day'\]\)"):
        infer_schema(df)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        infer_schema(df.assign(day=pd.to_datetime(df["day"])))


def test_numbers_that_came_as_text_are_announced():
    numbers = [f"{i / 2}" for i in range(30)] * 2
    df = pd.DataFrame({"dose": [*numbers, "n/a"], "x": np.arange(61.0)})
    told = r"'dose' is text whose 31 distinct values are numbers, but for 'n/a',.*pd\.to_numeric"
    with pytest.warns(NumbersAsTextWarning, match=told):
        assert infer_schema(df)["dose"].kind == "nominal"
    infer_schema(df, kinds={"dose": "nominal"})
    infer_schema(df.assign(dose=df["dose"].map(lambda text: f"0{text}")))  # codes
    infer_schema(df.assign(dose=["1", "2", "3"] * 20 + ["4"]))
    infer_schema(df.assign(dose=[f"{text} mg" for text in df["dose"]]))


def test_numbers_as_text_that_look_like_identifiers_have_their_remedy():
    df = pd.DataFrame({"dose": [f"{i / 7:.3f}" for i in range(200)] + [None]})
    told = r"it says numbers: pd\.to_numeric\(df\['dose'\]\)"
    with pytest.warns(NumbersAsTextWarning), pytest.raises(SchemaError, match=told):
        infer_schema(df)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ([*range(20, 80), 999, 999], "999"),
        ([1, 2, 3, 4, 5] * 20 + [-9] * 3, "-9"),
        ([1, 2, 3, 4, 5] * 20 + [9] * 3, "9"),
        ([0.5, 0.7, 0.1, -99, -99], "-99"),
        ([*range(11)] * 9 + [-9] * 3, "-9"),
    ],
)
def test_codes_of_missing_values_are_announced(values, code):
    told = rf"'x': {code}, seen [23] times, stands apart .*replace\({code}, np.nan\)"
    with pytest.warns(SuspectValueWarning, match=told):
        infer_schema(pd.DataFrame({"x": values}, dtype=float))


@pytest.mark.parametrize(
    "values",
    [
        [*range(18, 100), 99],  # an age
        [*range(20, 80), 999],  # once
        [*range(20, 80), 500, 500],  # no code
        [9, 9, 1, 6],  # not far
        [0, 99] * 20,
    ],
)
def test_other_far_values_are_not(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error", SuspectValueWarning)
        infer_schema(pd.DataFrame({"x": values}, dtype=float))


@pytest.mark.parametrize("text", ["", "?", " N/A ", "Unknown"])
def test_texts_that_say_nothing_are_announced(text):
    df = pd.DataFrame({"g": ["a", "b", "c", text, text] * 10, "x": np.arange(50.0)})
    with pytest.warns(SuspectValueWarning, match=r"'g': .*, seen 20 times, is taken for a level"):
        assert text in infer_schema(df)["g"].levels
    with warnings.catch_warnings():
        warnings.simplefilter("error", SuspectValueWarning)
        infer_schema(df, kinds={"g": "nominal"})


@pytest.mark.parametrize("day", ["1900-01-01", "1970-01-01", "9999-12-31"])
def test_days_that_stand_for_none_are_announced(day):
    days = pd.date_range("2020-01-01", periods=60).as_unit("s").to_series(index=range(60))
    df = pd.DataFrame({"seen": days, "x": np.arange(60.0)})
    df.loc[[3, 7], "seen"] = pd.Timestamp(day)
    with pytest.warns(SuspectValueWarning, match=rf"'seen': {day}, seen 2 times, stands apart"):
        infer_schema(df)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SuspectValueWarning)
        infer_schema(df, bounds={"seen": (None, None)})
        df.loc[3, "seen"] = pd.Timestamp("2020-02-02")  # once may be what was meant
        infer_schema(df)


def test_whole_numbers_too_large_to_tell_apart_are_refused():
    names = pd.array(2**60 + np.arange(60), dtype="Int64")
    df = pd.DataFrame({"name": names, "x": np.arange(60.0)})
    with pytest.raises(SchemaError, match=r"'name' holds whole .* exclude=\['name'\]; .* subtract"):
        infer_schema(df)


def test_a_kind_or_bounds_silence_the_suspicion():
    df = pd.DataFrame({"x": [1.0, 2, 3, 4, 5] * 20 + [-9.0] * 3})
    with warnings.catch_warnings():
        warnings.simplefilter("error", SuspectValueWarning)
        infer_schema(df, kinds={"x": "continuous"})
        infer_schema(df, bounds={"x": (-10, 10)})


def test_rare_levels_of_a_column_with_gaps_are_announced():
    df = pd.DataFrame({"g": ["a"] * 60 + ["b"] * 60 + ["c"] * 2})
    infer_schema(df)
    df.loc[0, "g"] = None
    with pytest.warns(SparseColumnWarning, match=r"'g' has 1 level\(s\) .* fewer than 5 .*'c'"):
        infer_schema(df)


@pytest.mark.parametrize("value", [3.5, 7, "a", True, pd.Timestamp("2020-01-01", tz="UTC")])
def test_constant_columns_are_kept(value):
    df = pd.DataFrame({"c": pd.Series([value, None, value]), "x": [1.0, 2.0, 4.5]})
    with pytest.warns(ConstantColumnWarning, match=r"column 'c' has one observed value"):
        schema = infer_schema(df)
    assert schema["c"].constant == value
    assert schema["c"].n_features == 0
    assert [f.name for f in schema.features] == ["x"]


DAYS = pd.date_range("2020", periods=4)
GOOD = {"x": [0.5, 1.5, None, 3.5], "g": ["a", "b", "c", None], "d": DAYS}


@pytest.mark.parametrize(
    ("columns", "options", "error", "message"),
    [
        (
            {"x": [1, "a", None]},
            {},
            SchemaError,
            r"'x' mixes values of .* int, str:.*exclude",
        ),
        ({"x": [(1,), (2,)]}, {}, SchemaError, r"'x' has dtype object .* type tuple"),
        ({"x": [1j, 2j]}, {}, SchemaError, r"'x' has dtype complex128.*exclude=\['x'\]"),
        (
            {"x": pd.period_range("2020", periods=3, freq="M")},
            {},
            SchemaError,
            r"period\[M\].*to_timestamp",
        ),
        ({"x": [None, None]}, {}, SchemaError, r"'x' was never observed: give exclude=\['x'\]"),
        ({"x": []}, {}, SchemaError, "no rows"),
        (GOOD, {"exclude": ["x", "g", "d"]}, SchemaError, "no column is left"),
        (
            GOOD,
            {"kinds": {"y": "count"}},
            SchemaError,
            r"kinds names .*: 'y'; it has 'x', 'g'",
        ),
        (GOOD, {"exclude": ["y"]}, SchemaError, "exclude names columns .*: 'y'"),
        (GOOD, {"exclude": "x"}, SchemaError, r"give a list, exclude=\['x'\]"),
        (GOOD, {"bounds": {"y": (0, 1)}}, SchemaError, "bounds names columns .*: 'y'"),
        (GOOD, {"kinds": ["x"]}, SchemaError, "kinds must map column names"),
        (GOOD, {"kinds": {"x": "real"}}, SchemaError, "unknown kind 'real'; the kinds are cont"),
        (GOOD, {"kinds": {"g": "count"}}, SchemaError, r"'g' holds labels .*possible kinds: bin"),
        (GOOD, {"kinds": {"g": "ordinal"}}, SchemaError, "make it an ordered category"),
        (GOOD, {"kinds": {"d": "count"}}, SchemaError, "holds dates or times .*: datetime"),
        (
            GOOD,
            {"kinds": {"g": "binary"}},
            SchemaError,
            "has 3 distinct values, kind 'binary'",
        ),
        (
            GOOD,
            {"kinds": {"x": "count"}},
            SupportError,
            r"'x', row 0 \(and 2 more rows\): 0.5 is",
        ),
        (
            {"x": [1.0, 0.0, 7.5]},
            {"kinds": {"x": "positive"}},
            SupportError,
            "row 1: 0 is not p",
        ),
        (
            {"x": [1.0, -2.0, 7.5]},
            {"kinds": {"x": "semicontinuous"}},
            SupportError,
            "row 1: -2 is neither zero nor positive",
        ),
        (GOOD, {"bounds": {"x": (1, 9)}}, SupportError, r"'x', row 0: 0.5 is outside .*\(1, 9\)"),
        (GOOD, {"bounds": {"x": (9, 1)}}, SchemaError, "no pair .* low < high"),
        (GOOD, {"bounds": {"x": 3}}, SchemaError, "no pair"),
        (GOOD, {"bounds": {"g": (0, 1)}}, SchemaError, "'g' holds labels: bounds are for numbers"),
        ({"x": [1.0, np.inf, 3.0]}, {}, SupportError, "column 'x', row 1: inf is infinite"),
    ],
)
def test_bad_input_is_named(columns, options, error, message):
    with pytest.raises(error, match=message):
        infer_schema(pd.DataFrame(columns), **options)


def test_rows_are_named_by_label_and_position():
    df = pd.DataFrame({"x": [1.0, -np.inf, 3.0]}, index=["a", "b", "c"])
    with pytest.raises(SupportError, match=r"row 'b' \(position 1\): -inf"):
        infer_schema(df)


def test_duplicated_names_and_no_frame_are_refused():
    with pytest.raises(SchemaError, match="duplicated column names: 'a'; rename"):
        infer_schema(pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]))
    with pytest.raises(SchemaError, match="expected a pandas DataFrame, got dict"):
        infer_schema({"a": [1]})
    with pytest.raises(SchemaError, match=r"no modelled column 'z'"):
        infer_schema(pd.DataFrame({"a": [1.5, 2.5, 3.5]}))["z"]


def test_bounds_of_a_column_of_two_values_are_checked_and_no_more():
    df = pd.DataFrame({"b": [0.0, 1.0, None, 1.0]})
    assert infer_schema(df, bounds={"b": (0, 1)})["b"].kind is ColumnKind.BINARY
    with pytest.raises(SupportError, match="outside the bounds"):
        infer_schema(df, bounds={"b": (0.5, 1)})


def test_bounds_that_leave_nothing_are_refused():
    df = pd.DataFrame({"k": [3.0, 4.0, 5.0]})
    with pytest.raises(SupportError, match="outside"):
        infer_schema(df, bounds={"k": (3.1, 3.9)})


def test_ordinary_data_give_no_warning(rng):
    df = pd.DataFrame(rng.normal(size=(30, 3))).mask(rng.random((30, 3)) < 0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        infer_schema(df)


def test_ratings_keep_between_their_ends(rng):
    ratings = np.clip(np.rint(3 + rng.normal(size=300)), 1, 5)
    schema = infer_schema(
        pd.DataFrame({"item": ratings, "children": ratings - 1, "odd": 2 * ratings})
    )
    assert schema["item"].support == (1.0, 5.0)
    assert "kept between them" in schema["item"].reason
    assert schema["children"].support[1] > 5
    assert schema["odd"].support[1] > 10
    bounded = infer_schema(pd.DataFrame({"item": ratings}), bounds={"item": (0, 10)})
    assert bounded["item"].support == (0.0, 10.0)


@pytest.mark.parametrize(
    ("share", "kind"), [(0.15, "semicontinuous"), (0.03, "continuous"), (0.4, "semicontinuous")]
)
def test_a_pile_of_zeros_below_amounts_is_a_point_mass(rng, share, kind):
    amounts = np.where(rng.random(400) < share, 0.0, rng.gamma(1.5, 8.0, 400).round(1))
    assert infer_schema(pd.DataFrame({"x": amounts}))["x"].kind == kind
    counts = rng.negative_binomial(1, 0.05, 400).astype(float)
    assert infer_schema(pd.DataFrame({"x": counts}))["x"].kind == "count"


@pytest.mark.parametrize("form", ["{:,.2f}", "€{:,.0f}", "{:.0f}%", "({:.1f})"])
def test_numbers_with_separators_and_signs_are_announced(rng, form):
    texts = [form.format(x) for x in rng.choice(rng.lognormal(8, 1, 40), 400)]
    with pytest.warns(NumbersAsTextWarning, match="taking separators and signs away"):
        infer_schema(pd.DataFrame({"x": texts}))


def test_dtypes_that_cannot_be_modelled_name_their_own_remedy():
    for column, remedy in (
        (pd.Series(pd.interval_range(0, 9)), r"by \.astype\('category'\)"),
        (pd.Series(pd.period_range("2020", periods=9, freq="Y")), r"by \.dt\.to_timestamp"),
        (pd.Series([1 + 2j] * 9), "convert it, or give"),
    ):
        with pytest.raises(SchemaError, match=remedy):
            infer_schema(pd.DataFrame({"x": column}))
