"""Regressions on the columns without gaps: when they are taken, and that they are honest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import psmimpute as psm
from psmimpute.inference import covariates
from psmimpute.inference.covariates import N_FOLDS, blind_models, folds_of, inform_store
from psmimpute.inference.progress import Progress
from psmimpute.model.rows import store_rows

N_ROWS = 400


def _table(seed, *, bend):
    """`x` is a parabola in the complete `a`, or a line; `kind` goes by the same."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, N_ROWS))
    signal = bend * (a**2 - 1) + (1 - bend) * a
    x = signal + 0.5 * rng.normal(size=N_ROWS)
    kind = np.where(signal + rng.logistic(size=N_ROWS) > 0, "high", "low")
    frame = pd.DataFrame({"a": a, "b": b, "x": x, "kind": kind})
    full = frame.copy()
    frame.loc[rng.random(N_ROWS) < 0.3, "x"] = np.nan
    frame.loc[rng.random(N_ROWS) < 0.3, "kind"] = None
    return frame, full


def _fit(frame, **config):
    return psm.PSMImputer(
        m=4,
        seed=1,
        n_sets=1,
        progress=False,
        model=psm.ModelConfig(**config),
        fit=psm.FitConfig(max_steps=150),
    ).fit(frame)


@pytest.fixture(scope="module")
def bent():
    return _table(3, bend=1)


@pytest.fixture(scope="module")
def fitted(bent):
    """So few rows get networks where they count as many."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(covariates, "MANY_ROWS", N_ROWS)
        return _fit(bent[0])


def test_few_rows_get_no_network(bent):
    assert _fit(bent[0]).fitted_.spec.covariate_dim == 0


def test_a_bent_dependence_on_complete_columns_is_found(fitted, bent):
    frame, full = bent
    assert "a network predicts columns with gaps" in fitted.fitted_.reason
    assert fitted.fitted_.spec.covariate_dim == 64
    gaps = frame["x"].isna()
    filled = fitted.transform(frame)
    error = filled.loc[gaps, "x"] - full.loc[gaps, "x"]
    assert (error**2).mean() < 0.4 * full["x"].var()
    assert (filled["kind"] == full["kind"])[frame["kind"].isna()].mean() > 0.6


def test_a_line_needs_no_network(monkeypatch):
    monkeypatch.setattr(covariates, "MANY_ROWS", N_ROWS)
    straight = _fit(_table(4, bend=0)[0])
    assert straight.fitted_.spec.covariate_dim == 0
    assert "a network predicts" not in straight.fitted_.reason


def test_what_is_asked_for_is_done():
    frame, _ = _table(4, bend=0)
    asked, refused = _fit(frame, covariate_dim=8), _fit(_table(3, bend=1)[0], covariate_dim=0)
    assert asked.fitted_.spec.covariate_dim == 8
    assert "as asked" in asked.fitted_.reason
    assert refused.fitted_.spec.covariate_dim == 0


def test_each_row_is_told_by_the_network_that_has_not_seen_it(fitted, bent):
    start = fitted.fitted_.structure.start
    encoded = fitted._encode(bent[0])
    store = store_rows(encoded, start.spec.layout, device=torch.device("cpu"))
    told = inform_store(store, start, seed=1).all()
    everyone = start.covariates(store.all().inputs)
    folds = folds_of(N_ROWS, seed=1)
    assert_array_equal((folds.counts == 0).sum(0), 1)
    for k in range(N_FOLDS):
        out = folds.counts[k] == 0
        assert_allclose(told.offset[0, out], everyone[k, out], atol=1e-5)
    again = inform_store(inform_store(store, start, seed=1), start, seed=1)
    assert_array_equal(again.packed, inform_store(store, start, seed=1).packed)


def test_saved_and_loaded_it_gives_the_same(fitted, bent, tmp_path):
    path = tmp_path / "model.psm"
    fitted.save(path)
    loaded = psm.PSMImputer.load(path)
    pd.testing.assert_frame_equal(loaded.transform(bent[0]), fitted.transform(bent[0]))


def test_new_rows_may_lack_a_column_that_was_complete(fitted):
    rng = np.random.default_rng(8)
    new, full = _table(9, bend=1)
    alone = fitted.transform(new)
    lacking = new.copy()
    without = rng.random(N_ROWS) < 0.2
    lacking.loc[without, "b"] = np.nan
    filled = fitted.transform(lacking)
    assert filled.notna().all().all()
    same = ~without
    pd.testing.assert_frame_equal(filled[same], alone[same])
    some, all_rows = fitted.impute(lacking.iloc[:90]), fitted.impute(lacking)
    pd.testing.assert_frame_equal(some.complete(1), all_rows.complete(1).iloc[:90], atol=1e-5)
    gaps = new["x"].isna() & without
    error = filled.loc[gaps, "x"] - full.loc[gaps, "x"]
    assert (error**2).mean() < 0.5 * full["x"].var()


def test_further_members_are_those_of_a_larger_fit(fitted, bent):
    own = fitted.fitted_
    few = replace(own, model=own.model.subset([0, 1]), alignment=own.alignment[:2])
    more = few.with_members(
        fitted._encode(bent[0]),
        4,
        fit=psm.FitConfig(max_steps=150),
        seed=1,
        progress=Progress(show=False),
    )
    assert_array_equal(more.alignment, own.alignment)
    for name, p in own.model.named_parameters():
        assert_allclose(dict(more.model.named_parameters())[name], p, atol=2e-3, err_msg=name)
    assert_array_equal(more.model.covariates.head.weight[3], own.model.covariates.head.weight[3])
    assert_array_equal(
        own.model.covariates.head.weight[3], own.structure.start.covariates.head.weight[3]
    )


def test_checks_on_hidden_cells_go_by_networks_that_have_not_seen_them(fitted, bent):
    own, rows = fitted.fitted_, np.arange(5, 90)
    start = own.structure.start
    parts = blind_models(own.model, start, rows, n_rows=N_ROWS, seed=1)
    assert_array_equal(np.sort(np.concatenate([part for _, part in parts])), rows)
    counts = folds_of(N_ROWS, seed=1).counts
    weights = start.covariates.head.weight
    for model, part in parts:
        k = int(counts[:, part[0]].argmin())
        assert (counts[k, part] == 0).all()
        assert all(torch.equal(w, weights[k]) for w in model.covariates.head.weight)
    check = fitted.impute(bent[0]).diagnostics().held_out
    assert check["coverage_90"].between(0.75, 1.0).all()
    plain = _fit(bent[0], covariate_dim=0).fitted_
    assert len(blind_models(plain.model, plain.structure.start, rows, n_rows=N_ROWS, seed=1)) == 1
