"""Formulas of columns, written as text and computed without running code.

A formula is parsed and its tree walked here: names stand for columns, and nothing but
arithmetic, comparisons, logic and a few named functions is understood.
"""

from __future__ import annotations

import ast
import operator
import re
import tokenize
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from io import StringIO
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from psmimpute.exceptions import ConfigError

_NAME = re.compile(r"[^\W\d]\w*")
_QUOTED = re.compile(r"`([^`]+)`")
_ASSIGNED = re.compile(r"(?<![=!<>])=(?!=)")
_LONGEST = 2000

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.invert,
    ast.Invert: operator.invert,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda x, values: x.isin(values),
    ast.NotIn: lambda x, values: ~x.isin(values),
}
_EQUALITIES = (ast.Eq, ast.NotEq, ast.In, ast.NotIn)
_LISTS = (ast.List, ast.Tuple)
_FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "abs": (1, np.abs),
    "sqrt": (1, np.sqrt),
    "exp": (1, np.exp),
    "expm1": (1, np.expm1),
    "log": (1, np.log),
    "log1p": (1, np.log1p),
    "log2": (1, np.log2),
    "log10": (1, np.log10),
    "floor": (1, np.floor),
    "ceil": (1, np.ceil),
    "round": (1, lambda x: x.round()),
    "minimum": (2, np.minimum),
    "maximum": (2, np.maximum),
    "where": (3, lambda condition, yes, no: _choose(condition, yes, no)),
}


@dataclass(frozen=True)
class Expression:
    """A formula of columns, such as ``"weight / height**2"``.

    Names that are no identifiers stand between backticks: ``"`body mass` / 10"``. There are
    ``+ - * / // % **``, comparisons, ``in``, ``and`` (``&``), ``or`` (``|``), ``not``, and the
    functions abs, ceil, exp, expm1, floor, log, log1p, log2, log10, maximum, minimum, round, sqrt
    and ``where(condition, yes, no)``.

    Parameters
    ----------
    text : str
        The formula.

    Raises
    ------
    ConfigError
        If the text is no formula, or holds what formulas may not.

    Examples
    --------
    >>> bmi = Expression("weight / height**2")
    >>> bmi.names
    ('weight', 'height')
    >>> bmi(pd.DataFrame({"weight": [80.0], "height": [2.0]})).tolist()
    [20.0]
    """

    text: str

    def __post_init__(self) -> None:
        for node in ast.walk(self._tree):
            self._check(node)

    @cached_property
    def _quoted(self) -> dict[str, str]:
        """Placeholders of the names between backticks."""
        names = dict.fromkeys(_QUOTED.findall(self.text))
        return {f"_quoted_{i}_": name for i, name in enumerate(names)}

    @cached_property
    def _tree(self) -> ast.expr:
        if len(self.text) > _LONGEST:
            raise ConfigError(f"a formula is a text of at most {_LONGEST} characters")
        places = {name: place for place, name in self._quoted.items()}
        plain = _QUOTED.sub(lambda found: places[found.group(1)], self.text)
        try:
            return ast.parse(_as_logic(plain.strip()), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, tokenize.TokenError):
            hint = "; write == to compare" if _ASSIGNED.search(self.text) else ""
            raise ConfigError(f"{self.text!r} is no formula of columns{hint}") from None

    def _check(self, node: ast.AST) -> None:
        match node:
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                known = _FUNCTIONS.get(name)
                if known is None or known[0] != len(args):
                    self._refuse(f"there is no function {name} of {len(args)} arguments")
            case ast.Constant(value=value):
                if not isinstance(value, (bool, int, float, str)):
                    self._refuse(f"{value!r} is neither a number nor a text")
            case ast.BinOp(op=op) if type(op) not in _BINARY:
                self._refuse(f"there is no operator {type(op).__name__}")
            case ast.Compare(ops=ops) if not {type(op) for op in ops} <= _COMPARISONS.keys():
                self._refuse("comparisons are ==, !=, <, <=, >, >= and in")
            case (
                ast.Name()
                | ast.BinOp()
                | ast.UnaryOp()
                | ast.BoolOp()
                | ast.Compare()
                | ast.List()
                | ast.Tuple()
                | ast.operator()
                | ast.unaryop()
                | ast.boolop()
                | ast.cmpop()
                | ast.expr_context()
            ):
                pass
            case _:
                self._refuse(_why_not(node))

    def _refuse(self, why: str) -> None:
        raise ConfigError(f"the formula {self.text!r} cannot be used: {why}")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, each once, in the order in which they occur."""
        called = {id(n.func) for n in ast.walk(self._tree) if isinstance(n, ast.Call)}
        found = [
            (node.lineno, node.col_offset, node.id)
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Name) and id(node) not in called
        ]
        return tuple(dict.fromkeys(self._quoted.get(n, n) for _, _, n in sorted(found)))

    @property
    def computes(self) -> bool:
        """Whether anything is computed: the formula is more than a name or a constant."""
        return not isinstance(self._tree, (ast.Name, ast.Constant))

    @cached_property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """Columns and the texts that they are compared with, for equality."""
        found = []
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], _EQUALITIES):
                sides = [node.left, *node.comparators]
                sides = [i for s in sides for i in (s.elts if isinstance(s, _LISTS) else [s])]
                names = [self._quoted.get(s.id, s.id) for s in sides if isinstance(s, ast.Name)]
                texts = [s.value for s in sides if isinstance(s, ast.Constant)]
                found += [(n, t) for n in names for t in texts if isinstance(t, str)]
        return tuple(found)

    def __call__(self, frame: pd.DataFrame) -> Any:  # noqa: ANN401
        """Compute the formula.

        Parameters
        ----------
        frame : DataFrame
            With the columns named.

        Returns
        -------
        Series or scalar
            On the frame's index; a scalar where no column is named.

        Raises
        ------
        ConfigError
            If a column is not there.
        """
        named: dict[Hashable, Hashable] = {str(name): name for name in frame.columns}
        absent = [name for name in self.names if name not in named]
        if absent:
            raise ConfigError(
                f"the formula {self.text!r} names {absent[0]!r}, which is no column: there are "
                f"{[*frame.columns]}"
            )
        columns = {name: frame[named[name]] for name in self.names}
        with np.errstate(all="ignore"):
            return self._value(self._tree, columns)

    def _value(self, node: ast.expr, columns: Mapping[str, pd.Series]) -> Any:  # noqa: ANN401
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return columns[self._quoted.get(name, name)]
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self._value(item, columns) for item in items]
            case ast.BoolOp() | ast.Compare():
                return self._truth(node, columns)
        return self._computed(node, columns)

    def _computed(self, node: ast.expr, columns: Mapping[str, pd.Series]) -> Any:  # noqa: ANN401
        match node:
            case ast.UnaryOp(op=op, operand=operand):
                return _UNARY[type(op)](self._value(operand, columns))
            case ast.BinOp(left=left, op=op, right=right):
                return _BINARY[type(op)](self._value(left, columns), self._value(right, columns))
            case ast.Call(func=ast.Name(id=name), args=args):
                return _FUNCTIONS[name][1](*(self._value(arg, columns) for arg in args))
        raise ConfigError(f"the formula {self.text!r} cannot be computed")

    def _truth(self, node: ast.BoolOp | ast.Compare, columns: Mapping[str, pd.Series]) -> Any:  # noqa: ANN401
        if isinstance(node, ast.BoolOp):
            join = operator.and_ if isinstance(node.op, ast.And) else operator.or_
            return reduce(join, [self._value(value, columns) for value in node.values])
        values = [self._value(part, columns) for part in (node.left, *node.comparators)]
        pairs = zip(node.ops, pairwise(values), strict=True)
        return reduce(operator.and_, [_COMPARISONS[type(op)](*pair) for op, pair in pairs])


def as_name(column: object) -> str:
    """Write a column's name as formulas name it: between backticks where it is no plain name."""
    text = str(column)
    return text if text.isidentifier() else f"`{text}`"


def names_in(text: str) -> set[str]:
    """Return what may be names in a text that other libraries read, or that holds formulas."""
    return {*_NAME.findall(text)}


def _why_not(node: ast.AST) -> str:
    match node:
        case ast.Call(func=ast.Attribute(attr=name)) if name in _FUNCTIONS:
            return f"write {name}(...), without what stands before it"
    return f"{type(node).__name__.lower()} is not allowed; give a function"


def _as_logic(text: str) -> str:
    """Let ``&`` and ``|`` bind as loosely as ``and`` and ``or``, as they do in pandas' formulas."""
    words = {"&": "and", "|": "or"}
    tokens = tokenize.generate_tokens(StringIO(text).readline)
    return " ".join(words.get(token.string, token.string) for token in tokens).strip()


def _choose(condition: Any, yes: Any, no: Any) -> Any:  # noqa: ANN401
    if not isinstance(condition, pd.Series):
        return yes if condition else no
    chosen = np.where(condition.fillna(False).to_numpy(dtype=bool), yes, no)
    return pd.Series(chosen, index=condition.index)
