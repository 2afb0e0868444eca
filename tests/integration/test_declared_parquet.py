"""Derived columns, skip patterns and given effects through files: models and Parquet."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal

import psmimpute as psm
from psmimpute.exceptions import CorruptFileError, NotStorableError
from psmimpute.inference.checkpoint import pack_model
from psmimpute.inference.config import FitConfig
from psmimpute.model.config import ModelConfig
from psmimpute.saving import describe_options

pytestmark = pytest.mark.filterwarnings("ignore::psmimpute.exceptions.PSMWarning")
FAST = {"seed": 1, "n_sets": 2, "model": ModelConfig(hidden_dim=4)}
FAST["fit"] = FitConfig(max_steps=4, n_draw_samples=4)
DECLARED = {
    "derived": {"bmi": "wgt / hgt**2", "heavy": "bmi > 25"},
    "applicable_if": {"births": "sex == 'f'", "care": "births > 0"},
}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    n = 200
    h = rng.normal(size=n)
    sex = np.where(rng.random(n) < 0.5, "f", "m").astype(object)
    births = rng.poisson(1.5, n)
    df = pd.DataFrame(
        {
            "wgt": 70 + 10 * h + 5 * rng.normal(size=n),
            "hgt": 1.7 + 0.1 * h + 0.05 * rng.normal(size=n),
            "sex": sex,
            "births": pd.array(births, "Int64"),
            "care": pd.Categorical(rng.choice(["home", "ward"], n)),
            "bmi": np.nan,
        }
    )
    df["bmi"] = df["wgt"] / df["hgt"] ** 2
    df = df.mask(rng.random(df.shape) < 0.2)
    df.loc[df["wgt"].isna() | df["hgt"].isna(), "bmi"] = np.nan
    df.loc[sex == "m", "births"] = pd.NA
    df.loc[(sex == "m") | (births == 0), "care"] = np.nan
    return df.astype({"births": "Int64", "care": "category"})


@pytest.fixture(scope="module")
def imputer(table):
    return psm.PSMImputer(3, **DECLARED, **FAST).fit(table)


@pytest.fixture(scope="module")
def imp(imputer, table):
    return imputer.impute(table, seed=5)


@pytest.fixture(scope="module")
def source(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    table.to_parquet(path, row_group_size=70)
    return path


def alike(left, right):
    """Compare completed frames; truth values may be objects where the data have gaps."""
    assert [*left.columns] == [*right.columns]
    for name in left:
        assert_array_equal(left[name].isna(), right[name].isna())
        known = left[name].notna().to_numpy()
        assert (
            left[name][known].astype(object).tolist() == right[name][known].astype(object).tolist()
        )


def filled(imp):
    """Cells that some imputation fills: completed tables tell of no others."""
    where = imp.where.to_numpy(copy=True)
    for position, cells in imp.values.items():
        where[where[:, position], position] = pd.notna(cells).any(axis=0)
    return where


@pytest.mark.parametrize("layout", ["long", "cells"])
def test_parquet_holds_what_memory_holds(table, imputer, imp, source, tmp_path, layout):
    target = tmp_path / "imputed"
    stored = psm.impute_parquet(
        source, target, 3, model=imputer, seed=5, batch_rows=33, layout=layout
    )
    whole = imp.materialized()
    for k in range(1, 4):
        alike(stored.complete(k), imp.complete(k))
        assert stored.complete(k)["heavy"].dtype == imp.complete(k)["heavy"].dtype == bool
    kept = filled(whole) if layout == "long" else whole.where.to_numpy()
    assert_array_equal(stored.where, kept)
    for position, cells in whole.values.items():
        found = stored.values[position]
        cells = cells[:, kept[whole.where.to_numpy()[:, position], position]]
        assert_array_equal(pd.isna(found), pd.isna(cells))
        assert found[~pd.isna(cells)].tolist() == cells[~pd.isna(cells)].tolist()
    for k in range(1, 4):  # from the values now
        alike(stored.complete(k), imp.complete(k))
        assert stored.complete(k)["heavy"].dtype == bool
    assert stored.info.declared["Applicable if"] == "births: sex == 'f'; care: births > 0"
    again = psm.read_imputed(target)
    completed = again.complete(2)
    assert_allclose(completed["bmi"], completed["wgt"] / completed["hgt"] ** 2)
    imputed = table["births"].isna()
    assert completed.loc[imputed & (completed["sex"] == "m"), "births"].isna().all()
    assert completed.loc[imputed & (completed["sex"] == "f"), "births"].notna().all()


@pytest.mark.parametrize("layout", ["long", "cells"])
def test_imputations_in_memory_are_written_with_what_does_not_apply(imp, tmp_path, layout):
    imp.to_parquet(tmp_path / layout, layout=layout)
    stored = psm.read_imputed(tmp_path / layout)
    for k in range(4):
        alike(stored.complete(k), imp.materialized().complete(k))
    whole = imp.materialized()
    assert_array_equal(stored.where, filled(whole) if layout == "long" else whole.where)


def test_saved_options_and_effects_come_back(table, imputer, imp, tmp_path):
    loaded = psm.PSMImputer.load(imputer.save(tmp_path / "a.psm"))
    again = loaded.impute(table, seed=5)
    for k in range(1, 4):
        assert_frame_equal(again.complete(k), imp.complete(k))
    effects = {"wgt": [0.5, -0.5], "sex": 1.0, "care": 0.25}
    given = psm.PSMImputer(2, missingness="selection", selection_effect=effects, **FAST)
    given.fit(table)
    loaded = psm.PSMImputer.load(given.save(tmp_path / "b.psm"))
    assert loaded.fitted_.spec.selection_effects == given.fitted_.spec.selection_effects != ()
    assert loaded.selection_effect == effects
    assert_frame_equal(loaded.impute(table).complete(2), given.impute(table).complete(2))


@pytest.mark.parametrize("option", ["derived", "applicable_if"])
def test_functions_are_not_stored(table, option, source, tmp_path):
    name = "bmi" if option == "derived" else "births"
    fitted = psm.PSMImputer(2, **{option: {name: lambda d: d["wgt"] > 1}}, **FAST).fit(table)
    with pytest.raises(NotStorableError, match=option):
        fitted.to_bytes()
    with pytest.raises(NotStorableError, match=option):
        psm.impute_parquet(source, tmp_path / "imputed", 2, model=fitted)


@pytest.mark.parametrize(
    "change",
    [
        {"derived": {"bmi": "__import__('os').getpid()"}},
        {"derived": {"bmi": 3}},
        {"derived": "wgt"},
        {"applicable_if": {"births": "open('x')"}},
        {"applicable_if": {"births": 1}},
    ],
)
def test_forged_formulas_are_refused(imputer, change):
    options = describe_options(imputer.get_params() | change)
    learned = {"options": options, "seed": 1, "features": []}
    data = pack_model(imputer.fitted_, imputer.schema_, learned)
    with pytest.raises(CorruptFileError, match="describes no imputer"):
        psm.PSMImputer.from_bytes(data)


def test_rows_alone_are_finished_as_in_company(table, imputer, imp):
    rows = table.assign(id=np.arange(len(table))).iloc[[7, 3, 150]]
    found = imputer.impute(rows, seed=5, row_key="id")
    for k in range(1, 4):
        alike(found.complete(k).drop(columns="id"), imp.complete(k).iloc[[7, 3, 150]])


def test_chosen_cells_are_extended_and_keyed(table, imputer):
    first = imputer.impute(table, 2, seed=5, where="all")
    more = first.extend(4)
    assert more.m == 4
    for k in (1, 2):
        alike(more.complete(k), first.complete(k))
    assert (first.complete(1)["wgt"] != table["wgt"]).all()
