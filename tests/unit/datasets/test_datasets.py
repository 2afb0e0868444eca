"""The shipped data against the values that R prints for the same data sets.

R 4.2.2, mice 3.15.0: ``colSums(is.na(boys))``, ``colMeans(boys[..], na.rm = TRUE)``,
``lapply(boys[..], levels)`` with ``digits = 12``, and the same for ``nhanes2``.
"""

from __future__ import annotations

import pytest
from numpy.testing import assert_allclose

from psmimpute.datasets import load_boys, load_nhanes2


def test_boys_as_in_r():
    boys = load_boys()
    assert boys.shape == (748, 9)
    gaps = [0, 20, 4, 21, 46, 503, 503, 522, 3]
    assert boys.isna().sum().tolist() == gaps
    means = [9.15886631016, 132.15178571429, 37.15318682796, 18.06855570839]
    assert_allclose(boys[["age", "hgt", "wgt", "bmi"]].mean(), means, rtol=1e-11)
    assert_allclose(boys[["hc", "tv"]].mean(), [51.50598290598, 11.89380530973], rtol=1e-11)


def test_boys_levels():
    boys = load_boys()
    assert boys["gen"].cat.ordered
    assert boys["phb"].cat.ordered
    assert not boys["reg"].cat.ordered
    assert [*boys["reg"].cat.categories] == ["north", "east", "west", "south", "city"]
    assert boys["gen"].value_counts().sum() == 748 - 503


def test_nhanes2_as_in_r():
    data = load_nhanes2()
    assert data.shape == (25, 4)
    assert data.isna().sum().tolist() == [0, 9, 8, 10]
    assert [*data["age"].cat.categories] == ["20-39", "40-59", "60-99"]
    assert data["hyp"].value_counts().to_dict() == {"no": 13, "yes": 4}
    assert_allclose(data["bmi"].mean(), 26.5625, rtol=1e-11)


@pytest.mark.parametrize("load", [load_boys, load_nhanes2])
def test_every_load_is_a_fresh_frame(load):
    changed = load()
    changed.iloc[0, 0] = changed.iloc[1, 0]
    assert not changed.equals(load())
