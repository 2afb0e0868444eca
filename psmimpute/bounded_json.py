"""JSON from files that nobody vouches for: bounded in size and depth, named errors."""

from __future__ import annotations

import json
import re
from typing import Any

from psmimpute.exceptions import CorruptFileError

_MOST_BYTES = 64 * 2**20
_MOST_DEPTH = 40
_MOST_DIGITS = 400
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def parse_object(text: bytes, *, what: str, most_bytes: int = _MOST_BYTES) -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    text : bytes
        UTF-8.
    what : str
        What it is, for messages.
    most_bytes : int, default 64 MiB
        Longest text that is looked at.

    Returns
    -------
    dict

    Raises
    ------
    CorruptFileError
        If the text is too long, nested too deeply, or no JSON object.

    Examples
    --------
    >>> parse_object(b'{"m": 5}', what="manifest")
    {'m': 5}
    """
    if len(text) > most_bytes:
        raise CorruptFileError(f"{what} has {len(text)} bytes of JSON, more than {most_bytes}")
    if _depth(text) > _MOST_DEPTH:
        raise CorruptFileError(f"{what} nests JSON deeper than {_MOST_DEPTH} levels")
    try:
        found = json.loads(
            text.decode("utf-8"), object_pairs_hook=_without_repeats, parse_int=_short_int
        )
    except (ValueError, RecursionError) as error:
        raise CorruptFileError(f"{what} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise CorruptFileError(f"{what} is a JSON {type(found).__name__}, expected an object")
    return found


def dump_object(value: dict[str, Any]) -> bytes:
    """Write a JSON object, always the same bytes for the same value.

    Parameters
    ----------
    value : dict
        JSON values; infinite numbers and NaN as Python writes them.

    Returns
    -------
    bytes
        UTF-8.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _short_int(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a whole number has {len(digits)} digits")
    return int(digits)


def _depth(text: bytes) -> int:
    deepest = level = 0
    for bracket in _BRACKET.finditer(_TEXT.sub(b"", text)):
        level += 1 if bracket.group() in b"[{" else -1
        deepest = max(deepest, level)
    return deepest
