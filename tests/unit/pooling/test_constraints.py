"""Constraints read as patsy reads them, and refused with a word about what is wrong."""

from __future__ import annotations

import numpy as np
import patsy
import pytest
from numpy.testing import assert_array_equal

from psmimpute.exceptions import PoolingError
from psmimpute.pooling.constraints import linear_constraints

NAMES = [
    "Intercept",
    "x",
    "x2",
    "C(g)[T.b]",
    'C(g, Treatment("a"))[T.c]',
    "np.log(z)",
    "x:np.log(z)",
    "g[T.a b]",
    "I(x ** 2)",
]


@pytest.mark.parametrize(
    "text",
    [
        "x = 0",
        "x = x2",
        "x = x2 = 0",
        "C(g)[T.b] - 2*x",
        "C(g)[T.b] = 1, x",
        "(x + x2)/2 = 3",
        "-x + -2*(x2 - 1)",
        "x:np.log(z) = 0",
        "np.log(z) = x",
        'C(g, Treatment("a"))[T.c] = 0, x2',
        "g[T.a b] = 2",
        "I(x ** 2) = Intercept",
        ["x = 1", "x2"],
    ],
)
def test_reads_text_as_patsy_does(text):
    expected = patsy.DesignInfo(NAMES).linear_constraint(text)
    matrix, values = linear_constraints(text, NAMES)
    assert_array_equal(matrix, expected.coefs)
    assert_array_equal(values, expected.constants.ravel())


@pytest.mark.parametrize("given", [[0, 1, -1], [[0, 1, -1]], np.array([[0, 1, -1]])])
def test_arrays_have_zero_on_the_right(given):
    matrix, values = linear_constraints(given, ["a", "b", "c"])
    assert_array_equal(matrix, [[0, 1, -1]])
    assert_array_equal(values, [0])


def test_pairs_and_mappings_have_values():
    matrix, values = linear_constraints((np.eye(2), [1, 2]), ["a", "b"])
    assert_array_equal(values, [1, 2])
    matrix, values = linear_constraints({"b": 2.5}, ["a", "b"])
    assert_array_equal(matrix, [[0, 1]])
    assert_array_equal(values, [2.5])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("q = 1", "'q' in the constraint 'q = 1' is no coefficient.*: the coefficients are Int"),
        ("x * x2", r"'x \* x2' .* no linear expression"),
        ("x2x", "'x2x' .* is no coefficient"),
        ("x / x2", "no linear expression"),
        ("1 = 1", "holds no coefficient"),
        ("x ==", "cannot read the constraint 'x =='"),
        ("f(x)", r"'f\(x\)' in the constraint"),
        (np.eye(3), r"one column for each of the 9 coefficients, got shape \(3, 3\)"),
        ((np.eye(9), [1, 2]), "9 constraints need as many values, got 2"),
    ],
)
def test_refuses_what_it_cannot_read(given, message):
    with pytest.raises(PoolingError, match=message):
        linear_constraints(given, NAMES)
