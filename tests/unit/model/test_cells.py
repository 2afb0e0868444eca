"""Cells side by side: those that were chosen, each with its own values, back in their rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from psmimpute.model.cells import Cells

N_ROWS, N_FEATURES = 7, 4


def _chosen(n_members, seed=0):
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.rand(n_members, N_ROWS, N_FEATURES, generator=generator) < 0.4
    chosen[:, 2] = False  # a row without any
    chosen[-1, 3:] = False  # a member with fewer
    return chosen


def _normal(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("n_members", [1, 3])
def test_the_chosen_cells_come_in_the_order_of_the_rows(n_members):
    chosen = _chosen(n_members)
    cells = Cells.among(chosen)
    for e in range(n_members):
        known = cells.share[e] > 0
        rows, features = np.nonzero(chosen[e].numpy())
        assert_array_equal(cells.rows[e, known], rows)
        assert_array_equal(cells.features[e, known], features)


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("axes", [(3, 5, 2, N_ROWS), (1, 1, 2, 1), (3, 5, 1, N_ROWS)])
def test_values_are_picked_from_what_can_be_broadcast(n_members, axes):
    cells, values = Cells.among(_chosen(n_members)), _normal(*axes, N_FEATURES)
    found = cells.pick(values)
    wide = values.expand(3, *axes[1:3], N_ROWS, N_FEATURES).numpy()
    for e in range(len(found)):
        rows, features = (a[min(e, n_members - 1)] for a in (cells.rows, cells.features))
        assert_array_equal(found[e], wide[e][..., rows, features])


@pytest.mark.parametrize("choose", [Cells.among, Cells.everywhere])
@pytest.mark.parametrize("n_members", [1, 3])
def test_the_cells_of_a_row_add_up(n_members, choose):
    chosen, values = _chosen(n_members).float(), _normal(3, 5, 2, N_ROWS, N_FEATURES)
    cells = choose(chosen)
    found = cells.sum_rows(cells.pick(values))
    assert_allclose(found, (values * chosen[:, None, None]).sum(-1), atol=1e-6)


def test_rows_are_picked_for_each_of_their_cells():
    cells, values = Cells.among(_chosen(1)), _normal(3, 5, 2, N_ROWS)
    assert_array_equal(cells.pick_rows(values), values[..., cells.rows[0]])


@pytest.mark.parametrize("n_members", [1, 3])
def test_none_chosen_is_nothing_to_pick_and_nothing_to_add(n_members):
    cells = Cells.among(torch.zeros(n_members, N_ROWS, N_FEATURES))
    values = _normal(3, 5, 2, N_ROWS, N_FEATURES)
    picked = cells.pick(values)
    assert picked.shape == (3, 5, 2, 0)
    assert_array_equal(cells.sum_rows(picked), np.zeros((3, 5, 2, N_ROWS)))


def test_gradients_reach_the_picked_cells_and_no_others():
    chosen, values = _chosen(3), _normal(3, 5, 2, N_ROWS, N_FEATURES).requires_grad_()
    cells = Cells.among(chosen)
    cells.sum_rows(cells.pick(values)).sum().backward()
    expected = chosen.float()[:, None, None].expand(values.shape)
    assert_array_equal(values.grad, expected)
