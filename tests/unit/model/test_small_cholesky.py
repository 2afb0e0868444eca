"""The batched Cholesky factorisation against numpy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from psmimpute.model import small_cholesky
from psmimpute.model.small_cholesky import factor


def _positive_definite(q, batch, rng, spread=1.0):
    root = rng.normal(size=(batch, q, q))
    scale = np.exp(spread * rng.normal(size=(batch, q, 1)))
    return scale * (root @ root.transpose(0, 2, 1) + np.eye(q)) * scale.transpose(0, 2, 1)


@pytest.mark.parametrize("q", [1, 2, 5, 12])
def test_it_is_the_inverse_of_numpys_factor(q, rng):
    matrix = _positive_definite(q, 50, rng)
    found = factor(torch.from_numpy(matrix.transpose(1, 2, 0).copy()))
    inverse = found.inverse.numpy().transpose(2, 0, 1)
    assert_allclose(inverse, np.linalg.inv(np.linalg.cholesky(matrix)), rtol=1e-8, atol=1e-10)
    assert_allclose(found.log_det, np.linalg.slogdet(matrix)[1], rtol=1e-10, atol=1e-10)
    assert_allclose(np.triu(inverse, 1), 0.0, atol=0)


@pytest.mark.parametrize("q", [1, 12, 13, 40])
def test_it_solves(q, rng):
    matrix = _positive_definite(q, 6, rng)
    vector = rng.normal(size=(q, 6))
    found = factor(torch.from_numpy(matrix.transpose(1, 2, 0).copy()))
    lower = np.linalg.cholesky(matrix)
    assert_allclose(found.lower.numpy().transpose(2, 0, 1), lower, rtol=1e-8, atol=1e-10)
    assert_allclose(found.log_det, np.linalg.slogdet(matrix)[1], rtol=1e-10, atol=1e-10)
    white = found.whiten(torch.from_numpy(vector))
    assert_allclose(white, np.linalg.solve(lower, vector.T[..., None])[..., 0].T, rtol=1e-7)
    solved = np.linalg.solve(matrix, vector.T[..., None])[..., 0].T
    assert_allclose(found.unwhiten(white), solved, rtol=1e-7)


@pytest.mark.parametrize("q", [5, 13, 40])
def test_as_on_an_accelerator_it_is_the_same(q, rng, monkeypatch):
    """Without the library, both triangles at once, and whatever the upper one held before."""
    monkeypatch.setattr(small_cholesky, "_subtract_by_row", small_cholesky._subtract_at_once)
    monkeypatch.setattr(small_cholesky, "_LARGE", small_cholesky._LARGE_ON_ACCELERATOR)
    matrix = _positive_definite(q, 6, rng)
    given = np.tril(matrix) + np.triu(rng.normal(size=matrix.shape), 1)
    found = factor(torch.from_numpy(given.transpose(1, 2, 0).copy()))
    lower = np.linalg.cholesky(matrix)
    assert_allclose(found.lower.numpy().transpose(2, 0, 1), lower, rtol=1e-8, atol=1e-10)
    inverse = found.inverse.numpy().transpose(2, 0, 1)
    assert_allclose(inverse, np.linalg.inv(lower), rtol=1e-7, atol=1e-9)
    assert_allclose(found.log_det, np.linalg.slogdet(matrix)[1], rtol=1e-10, atol=1e-10)


def test_single_precision_is_good_to_its_digits(rng):
    matrix = _positive_definite(8, 200, rng, spread=0.3)
    single = torch.from_numpy(matrix.transpose(1, 2, 0).astype(np.float32))
    inverse = factor(single).inverse.numpy().transpose(2, 0, 1).astype(float)
    identity = inverse @ matrix @ inverse.transpose(0, 2, 1)
    assert_allclose(identity, np.broadcast_to(np.eye(8), identity.shape), atol=1e-3)


@pytest.mark.parametrize("q", [3, 20])
def test_a_singular_matrix_gives_finite_numbers(q, rng):
    row = torch.from_numpy(rng.normal(size=(q, 1, 4)).astype(np.float32))
    found = factor(row * row.transpose(0, 1))
    assert bool(torch.isfinite(found.log_det).all())
    assert bool(torch.isfinite(found.whiten(torch.ones(q, 4))).all())
    assert bool(torch.isfinite(found.log_det).all())


def test_matrices_do_not_see_each_other(rng):
    matrix = torch.from_numpy(_positive_definite(4, 6, rng).transpose(1, 2, 0).copy())
    alone = factor(matrix[..., 2:3].clone())
    torch.testing.assert_close(factor(matrix).inverse[..., 2:3], alone.inverse)
