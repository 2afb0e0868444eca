"""The floor: calls, operations and bytes are counted, views are free."""

from __future__ import annotations

import pandas as pd
import torch

from benchmarks import floor
from benchmarks.floor import CallCounter


def test_a_product_counts_its_operations_and_its_bytes():
    a, b = torch.randn(3, 4), torch.randn(4, 5)
    with CallCounter() as counted:
        a @ b
    assert counted.calls == 1
    assert counted.operations == 2 * 3 * 4 * 5
    assert counted.bytes == 4 * (12 + 20 + 15)


def test_views_are_free_and_what_is_expanded_is_read_once():
    a = torch.randn(4, 1)
    with CallCounter() as counted:
        wide = a.T.expand(6, 4)[:3].reshape(3, 4)
    assert counted.calls == 0
    with CallCounter() as counted:
        wide + 1
    assert counted.calls == 1
    assert counted.bytes == 4 * (4 + 12)


def test_a_call_in_place_counts_and_so_does_the_way_back():
    x = torch.ones(5, requires_grad=True)
    with CallCounter() as forwards:
        loss = (x * 2).sum()
    with CallCounter() as both:
        (x * 2).sum().backward()
        torch.zeros(3).add_(1)
    assert loss.item() == 10
    assert both.calls > forwards.calls + 1


def test_a_run_writes_a_row(tmp_path):
    out = tmp_path / "floor.csv"
    floor.main(["--n", "60", "--d", "3", "--m", "2", "--out", str(out)])
    row = pd.read_csv(out).iloc[0]
    assert row["members_of_group"] == 2
    assert row["calls"] > 100
    assert row["measured_over_floor"] > 1
    parts = row[["encode_s", "structure_s", "members_s", "draw_s"]]
    assert (parts >= 0).all()
    assert 0 < parts.sum() <= row["whole_s"] + 0.05
