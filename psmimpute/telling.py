"""Warnings: at the line of the user's that led to them, once a call, and remembered."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from psmimpute.exceptions import PSMWarning

_PACKAGE = str(Path(__file__).parent / "_")[:-1]  # with the separator at its end
_told: ContextVar[list[str] | None] = ContextVar("told", default=None)


def warn(message: str, category: type[PSMWarning]) -> None:
    """Warn of something, unless the call under way has said it already.

    Parameters
    ----------
    message : str
    category : type of PSMWarning
    """
    told = _told.get()
    if told is not None:
        if message in told:
            return
        told.append(message)
    warnings.warn(message, category, stacklevel=_level_of_user())


@contextmanager
def remembered() -> Iterator[list[str]]:
    """Collect what is warned of inside; within another such block, in that one's list.

    Yields
    ------
    list of str
        The messages so far, in order.
    """
    outer = _told.get()
    told: list[str] = [] if outer is None else outer
    token = _told.set(told)
    try:
        yield told
    finally:
        _told.reset(token)


@contextmanager
def hushed() -> Iterator[None]:
    """Say nothing of what is computed for the package's own use."""
    token = _told.set([])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PSMWarning)
            yield
    finally:
        _told.reset(token)


def _level_of_user() -> int:
    """Frames from the caller of this function's caller to the first outside the package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    return level
