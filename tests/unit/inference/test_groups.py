"""Groups of members: who is where, threads, interrupts, and members put together again."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from psmimpute.inference.config import FitConfig
from psmimpute.inference.groups import (
    join_trained,
    local_groups,
    resamples_of,
    run_groups,
    split_members,
)
from psmimpute.inference.members import resample_rows
from psmimpute.inference.structure import Structure, train_members
from psmimpute.inference.trainer import Trained

CPU = torch.device("cpu")
GROUPS = [range(2), range(2, 4), range(4, 6)]


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("n_members", [1, 2, 3, 7, 20, 200])
@pytest.mark.parametrize("floats", [0, 100, 10**5, 10**7])
def test_every_member_is_in_one_group_and_none_is_alone(n_members, floats):
    groups = local_groups(n_members, floats, CPU)
    assert [member for group in groups for member in group] == list(range(n_members))
    assert min(map(len, groups)) >= min(2, n_members)


def test_groups_are_smaller_where_members_are_larger():
    sizes = [len(local_groups(20, floats, CPU)) for floats in (1000, 50_000, 100_000, 10**7)]
    assert sizes == [1, 2, 4, 10]
    assert local_groups(20, 10**7, torch.device("meta")) == [range(20)]


def test_results_come_in_order_each_from_one_thread(two_threads):
    seen = set()

    def train(group, on_step):
        seen.add((threading.current_thread().name, torch.get_num_threads()))
        on_step(group.start)
        return group.start

    steps = []
    assert run_groups(train, GROUPS, device=CPU, on_step=steps.append) == [0, 2, 4]
    assert steps == [0]  # of the first group alone
    assert {n for _, n in seen} == {1}
    assert all(name != threading.current_thread().name for name, _ in seen)
    assert torch.get_num_threads() == 2


def test_one_group_stays_on_the_calling_thread(two_threads):
    names = run_groups(
        lambda *_: threading.current_thread().name, GROUPS[:1], device=CPU, on_step=None
    )
    assert names == [threading.current_thread().name]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_the_other_groups_stop_where_one_fails(two_threads, error):
    failed = threading.Event()
    steps = {2: 0, 4: 0}

    def train(group, on_step):
        if group.start == 0:
            failed.set()
            raise error
        failed.wait()
        while True:
            on_step(steps[group.start])
            steps[group.start] += 1

    with pytest.raises(error):
        run_groups(train, GROUPS, device=CPU, on_step=None)
    assert torch.get_num_threads() == 2


def test_members_trained_in_groups_are_those_trained_together(linear_gaussian, monkeypatch):
    exact = linear_gaussian(n_rows=60, n_sets=1, n_members=2)
    start = exact.model()
    structure = Structure(start.spec, "", start, ())
    resamples = resample_rows(60, members=range(4), seed=3, resample=True)

    def train():
        return train_members(
            structure, exact.store(), resamples, fit=FitConfig(), seed=5, first=0, on_step=None
        )

    together = train()
    monkeypatch.setattr("psmimpute.inference.groups._GROUP_FLOATS", 1)
    apart = train()
    assert apart.steps == together.steps
    assert apart.losses.shape == together.losses.shape
    assert_allclose(apart.losses, together.losses, atol=1e-3)
    own = dict(apart.model.named_parameters())
    for name, p in together.model.named_parameters():
        assert_allclose(p, own[name], atol=2e-3, err_msg=name)


def test_joined_members_keep_their_order_and_their_sets(linear_gaussian):
    exact = linear_gaussian(n_sets=3, n_members=2)
    first, second = exact.model(), exact.model()
    with torch.no_grad():
        second.decoder.loadings += 1
        second.prior.get_buffer("active")[1, 2] = False
    joined = first.join([first, second])
    assert joined.n_members == 4
    torch.testing.assert_close(joined.decoder.loadings[:2], first.decoder.loadings.detach())
    torch.testing.assert_close(joined.decoder.loadings[2:], second.decoder.loadings.detach())
    assert joined.prior.get_buffer("active").sum(1).tolist() == [3, 3, 3, 2]


def test_resamples_are_those_of_the_members():
    whole = resample_rows(30, members=range(4), seed=1, resample=True)
    part = resamples_of(whole, range(1, 3))
    alone = resample_rows(30, members=range(1, 3), seed=1, resample=True)
    assert_array_equal(part.counts, alone.counts)
    assert_array_equal(part.held_out, alone.held_out)
    assert_array_equal(part.held_out_weight, np.asarray(alone.held_out_weight))


def test_the_least_groups_are_pairs():
    assert split_members(5, 100) == [range(2), range(2, 5)]


def test_one_part_is_what_it_was(linear_gaussian):
    model = linear_gaussian(n_members=2).model()
    nothing = np.zeros((1, 2))
    trained = Trained(model, (0,), nothing, nothing, 0, nothing[0], nothing[0] > 0)
    assert join_trained([trained], CPU) is trained
