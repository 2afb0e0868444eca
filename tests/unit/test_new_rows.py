"""New rows under a fitted imputer: the same alone or in company, and odd columns by policy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from psmimpute.exceptions import ConfigError, SchemaError, SupportError
from psmimpute.imputer import PSMImputer
from psmimpute.inference.config import FitConfig
from psmimpute.model.config import ModelConfig
from psmimpute.table.row_keys import row_keys

pytestmark = pytest.mark.filterwarnings("ignore::psmimpute.exceptions.PSMWarning")


def _table(n, seed):
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=n)
    df = pd.DataFrame(
        {
            "x": hidden + 0.3 * rng.normal(size=n),
            "n": rng.poisson(np.exp(0.5 * hidden)),
            "k": rng.choice(["a", "b", "c"], n),
            "c": pd.Categorical(np.where(hidden > 0, "hi", "lo"), categories=["lo", "hi", "no"]),
            "b": hidden > 0.3,
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 99, n), unit="D"),
        }
    )
    gaps = rng.random(df.shape) < 0.2
    gaps[:, [1, 4]] = False
    return df.mask(gaps).astype({"n": "int64", "b": "bool"})


@pytest.fixture(scope="module")
def fitted():
    fit = FitConfig(max_steps=5, n_draw_samples=8)
    imputer = PSMImputer(3, seed=1, n_sets=2, model=ModelConfig(hidden_dim=4), fit=fit)
    return imputer.fit(_table(100, 0))


@pytest.fixture(scope="module")
def new():
    df = _table(90, 1)
    df["id"] = [f"row {i}" for i in range(90)]
    return df


@pytest.mark.parametrize("m", [1, 3, 4])
def test_a_row_is_imputed_alike_alone_and_in_any_company(fitted, new, m):
    whole = fitted.impute(new, m, row_key="id")
    order = np.random.default_rng(2).permutation(90)
    for rows in ([5], order, order[:66], range(40)):
        part = fitted.impute(new.iloc[rows], m, row_key="id")
        ids = new["id"].iloc[rows]
        for a, b in zip(whole, part, strict=True):
            expected = a.set_index("id").loc[ids].reset_index()[a.columns]
            pd.testing.assert_frame_equal(
                b.reset_index(drop=True), expected, check_exact=True, check_dtype=False
            )


def test_a_prefix_of_the_imputations_does_not_change_when_m_grows(fitted, new):
    few, many = fitted.impute(new, 1), fitted.impute(new, 5)
    pd.testing.assert_frame_equal(few.complete(1), many.complete(1), check_exact=True)


def test_extra_columns_are_passed_through(fitted, new):
    frame = fitted.impute(new).complete(2)
    assert frame.columns.tolist() == new.columns.tolist()
    assert (frame["id"] == new["id"]).all()


def test_unseen_levels_by_policy(fitted, new):
    odd = new.assign(
        k=new["k"].where(new.index != 3, "strange"), c=new["c"].where(new.index != 4, "no")
    )
    with pytest.raises(SupportError, match="'strange' was not observed"):
        fitted.impute(odd)
    with pytest.raises(ConfigError, match="unseen must be 'error' or 'missing', got 'ignore'"):
        fitted.impute(odd, unseen="ignore")
    imp = fitted.impute(odd, unseen="missing")
    assert imp.data["k"][3] == "strange"
    assert imp.where["k"][3]
    assert imp.where["c"][4]
    gaps = odd.assign(
        k=odd["k"].where(odd.index != 3, None), c=odd["c"].where(odd.index != 4, None)
    )
    for a, b in zip(imp, fitted.impute(gaps), strict=True):
        pd.testing.assert_frame_equal(a, b, check_exact=True)


def test_absent_columns_by_policy(fitted, new):
    with pytest.raises(SchemaError, match="lacks modelled columns: 'n', 'day'"):
        fitted.impute(new.drop(columns=["n", "day"]))
    frame = fitted.impute(new.drop(columns=["n", "c", "b", "day"]), absent="missing").complete(1)
    assert frame.dtypes[["n", "c", "b", "day"]].astype(str).tolist() == [
        "Int64",
        "category",
        "boolean",
        str(new["day"].dtype),
    ]
    assert not frame[["n", "c", "b", "day"]].isna().any(axis=None)


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        ("n", "float64"),
        ("n", "Int16"),
        ("n", "int64[pyarrow]"),
        ("x", "float32"),
        ("k", "category"),
        ("k", "string"),
        ("c", "object"),
        ("b", "object"),
        ("b", "boolean"),
        ("b", "Int64"),
        ("day", "datetime64[s]"),
        ("day", "timestamp[us][pyarrow]"),
    ],
)
def test_promoted_dtypes_are_kept(fitted, new, column, dtype):
    promoted = new.assign(**{column: new[column].astype(dtype)})
    imp, expected = fitted.impute(promoted), fitted.impute(new)
    assert str(imp.complete(1)[column].dtype) == dtype
    assert not imp.complete(1)[column].isna().any()
    if column != "x":
        found = imp.complete(1)[column].astype(str).tolist()
        wanted = expected.complete(1)[column].astype(dtype).astype(str).tolist()
        assert found == wanted


@pytest.mark.parametrize("blank", [np.nan, None])
@pytest.mark.parametrize("column", ["x", "n", "k", "c", "b", "day"])
def test_a_column_of_gaps_alone_is_filled_whatever_its_dtype(fitted, new, column, blank):
    frame = fitted.impute(new.assign(**{column: blank})).complete(1)
    assert not frame[column].isna().any()
    if column == "day":
        assert frame[column].dt.year.between(2019, 2021).all()


def test_keys_are_stable():
    """These values are part of what makes a resumed job agree with an undisturbed one."""
    df = pd.DataFrame({"s": ["a", "b"], "i": [-1, 2], "u": pd.array([5, 6], "UInt8")})
    assert row_keys(df, "s").tolist() == [0x2F42665B399EF840, 0x754F854DE3C27284]
    assert row_keys(df, "i").tolist() == [2**64 - 1, 2]
    assert row_keys(df, "u").tolist() == [5, 6]
    assert row_keys(df, None, first=7).tolist() == [7, 8]


def test_keys_that_do_not_identify_a_row_are_refused(fitted, new):
    with pytest.raises(SchemaError, match="row_key names a column that the frame does not have"):
        fitted.impute(new, row_key="key")
    with pytest.raises(SchemaError, match=r"row 1: 'row 0' is there twice"):
        fitted.impute(new.assign(id=["row 0"] * 90), row_key="id")
    with pytest.raises(SchemaError, match="row 2: the key is missing"):
        fitted.impute(new.assign(id=new["id"].where(new.index != 2)), row_key="id")
