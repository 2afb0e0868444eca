"""Linear constraints on named coefficients, written as text, as matrices or as mappings."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TypeGuard

import numpy as np
import numpy.typing as npt

from psmimpute.exceptions import PoolingError
from psmimpute.pooling.rubin import FloatArray

Constraints = (
    str | Sequence[str] | Mapping[str, float] | npt.ArrayLike | tuple[npt.ArrayLike, npt.ArrayLike]
)
"""What ``t_test`` and ``wald_test`` take: see :func:`linear_constraints`."""

_PLACEHOLDER = "term_{:d}_"


def linear_constraints(
    constraints: Constraints, names: Sequence[str]
) -> tuple[FloatArray, FloatArray]:
    """Turn constraints into a matrix ``R`` and a vector ``v`` with ``R beta = v``.

    Parameters
    ----------
    constraints : str, list of str, mapping, array or pair of arrays
        Text such as ``"x = 1"`` or ``"a = b = 0, 2*(x + z) = 1"``, where an expression without
        ``=`` is set to 0 and names are taken as they stand, ``C(g)[T.b]`` included; a mapping of
        name to value; a matrix of ``k`` columns, or one row of it; or a matrix and the values.
    names : sequence of str, length k
        Names of the coefficients.

    Returns
    -------
    r_matrix : ndarray, shape (q, k)
        One constraint in each row.
    values : ndarray, shape (q,)
        Their right-hand sides.

    Raises
    ------
    PoolingError
        If a name is unknown, an expression is not linear, or a matrix has another width than the
        number of coefficients.

    Examples
    --------
    >>> matrix, values = linear_constraints("a = b, 2*b = 1", ["a", "b"])
    >>> matrix.tolist(), values.tolist()
    ([[1.0, -1.0], [0.0, 2.0]], [0.0, 1.0])
    """
    if isinstance(constraints, Mapping):
        constraints = [f"{name} = {value!r}" for name, value in constraints.items()]
    if isinstance(constraints, str):
        constraints = [constraints]
    if _are_texts(constraints):
        rows = [row for text in constraints for row in _parse(text, names)]
        matrix = np.array(rows)
        return matrix[:, :-1], 0.0 - matrix[:, -1]
    return _from_arrays(constraints, len(names))


def _are_texts(constraints: Constraints) -> TypeGuard[Sequence[str]]:
    return (
        isinstance(constraints, (list, tuple))
        and len(constraints) > 0
        and all(isinstance(constraint, str) for constraint in constraints)
    )


def _from_arrays(constraints: Constraints, k: int) -> tuple[FloatArray, FloatArray]:
    values: npt.ArrayLike = 0.0
    if isinstance(constraints, tuple) and len(constraints) == 2:
        constraints, values = constraints
    matrix = np.atleast_2d(np.asarray(constraints, dtype=float))
    if matrix.ndim != 2 or matrix.shape[1] != k:
        raise PoolingError(
            f"a matrix of constraints needs one column for each of the {k} coefficients, got shape "
            f"{matrix.shape}"
        )
    right = np.asarray(values, dtype=float).ravel()
    if right.size not in (1, len(matrix)):
        raise PoolingError(f"{len(matrix)} constraints need as many values, got {right.size}")
    return matrix, np.broadcast_to(right, (len(matrix),)).copy()


def _parse(text: str, names: Sequence[str]) -> list[FloatArray]:
    """Coefficients and constant of each constraint, as rows of length ``k + 1``."""
    masked = _mask_names(text, names)
    rows: list[FloatArray] = []
    for clause in _split_outside_brackets(masked):
        sides = [_linear_form(side, text, names) for side in clause.split("=")]
        if len(sides) == 1:
            sides.append(np.zeros(len(names) + 1))
        rows.extend(left - right for left, right in pairwise(sides))
    for row in rows:
        if not row[:-1].any():
            raise PoolingError(f"the constraint {text!r} holds no coefficient: {_known(names)}")
    return rows


def _mask_names(text: str, names: Sequence[str]) -> str:
    """Put placeholders for names, the longest first, so that ``x`` is not found in ``x2``."""
    found = {name: j for j, name in enumerate(names)}
    pattern = "|".join(re.escape(name) for name in sorted(found, key=len, reverse=True))
    edge_before, edge_after = r"(?<![\w.\[(])", r"(?![\w.\[(])"
    bounded = f"{edge_before}(?:{pattern}){edge_after}|(?<=[(])(?:{pattern}){edge_after}"
    return re.sub(bounded, lambda hit: _PLACEHOLDER.format(found[hit.group()]), text)


def _split_outside_brackets(text: str) -> list[str]:
    clauses, depth, start = [], 0, 0
    for i, character in enumerate(text):
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            clauses.append(text[start:i])
            start = i + 1
    return [*clauses, text[start:]]


def _linear_form(side: str, text: str, names: Sequence[str]) -> FloatArray:
    try:
        tree = ast.parse(side.strip(), mode="eval")
    except SyntaxError as error:
        raise PoolingError(f"cannot read the constraint {text!r}: {_known(names)}") from error
    return _evaluate(tree.body, text, names)


def _evaluate(node: ast.expr, text: str, names: Sequence[str]) -> FloatArray:
    """Coefficients of an expression, its constant last."""
    form = np.zeros(len(names) + 1)
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        form[-1] = node.value
        return form
    if isinstance(node, ast.Name) and (hit := re.fullmatch(r"term_(\d+)_", node.id)):
        form[int(hit.group(1))] = 1.0
        return form
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.UAdd, ast.USub)):
        sign = -1 if isinstance(node.op, ast.USub) else 1
        return sign * _evaluate(node.operand, text, names)
    if isinstance(node, ast.BinOp):
        left, right = (_evaluate(side, text, names) for side in (node.left, node.right))
        combined = _combine(node.op, left, right)
        if combined is not None:
            return combined
    written = re.sub(r"term_(\d+)_", lambda hit: names[int(hit.group(1))], ast.unparse(node))
    raise PoolingError(
        f"{written!r} in the constraint {text!r} is no coefficient and no linear "
        f"expression of coefficients: {_known(names)}"
    )


def _combine(operator: ast.operator, left: FloatArray, right: FloatArray) -> FloatArray | None:
    if isinstance(operator, ast.Add):
        return left + right
    if isinstance(operator, ast.Sub):
        return left - right
    if isinstance(operator, ast.Mult):
        if not left[:-1].any():
            return float(left[-1]) * right
        return None if right[:-1].any() else left * float(right[-1])
    if isinstance(operator, ast.Div) and not right[:-1].any() and right[-1] != 0:
        return left / float(right[-1])
    return None


def _known(names: Sequence[str]) -> str:
    return f"the coefficients are {', '.join(names)}"
