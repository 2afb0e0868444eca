"""Which observed cells are to be imputed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from psmimpute.exceptions import ConfigError
from psmimpute.table.chosen_cells import chosen_cells


@pytest.fixture
def frame():
    return pd.DataFrame({"id": [1, 2, 3], "y": [1.0, None, 3.0], "x": [None, 5.0, 6.0]})


@pytest.fixture
def choose(frame):
    observed = frame[["x", "y"]].notna().to_numpy()
    return lambda where: chosen_cells(where, frame, ("x", "y"), observed)


def test_words(choose, frame):
    observed = frame[["x", "y"]].notna().to_numpy()
    assert not choose(None).any()
    assert not choose("missing").any()
    np.testing.assert_array_equal(choose("all"), observed)
    np.testing.assert_array_equal(choose("observed"), observed)


@pytest.mark.parametrize("kind", [pd.DataFrame, np.asarray])
def test_booleans_in_the_order_of_the_model(choose, frame, kind):
    where = frame.isna()
    where.loc[2, "y"] = where.loc[1, "x"] = True
    found = choose(where if kind is pd.DataFrame else where.to_numpy())
    assert np.argwhere(found).tolist() == [[1, 0], [2, 1]]


def test_bad_choices_are_refused(choose, frame):
    with pytest.raises(ConfigError, match="where='some'"):
        choose("some")
    with pytest.raises(ConfigError, match="rows and columns of the data"):
        choose(frame.isna().iloc[::-1])
    with pytest.raises(ConfigError, match="must hold booleans in the shape"):
        choose(np.zeros((3, 3)))
    with pytest.raises(ConfigError, match="observed cells of 'id', which is not modelled"):
        choose(np.ones((3, 3), bool))
