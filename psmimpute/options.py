"""What the user may ask of an imputer: types of the options, and their checks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from psmimpute.exceptions import ConfigError
from psmimpute.imputed.derived import Recipe
from psmimpute.inference.config import FitConfig
from psmimpute.model.config import ModelConfig
from psmimpute.table.applicability import Condition
from psmimpute.table.kinds import ColumnKind
from psmimpute.table.schema import TableSchema

_MOST_IMPUTATIONS = 10_000
_MOST_SETS = 100

Pi = float | Literal["adaptive"] | Mapping[Hashable, float]
Kinds = Mapping[Any, ColumnKind | str]
Bounds = Mapping[Any, tuple[Any, Any]]
Derived = Mapping[Any, str | Recipe]
Conditions = Mapping[Any, Condition]
Engine = Literal["local", "ray"]


def check_options(options: Mapping[str, Any]) -> None:
    """Check the options of an imputer, but for those that only a table can judge.

    Parameters
    ----------
    options : mapping
        By name, as ``PSMImputer.get_params`` gives them.

    Raises
    ------
    ConfigError
        If one is out of its range; the message names it and says what it may be.
    """
    check_m(options["m"])
    if options["members"] is not None:
        check_whole("members", options["members"], 1, _MOST_IMPUTATIONS)
    missingness = options["missingness"]
    if missingness not in ("shared", "selection", "ignorable"):
        raise ConfigError(
            f"missingness must be 'shared', 'selection' or 'ignorable', got {missingness!r}"
        )
    if options["n_sets"] != "auto":
        check_whole("n_sets", options["n_sets"], 1, _MOST_SETS, or_else="'auto' or ")
    if options["seed"] is not None:
        check_whole("seed", options["seed"], 0, 2**64 - 1)
    for name, kind in (("model", ModelConfig), ("fit", FitConfig)):
        if not isinstance(options[name], kind):
            raise ConfigError(f"{name} must be a {kind.__name__}(...), got {options[name]!r}")


def check_m(m: object) -> None:
    """Refuse what is no number of imputations."""
    check_whole("m", m, 1, _MOST_IMPUTATIONS, hint="; 20 is usual")


def check_whole(
    name: str, value: object, low: int, high: int, *, or_else: str = "", hint: str = ""
) -> None:
    """Refuse an option that is no whole number from `low` to `high`."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not (whole and low <= value <= high):  # type: ignore[operator]
        raise ConfigError(
            f"{name} must be {or_else}a whole number from {low} to {high}, got {value!r}{hint}"
        )


def pi_by_column(pi: Pi, schema: TableSchema, observed: npt.NDArray[np.bool_]) -> tuple[float, ...]:
    """Resolve π′ to one value for each modelled column.

    Parameters
    ----------
    pi : float, "adaptive" or mapping
        As the user gave it.
    schema : TableSchema
    observed : ndarray of bool, shape (n_rows, n_modelled_columns)

    Returns
    -------
    tuple of float
        One for each modelled column.

    Raises
    ------
    ConfigError
        If it is none of these, names a column that is not modelled, or is not in [0, 1].
    """
    names = schema.column_names
    _check_pi(pi)
    if isinstance(pi, str):
        share = observed.mean(0)
        return tuple(float(p) for p in share / (1 + share))
    if isinstance(pi, Mapping):
        unknown = [name for name in pi if name not in names]
        if unknown:
            raise ConfigError(f"pi names columns that are not modelled: {unknown}")
        values = tuple(float(pi.get(name, 0.5)) for name in names)
    else:
        values = (float(pi),) * len(names)
    for name, value in zip(names, values, strict=True):
        if not 0 <= value <= 1:
            raise ConfigError(f"pi of column {name!r} must lie in [0, 1], got {value}")
    return values


def _check_pi(pi: object) -> None:
    if not isinstance(pi, Mapping | Real) and pi != "adaptive":
        raise ConfigError(f"pi must be a number, 'adaptive' or a mapping, got {pi!r}")
