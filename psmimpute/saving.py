"""What an imputer has beside its model as JSON values, and back."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
import pandas as pd

from psmimpute.exceptions import NotStorableError, SchemaError
from psmimpute.inference.checkpoint import read_config
from psmimpute.inference.config import FitConfig
from psmimpute.model.config import ModelConfig
from psmimpute.table.applicability import Answers
from psmimpute.table.json_values import from_json, to_json

_CONFIGS = {"ModelConfig": ModelConfig, "FitConfig": FitConfig}


def describe_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as JSON values.

    Parameters
    ----------
    options : mapping
        By name: numbers, text, mappings and lists of them, ``ModelConfig``, ``FitConfig``.

    Returns
    -------
    dict
        For :func:`read_options`.

    Raises
    ------
    NotStorableError
        If an option has a value that no JSON describes, a function for example.
    """
    described = {}
    for name, value in options.items():
        try:
            described[name] = _describe(value)
        except (SchemaError, TypeError) as error:
            raise NotStorableError(f"the option {name} cannot be stored: {error}") from None
    return described


def read_options(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that :func:`describe_options` described.

    Parameters
    ----------
    state : mapping
        From a file.

    Returns
    -------
    dict

    Raises
    ------
    ValueError, KeyError, TypeError, ConfigError
        If it describes none.
    """
    return {name: _read(value) for name, value in state.items()}


def describe_answers(answers: Answers) -> list[list[Any]]:
    """Return how often columns are observed, of conditions unknown, as JSON values."""
    return [[formula, a, b] for formula, (a, b) in answers.items()]


def read_answers(state: list[list[Any]]) -> Answers:
    """Return what :func:`describe_answers` described.

    Parameters
    ----------
    state : list
        From a file.

    Returns
    -------
    mapping

    Raises
    ------
    ValueError, TypeError
        If it describes none.
    """
    answers = {str(formula): (float(a), float(b)) for formula, a, b in state}
    if not all(0 < number < math.inf for pair in answers.values() for number in pair):
        raise ValueError("parameters of a beta distribution are not positive")
    return answers


def _describe(value: object) -> Any:  # noqa: ANN401
    if is_dataclass(value) and type(value).__name__ in _CONFIGS:
        return {"config": type(value).__name__, "fields": asdict(value)}  # type: ignore[arg-type]
    if isinstance(value, Mapping):
        return {"mapping": [[_describe(k), _describe(v)] for k, v in value.items()]}
    if isinstance(value, list | set | frozenset) or type(value).__name__ in ("dict_keys", "Index"):
        assert isinstance(value, Iterable)
        return {"list": [_describe(item) for item in value]}
    if callable(value):
        raise SchemaError("a function is no data: give a formula, such as 'weight / height**2'")
    if isinstance(value, tuple):
        return to_json(tuple(map(_without_numpy, value)))
    return to_json(_without_numpy(value))


def _without_numpy(value: object) -> object:
    if isinstance(value, np.datetime64):
        return pd.Timestamp(value)
    if isinstance(value, np.timedelta64 | datetime.timedelta):
        return pd.Timedelta(value)
    return value.item() if isinstance(value, np.generic) else value


def _read(state: object) -> Any:  # noqa: ANN401
    if isinstance(state, dict):
        if "config" in state:
            return read_config(_CONFIGS[state["config"]], state["fields"])
        if "mapping" in state:
            return {_read(k): _read(v) for k, v in state["mapping"]}
        if "list" in state:
            return [_read(item) for item in state["list"]]
    if isinstance(state, str | int | float | bool | dict) or state is None:
        return from_json(state)
    raise ValueError(f"{type(state).__name__} is no option")
