"""A value of the row key that is there twice is found, wherever the two rows are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from psmimpute.exceptions import SchemaError
from psmimpute.storage.source import ParquetSource
from psmimpute.storage.unique_keys import check_unique

N, FILES = 3000, 5


def _store(folder, ids):
    for i, part in enumerate(np.array_split(np.arange(N), FILES)):
        df = pd.DataFrame({"id": ids[part], "x": 0.0})
        df.to_parquet(folder / f"{i}.parquet", index=False, row_group_size=100)
    return ParquetSource(folder)


IDS = {
    "whole": np.random.default_rng(0).permutation(N) - 50,
    "text": np.array([f"row {i}" for i in range(N)], dtype=object),
}


@pytest.mark.parametrize("held_keys", [10**6, 100])
@pytest.mark.parametrize("kind", IDS)
def test_two_rows_far_apart_are_found_in_bounded_memory(tmp_path, kind, held_keys):
    ids = IDS[kind].copy()
    check_unique(_store(tmp_path, ids), "id", held_keys=held_keys)
    ids[2900] = ids[7]
    value = repr(ids[7] if kind == "text" else int(ids[7]))
    told = f"row_key column 'id', rows 7 and 2900: {value} is there twice"
    with pytest.raises(SchemaError, match=told):
        check_unique(_store(tmp_path, ids), "id", held_keys=held_keys)


def test_values_that_share_a_hash_are_let_pass(tmp_path, monkeypatch):
    """Two texts whose hashes are forced to agree: no value is there twice."""
    from psmimpute.table import row_keys

    plain = row_keys._hash
    forced = {"row 2900": plain("row 7")}
    monkeypatch.setattr(row_keys, "_hash", lambda text: forced.get(text, plain(text)))
    check_unique(_store(tmp_path, IDS["text"]), "id")


def test_a_missing_key_is_refused(tmp_path):
    ids = IDS["text"].copy()
    ids[2000] = None
    with pytest.raises(SchemaError, match="the key is missing"):
        check_unique(_store(tmp_path, ids), "id")
