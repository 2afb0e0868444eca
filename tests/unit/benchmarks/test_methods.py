"""Every contestant runs on a tiny table, and the configurations are what their names say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from benchmarks.accuracy import Contest
from benchmarks.masks import delete
from benchmarks.methods import OPTIONAL, PEERS, default, methods, published
from benchmarks.peers import gain

SHORT = {"resample": False, "max_steps": 3, "n_samples": 1}


@pytest.fixture(scope="module")
def deletion():
    """80 rows of three columns that one hidden variable explains, a fifth of the cells gone."""
    rng = np.random.default_rng(8)
    hidden = rng.normal(size=(100, 1))
    table = hidden @ np.array([[1.0, -1.0, 2.0]]) + 0.3 * rng.normal(size=(100, 3))
    return delete(table, mechanism="mcar", rate=0.2, seed=0)


def _check(table, filled):
    assert filled.shape == table.shape
    assert np.isfinite(filled).all()
    seen = ~np.isnan(table)
    assert_array_equal(filled[seen], table[seen])


def test_the_names_are_those_of_the_tables():
    assert set(methods()) == {
        *("psmvae-a", "psmvae-b", "psmvae-b-10000", "psmvae-without-m", "dlgm", "hivae"),
        *("vae", "miwae", "miwae-10000", "not-miwae", "gain", "mice", "mice-draw"),
        *("missforest", "mean", "ours", "ours-selection", "miceforest", "midas"),
    }


@pytest.mark.parametrize("name", list(published()))
def test_published_configurations_run(name, deletion):
    line = published()[name]
    quick = replace(line, fit_options={**line.fit_options, "max_steps": 3}, n_samples=2)
    fitted = quick.fit(deletion.seen, seed=1)
    _check(deletion.seen, quick.point(fitted))
    spec = fitted.imputer.fitted_.spec
    assert spec.config.encoder == "network"
    assert spec.hidden_dim > 0
    assert spec.n_sets == (1 if "miwae" in name or name == "vae" else 3)
    draws = quick.method("x").draws(fitted, 2)
    _check(deletion.seen, draws[0])
    assert (draws[0] != draws[1]).any()


def test_dlgm_has_twice_the_latents(deletion):
    quick = replace(published()["dlgm"], fit_options=SHORT)
    assert quick.fit(deletion.seen, seed=1).imputer.fitted_.spec.latent_dim == 6


def test_ours_is_the_package_as_it_comes(deletion):
    imputer = default(members=20).imputer(_frame(deletion.seen), seed=1)
    assert repr(imputer) == "PSMImputer(seed=1, progress=False)"
    says = default(members=20, missingness="selection").imputer(_frame(deletion.seen), seed=1)
    assert repr(says) == "PSMImputer(seed=1, missingness='selection', progress=False)"


def _frame(table):
    import pandas as pd

    return pd.DataFrame(table).add_prefix("x")


@pytest.mark.parametrize("name", ["mean", "mice", "mice-draw", "missforest", *OPTIONAL])
def test_peers_fill_the_gaps(name, deletion):
    method = PEERS[name]
    if method.needs:
        pytest.importorskip(method.needs)
    fitted = method.fit(deletion.seen, 1)
    _check(deletion.seen, method.point(fitted))
    if method.draws is not None:
        draws = method.draws(fitted, 2)
        _check(deletion.seen, draws[1])
        assert (draws[0] != draws[1]).any()


def test_mean_is_the_mean():
    table = np.array([[1.0, np.nan], [3.0, 5.0], [np.nan, 7.0]])
    assert_allclose(PEERS["mean"].fit(table, 0), [[1, 6], [3, 5], [2, 7]])


def test_gain_learns_the_table(deletion):
    """After 1,500 steps it is well below the mean's error, and before any it is not."""
    contest = Contest(deletion, seed=0, n_draws=0)
    mean = contest.run("mean", PEERS["mean"])["rmse"]
    untrained, trained = (gain.fit(deletion.seen, 1, n_steps=n) for n in (0, 1500))
    _check(deletion.seen, gain.impute(trained))
    errors = [
        contest.run(name, replace(PEERS["gain"], fit=lambda *_, net=net: net))["rmse"]
        for name, net in (("before", untrained), ("after", trained))
    ]
    assert errors[1] < 0.85 * mean < errors[0]


def test_methods_that_learn_the_same_are_fitted_once(deletion):
    calls = []

    def fit(table, seed):
        calls.append(seed)
        return PEERS["mean"].fit(table, seed)

    contest = Contest(deletion, seed=5, n_draws=0)
    shared = replace(PEERS["mean"], fit=fit, shares="same")
    assert contest.run("one", shared)["rmse"] == contest.run("two", shared)["rmse"]
    assert calls == [5]
