"""Products of columns without gaps: which are taken, what they are worth, and when they are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
import torch
from numpy.testing import assert_allclose, assert_array_equal

import psmimpute as psm
from psmimpute.inference.covariates import inform_store
from psmimpute.inference.em import pattern_of_rows, sum_products
from psmimpute.inference.products import choose_products, write_products
from psmimpute.model.config import ModelConfig
from psmimpute.model.layout import lay_out
from psmimpute.model.psm_vae import PatternSetMixtureVAE
from psmimpute.model.rows import store_rows
from psmimpute.model.spec import ModelSpec
from psmimpute.table.encoding import encode
from psmimpute.table.infer import infer_schema

N_ROWS = 400


def _trial(seed, *, interaction, binary=False):
    """An outcome with gaps by two of three complete columns; two of them interact."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=N_ROWS)
    drug, young = (rng.random((2, N_ROWS)) < 0.5).astype(float)
    line = 0.3 * drug + 0.3 * young + interaction * drug * young + 0.5 * x
    noise = rng.logistic(size=N_ROWS) if binary else rng.normal(size=N_ROWS)
    y = (line + noise > 0.5).astype(float) if binary else line + noise
    full = pd.DataFrame({"x": x, "drug": drug, "young": young, "y": y})
    gone = rng.random(N_ROWS) < 1 / (1 + np.exp(0.8 - x - 0.5 * drug))
    return full.assign(y=full["y"].mask(gone)), full


def _spec_and_store(df, **config):
    schema = infer_schema(df)
    table = encode(schema, df)
    layout = lay_out(schema.features, n_columns=len(schema.columns))
    gappy = tuple(int(j) for j in np.flatnonzero(~table.observed_cells.all(0)))
    pi = (0.5,) * len(schema.columns)
    own = ModelConfig(**({"hidden_dim": 0, "latent_dim": layout.n_outputs} | config))
    spec = ModelSpec(layout, gappy, 1, "shared", pi, own)
    return spec, store_rows(table, layout, device=torch.device("cpu"))


def _named(df, spec):
    owner = spec.layout.columns_of_inputs()
    return {
        tuple(df.columns[owner[i]] for i in pair)
        for pair in choose_products(*_spec_and_store(df)[:1], _spec_and_store(df)[1])
    }


def test_the_product_that_tells_is_found_and_nothing_where_lines_do():
    df, _ = _trial(0, interaction=1.5)
    spec, _ = _spec_and_store(df)
    assert ("drug", "young") in {tuple(sorted(pair)) for pair in _named(df, spec)}
    chosen = [_named(_trial(seed, interaction=0.0)[0], spec) for seed in range(20)]
    # Four candidates (one square), each taken by chance in 10 of 100 tables.
    assert sum(map(len, chosen)) <= 18


@pytest.mark.parametrize(
    "config", [{"products": False}, {"encoder": "network", "hidden_dim": 8}, {"covariate_dim": 8}]
)
def test_there_are_none_where_they_are_not_wanted(config):
    spec, store = _spec_and_store(_trial(0, interaction=2.0)[0], **config)
    assert choose_products(spec, store) == ()


def test_wide_tables_and_gaps_everywhere_have_none(rng):
    wide = pd.DataFrame(rng.normal(size=(200, 16))).rename(columns=str)
    wide["y"] = wide["0"] * wide["1"] + rng.normal(size=200)
    wide.loc[:50, "y"] = np.nan
    assert choose_products(*_spec_and_store(wide)) == ()
    gaps = _trial(0, interaction=2.0)[0]
    gaps.iloc[[3, 4, 5], [0, 1, 2]] = np.nan
    gaps.iloc[3, 0], gaps.iloc[4, 1], gaps.iloc[5, 2] = np.nan, np.nan, np.nan
    assert choose_products(*_spec_and_store(gaps)) == ()


@pytest.mark.parametrize("binary", [False, True])
def test_coefficients_are_those_of_regressions_by_resample(rng, binary):
    df, _ = _trial(2, interaction=2.0, binary=binary)
    spec, store = _spec_and_store(df)
    spec = ModelSpec(*(getattr(spec, n) for n in spec.__slots__[:-1]), choose_products(spec, store))
    assert spec.products
    model = PatternSetMixtureVAE(spec, 2)
    counts = np.stack([np.ones(N_ROWS, np.uint16), rng.poisson(1, N_ROWS).astype(np.uint16)])
    write_products(model.covariates, spec, store, counts)
    seen = df["y"].notna().to_numpy()
    y = store.all().values[0][:, spec.layout.columns.index(3)].numpy()
    known = store.all().inputs[0][:, list(spec.complete_inputs)].double().numpy()
    place = {own: i for i, own in enumerate(spec.complete_inputs)}
    terms = [known[:, place[i]] * known[:, place[j]] for i, j in spec.products]
    x = np.column_stack([np.ones(N_ROWS), known, *terms])[seen]
    for weights, own in zip(counts[:, seen], model.covariates.coefficients, strict=True):
        if binary:
            family = sm.families.Binomial()
            fit = sm.GLM(y[seen], x, family=family, freq_weights=weights).fit()
        else:
            fit = sm.WLS(y[seen], x, weights=weights).fit()
        assert_allclose(own[:, -1], fit.params[-len(terms) :], rtol=0.05 if binary else 1e-4)
    offset = model.covariates(store.all().inputs)
    assert_array_equal(offset[..., list(spec.complete_inputs)], 0.0)
    straight = np.linalg.lstsq(x[:, : 1 + known.shape[1]], y[seen], rcond=None)[0]
    assert np.isfinite(straight).all()
    # What no line says: over all rows it goes with none of the columns.
    gone = offset[0][:, spec.layout.columns.index(3)].double().numpy()
    assert_allclose(known.T @ (gone - gone.mean()), 0.0, atol=1e-2)


def test_em_sees_what_products_leave(rng):
    a, b = rng.normal(size=(2, 200))
    df = pd.DataFrame({"a": a, "b": b, "y": a * b + 0.3 * rng.normal(size=200)})
    df.loc[:60, "y"] = np.nan
    spec, store = _spec_and_store(df)
    spec = ModelSpec(*(getattr(spec, n) for n in spec.__slots__[:-1]), choose_products(spec, store))
    model = PatternSetMixtureVAE(spec, 1)
    write_products(model.covariates, spec, store)
    rows = inform_store(store, model, seed=0).all()
    counts = np.ones((1, 200), np.uint16)
    patterns = pattern_of_rows(rows)
    found = sum_products(rows, patterns, counts)
    left = rows._replace(values=(rows.values - rows.offset) * rows.observed, offset=None)
    assert_allclose(found.products, sum_products(left, patterns, counts).products)
    assert found.products[0].sum(0)[3, 3] < 0.3 * (store.all().values[0, :, 2] ** 2).sum()


@pytest.fixture(scope="module")
def fitted():
    df, full = _trial(5, interaction=1.2)
    return psm.PSMImputer(m=6, seed=1, progress=False).fit(df), df, full


def test_imputed_outcomes_interact_as_observed_ones_do(fitted):
    imputer, df, full = fitted
    assert "products of complete columns" in imputer.fitted_.reason
    formula = "y ~ drug * young + x"
    pooled = imputer.impute(df).pool(formula, model=smf.ols)
    complete, before = smf.ols(formula, df).fit(), smf.ols(formula, full).fit()
    away = (pooled.params - complete.params) / before.bse
    assert abs(away["drug:young"]) < 1.0
    assert away.abs().max() < 1.5
    alone = psm.impute(df, m=6, seed=1, progress=False, model=psm.ModelConfig(products=False))
    shrunk = alone.pool(formula, model=smf.ols).params["drug:young"]
    assert shrunk < pooled.params["drug:young"] - 0.5 * before.bse["drug:young"]


def test_members_have_their_own_coefficients_and_files_keep_them(fitted, tmp_path):
    imputer, df, _ = fitted
    own = imputer.fitted_.model.covariates.coefficients
    assert own[:, :, -1].std(0).min() > 0
    imputer.save(tmp_path / "model.psm")
    loaded = psm.PSMImputer.load(tmp_path / "model.psm")
    assert loaded.fitted_.spec.products == imputer.fitted_.spec.products
    assert loaded.impute(df).complete(2).equals(imputer.impute(df).complete(2))
    few = psm.PSMImputer(m=3, seed=1, progress=False).fit(df).impute(df)
    assert few.extend(6).complete(6).equals(imputer.impute(df).complete(6))


def test_new_rows_may_lack_what_was_complete(fitted):
    imputer, df, _ = fitted
    lacking = df.assign(drug=df["drug"].mask(np.arange(N_ROWS) % 5 == 0))
    found = imputer.impute(lacking).complete(1)
    assert found.notna().all().all()
    same = np.arange(N_ROWS) % 5 != 0
    pd.testing.assert_frame_equal(found[same], imputer.impute(df).complete(1)[same], atol=1e-5)


def test_the_bend_of_a_logistic_curve_is_no_square(rng):
    x = rng.normal(size=4000)
    rare = (rng.random(4000) < 1 / (1 + np.exp(4 - 1.5 * x))).astype(float)
    df = pd.DataFrame({"x": x, "w": rng.normal(size=4000), "b": rare})
    df.loc[rng.random(4000) < 0.3, "b"] = np.nan
    assert choose_products(*_spec_and_store(df)) == ()


def test_a_product_that_one_outcome_asks_for_is_not_given_to_all(rng):
    x = rng.normal(size=(600, 4))
    df = pd.DataFrame(x, columns=[*"abcd"])
    df["y"] = 2 * x[:, 0] * x[:, 1] + rng.normal(size=600)
    df["w"] = x[:, 2] + rng.normal(size=600)
    df.loc[rng.random(600) < 0.3, "y"] = np.nan
    df.loc[rng.random(600) < 0.3, "w"] = np.nan
    spec, store = _spec_and_store(df)
    spec = ModelSpec(*(getattr(spec, n) for n in spec.__slots__[:-1]), choose_products(spec, store))
    model = PatternSetMixtureVAE(spec, 1)
    write_products(model.covariates, spec, store)
    of_y, of_w = model.covariates.coefficients[0].T
    assert (of_y != 0).any()
    assert not ((of_y != 0) & (of_w != 0)).any()
