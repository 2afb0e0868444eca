"""Numeric fields of configurations as plain Python numbers, so that they can be stored as data."""

from __future__ import annotations

from dataclasses import fields
from numbers import Integral, Real
from typing import TYPE_CHECKING, get_args, get_type_hints

import numpy as np

from psmimpute.exceptions import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_WANTED = {bool: "True or False", int: "a whole number", float: "a number"}


def make_numbers_plain(config: DataclassInstance) -> None:
    """Give each numeric field of a frozen dataclass the type that its hint names.

    NumPy's scalars become Python's. Fields whose hint names no number are left alone.

    Parameters
    ----------
    config : dataclass
        Changed in place, as in ``__post_init__``. The hint of a numeric field is ``bool``, ``int``
        or ``float``, or one of them or ``Literal["auto"]``.

    Raises
    ------
    ConfigError
        If a field has a value of another kind; the message names it.
    """
    hints = get_type_hints(type(config))
    for name in (field.name for field in fields(config)):
        value, options = getattr(config, name), (hints[name], *get_args(hints[name]))
        wanted = next((kind for kind in _WANTED if kind in options), None)
        automatic = len(options) > 1
        if wanted is None or (automatic and isinstance(value, str) and value == "auto"):
            continue
        if not _is_a(wanted, value):
            or_else = "'auto' or " * automatic
            raise ConfigError(f"{name} must be {or_else}{_WANTED[wanted]}, got {value!r}")
        object.__setattr__(config, name, wanted(value))


def _is_a(wanted: type, value: object) -> bool:
    if wanted is bool or isinstance(value, bool):
        return wanted is bool and isinstance(value, bool | np.bool_)
    return isinstance(value, Integral if wanted is int else Real)
