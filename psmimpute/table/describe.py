"""From one column of a frame to its schema: kind, levels or transform, and support."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import (
    ConstantColumnWarning,
    NumbersAsTextWarning,
    SchemaError,
    SparseColumnWarning,
    SuspectValueWarning,
)
from psmimpute.table.kind_rules import is_narrow, is_rating, is_whole, numeric_kind
from psmimpute.table.kinds import ColumnKind
from psmimpute.table.limits import number_limits, number_support, read_bounds, time_support
from psmimpute.table.reading import (
    Storage,
    TimeCells,
    is_missing,
    read_labels,
    read_numbers,
    read_times,
    storage_of,
)
from psmimpute.table.schema import ColumnSchema
from psmimpute.table.support import check_bounds, check_finite, check_kind
from psmimpute.table.times import TimeAxis
from psmimpute.table.transforms import (
    NO_END,
    Transform,
    choose_for_amounts,
    choose_for_continuous,
    choose_for_count,
    choose_for_positive,
)
from psmimpute.telling import warn

FloatArray = npt.NDArray[np.float64]

_DISCRETE = (ColumnKind.BINARY, ColumnKind.NOMINAL, ColumnKind.ORDINAL)
_LABELS = (Storage.BOOLEAN, Storage.CATEGORY, Storage.LABEL)
_POSSIBLE_KINDS = {
    Storage.BOOLEAN: _DISCRETE,
    Storage.NUMBER: (
        ColumnKind.CONTINUOUS,
        ColumnKind.POSITIVE,
        ColumnKind.COUNT,
        ColumnKind.SEMICONTINUOUS,
        *_DISCRETE,
    ),
    Storage.LABEL: (ColumnKind.BINARY, ColumnKind.NOMINAL),
    Storage.CATEGORY: _DISCRETE,
    Storage.DATETIME: (ColumnKind.DATETIME,),
    Storage.TIMEDELTA: (ColumnKind.TIMEDELTA,),
}
# More distinct labels than this, and in more than half of the rows another one: an identifier.
IDENTIFIER_LEVELS, IDENTIFIER_SHARE = 50, 0.5
# So many labels that nearly all say a number are numbers that came as text.
NUMBERS_AS_TEXT, MOST_OTHERS = 11, 0.1
_LARGEST_EXACT = 2.0**53
# Numbers with separators of thousands, decimal commas, currencies, percent signs or brackets.
_DRESSED = re.compile(
    r"[(]?[-+]?[$€£¥]? ?[-+]?(\d{1,3}([,.' \u00a0\u202f]\d{3})+|\d+)([.,]\d+)? ?[%$€£¥]?[)]?"
)
_UNDRESS = "taking separators and signs away, and pd.to_numeric"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([ T]|$)")
# A level rarer than this is hardly learnt. In a small table every level is, and no news.
RARE_LEVEL, RARE_LEVEL_NEEDS = 5, 50
# Texts and numbers by which tables say that there is no value.
MISSING_TEXTS = frozenset(
    ("", ".", "?", "na", "n/a", "#n/a", "<na>", "nan", "null", "missing", "unknown")
)
# Days that stand for none in tables: the first of spreadsheets and of computers, and the last.
MISSING_DAYS = frozenset({"1899-12-30", "1899-12-31", "1900-01-01", "1970-01-01", "9999-12-31"})
MISSING_CODES = frozenset(
    sign * int(digit * n) for digit in "789" for n in range(1, 7) for sign in (1, -1)
)


@dataclass(frozen=True, slots=True)
class ColumnRequest:
    """What the user said of a column.

    Attributes
    ----------
    kind : ColumnKind or None
        The kind asked for.
    bounds : tuple or None
        Lowest and highest allowed value: numbers, or what pandas reads as times; None where open.
    """

    kind: ColumnKind | None = None
    bounds: tuple[object, object] | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A column that the model has to do without.

    Attributes
    ----------
    reason : str
        Why.
    """

    reason: str


def describe_column(series: pd.Series, request: ColumnRequest) -> ColumnSchema | LeftOut:
    """Infer the schema of one column.

    Parameters
    ----------
    series : Series
        The column, named.
    request : ColumnRequest
        What the user said of it.

    Returns
    -------
    ColumnSchema or LeftOut
        An identifier without missing cells is left out.

    Raises
    ------
    SchemaError
        If nothing was observed, the values cannot be modelled, or the kind asked for or bounds
        do not fit them.
    SupportError
        If a value is infinite, outside the bounds, or not one that the kind allows.

    Warns
    -----
    ConstantColumnWarning
        If one value only was observed.
    SparseColumnWarning
        If the column looks like an identifier, or has gaps and rare levels.
    NumbersAsTextWarning
        If the column is text that says numbers or dates.
    SuspectValueWarning
        If a number or a text looks like a code for a missing value.
    """
    observed = ~is_missing(series)
    n_observed = int(observed.sum())
    if n_observed == 0:
        raise SchemaError(
            f"column {series.name!r} was never observed: give exclude=[{series.name!r}] to leave "
            "it as it is, or add data"
        )
    storage = storage_of(series)
    _check_request(series, storage, request)
    bare = ColumnSchema(
        name=series.name,
        kind=request.kind or _default_kind(series, storage),
        dtype=str(series.dtype),
        reason=f"{storage}, as asked for by kinds=" if request.kind else str(storage),
        n_observed=n_observed,
        n_missing=len(series) - n_observed,
    )
    if storage in (Storage.DATETIME, Storage.TIMEDELTA):
        return _describe_times(bare, series, observed, request.bounds)
    if storage is Storage.NUMBER:
        if request.bounds is not None:
            bounds = read_bounds(bare.name, request.bounds, float, "numbers")
            bare = replace(bare, bounds=bounds)
        return _describe_numbers(bare, series, observed, asked=request.kind is not None)
    return _describe_levels(bare, series, asked=request.kind is not None)


def _default_kind(series: pd.Series, storage: Storage) -> ColumnKind:
    match storage:
        case Storage.BOOLEAN:
            return ColumnKind.BINARY
        case Storage.CATEGORY if series.cat.ordered:
            return ColumnKind.ORDINAL
        case Storage.CATEGORY | Storage.LABEL:
            return ColumnKind.NOMINAL
        case Storage.DATETIME:
            return ColumnKind.DATETIME
        case Storage.TIMEDELTA:
            return ColumnKind.TIMEDELTA
        case Storage.NUMBER:
            return ColumnKind.CONTINUOUS


def _check_request(series: pd.Series, storage: Storage, request: ColumnRequest) -> None:
    possible = _POSSIBLE_KINDS[storage]
    if request.kind is not None and request.kind not in possible:
        advice = f"possible kinds: {', '.join(possible)}"
        if request.kind is ColumnKind.ORDINAL and storage is Storage.LABEL:
            advice = "make it an ordered category, which says the order of the labels"
        raise SchemaError(
            f"column {series.name!r} holds {storage} (dtype {series.dtype}), which kind "
            f"{str(request.kind)!r} does not fit: {advice}"
        )
    if request.bounds is not None and (storage in _LABELS or request.kind in _DISCRETE):
        what = f"is {request.kind}" if request.kind else f"holds {storage}"
        raise SchemaError(
            f"column {series.name!r} {what}: bounds are for numbers and times, take them away"
        )


def _constant(column: ColumnSchema, value: object) -> ColumnSchema:
    gaps = "its gaps are filled with it" if column.n_missing else "it tells the model nothing"
    warn(f"column {column.name!r} has one observed value, {value!r}: {gaps}", ConstantColumnWarning)
    return replace(column, constant=value, reason=f"{column.reason}, all of them {value}")


def _describe_numbers(
    column: ColumnSchema, series: pd.Series, observed: npt.NDArray[np.bool_], *, asked: bool
) -> ColumnSchema | LeftOut:
    numbers = read_numbers(series)
    check_finite(column.name, numbers, series.index)
    x = numbers[observed]
    large = column.kind not in _DISCRETE and np.abs(x).max() >= _LARGEST_EXACT
    if large and len(np.unique(x)) < series[observed].nunique():
        raise SchemaError(
            f"column {column.name!r} holds whole numbers so large that some cannot be told apart "
            f"as decimals: if they name rows, give exclude=[{column.name!r}]; if they measure "
            "something, subtract the smallest"
        )
    if x.min() == x.max():
        return _constant(column, read_labels(series)[1][0])
    if not asked and column.bounds is None:
        _warn_of_codes(column, x)
    if not asked:
        kind, reason = numeric_kind(x)
        column = replace(column, kind=kind, reason=reason)
    if column.kind in _DISCRETE:
        check_bounds(column, numbers, series.index)
        return _describe_levels(column, series, asked=asked)
    check_kind(column.name, column.kind, numbers, series.index)
    limits = number_limits(series.dtype)
    column = replace(column, bounds=limits.representable(column.bounds))
    check_bounds(column, numbers, series.index)
    whole = limits.is_integer or is_whole(x)
    free = not asked and column.bounds is None and column.kind is ColumnKind.COUNT
    ends = (float(x.min()), float(x.max())) if free and is_rating(x) else NO_END
    rounded = not asked and column.kind is ColumnKind.CONTINUOUS and whole and is_narrow(x)
    column = replace(
        column,
        is_integer=whole,
        is_rounded=rounded,
        transform=_transform(column, x, ends),
    )
    return replace(column, support=number_support(column, limits, x.min(), ends[1]))


def _transform(column: ColumnSchema, x: FloatArray, ends: tuple[float, float]) -> Transform:
    match column.kind:
        case ColumnKind.COUNT:
            return choose_for_count(x, ends)
        case ColumnKind.POSITIVE:
            return choose_for_positive(x)
        case ColumnKind.SEMICONTINUOUS:
            return choose_for_amounts(x[x > 0])
        case _:
            return choose_for_continuous(x)


def _describe_times(
    column: ColumnSchema,
    series: pd.Series,
    observed: npt.NDArray[np.bool_],
    ends: tuple[object, object] | None,
) -> ColumnSchema:
    cells = read_times(series)
    cells = TimeCells(cells.ticks[observed], cells.unit, cells.zone)
    is_duration = column.kind is ColumnKind.TIMEDELTA
    axis = TimeAxis.of(cells, is_duration=is_duration)
    seconds = axis.seconds(cells)
    reason = f"{column.reason}, all on the {axis.step_name}"
    column = replace(column, reason=reason, time=axis)
    if ends is not None:
        what = "durations" if is_duration else "points in time"
        column = replace(column, bounds=read_bounds(column.name, ends, axis.second_of, what))
        check_bounds(column, seconds, series.index[observed])
    low, high = float(seconds.min()), float(seconds.max())
    if column.bounds is None and not is_duration:
        _warn_of_days(column, seconds)
    if low == high:
        column = replace(column, support=(low, high))
        return _constant(column, read_labels(series)[1][0])
    skewed = is_duration and low > 0 and numeric_kind(seconds)[0] is ColumnKind.POSITIVE
    transform = choose_for_positive(seconds) if skewed else choose_for_continuous(seconds)
    return replace(column, transform=transform, support=time_support(column, axis, low, high))


def _describe_levels(
    column: ColumnSchema, series: pd.Series, *, asked: bool
) -> ColumnSchema | LeftOut:
    codes, values = read_labels(series)
    counts = np.bincount(codes[codes >= 0], minlength=len(values))
    seen = [(value, int(n)) for value, n in zip(values, counts, strict=True) if n]
    if not isinstance(series.dtype, pd.CategoricalDtype):
        seen.sort(key=lambda level: level[0])
    levels = tuple(value for value, _ in seen)
    if len(levels) == 1:
        return _constant(column, levels[0])
    if not asked:
        _warn_of_texts(column, seen)
    if len(levels) == 2 and column.kind is not ColumnKind.BINARY:
        reason = f"{column.reason}, two of them observed"
        column = replace(column, kind=ColumnKind.BINARY, reason=reason)
    elif column.kind is ColumnKind.BINARY and len(levels) > 2:
        raise SchemaError(
            f"column {column.name!r} has {len(levels)} distinct values, kind 'binary' needs two: "
            "give kind 'nominal', or 'ordinal' if they have an order"
        )
    elif column.kind is ColumnKind.NOMINAL and not asked and _is_identifier(column, len(levels)):
        return _leave_out(column, levels)
    if not asked and len(levels) >= NUMBERS_AS_TEXT and _are_dates(levels):
        warn(
            f"column {column.name!r} is text whose {len(levels)} distinct values are dates and is "
            f"taken for labels: make it times by pd.to_datetime(df[{column.name!r}]), or say "
            f"kinds={{{column.name!r}: {str(column.kind)!r}}}",
            NumbersAsTextWarning,
        )
    _warn_of_rare_levels(column, seen)
    reason = column.reason if asked or column.kind is ColumnKind.BINARY else _how(column, levels)
    return replace(column, levels=levels, reason=reason)


def _how(column: ColumnSchema, levels: tuple[Any, ...]) -> str:
    order = "ordered" if column.kind is ColumnKind.ORDINAL else "without order"
    return f"{column.reason} {order}, {len(levels)} of them observed"


def _is_identifier(column: ColumnSchema, n_levels: int) -> bool:
    return n_levels > max(IDENTIFIER_LEVELS, IDENTIFIER_SHARE * column.n_observed)


def _leave_out(column: ColumnSchema, levels: tuple[Any, ...]) -> LeftOut:
    looks = f"looks like an identifier: {len(levels)} distinct values in {column.n_observed} cells"
    remedy = f"kinds={{{column.name!r}: 'nominal'}} models it all the same"
    if _are_dates(levels):
        remedy = f"it says dates: pd.to_datetime(df[{column.name!r}]) makes them times; {remedy}"
    elif _are_numbers(levels):
        remedy = f"it says numbers: pd.to_numeric(df[{column.name!r}]) makes them such; {remedy}"
    elif all(map(_is_dressed_number, levels)):
        remedy = f"it says numbers: {_UNDRESS} makes them such; {remedy}"
    if column.n_missing:
        raise SchemaError(
            f"column {column.name!r} {looks}, and {column.n_missing} missing: give "
            f"exclude=[{column.name!r}] to leave it as it is; {remedy}"
        )
    warn(
        f"column {column.name!r} {looks}. It is left out of the model, as "
        f"exclude=[{column.name!r}] would; {remedy}",
        SparseColumnWarning,
    )
    return LeftOut(looks)


def _are_dates(levels: tuple[Any, ...]) -> bool:
    return all(isinstance(value, str) and _DATE.match(value) for value in levels)


def _are_numbers(levels: tuple[Any, ...]) -> bool:
    if not all(isinstance(value, str) for value in levels):
        return False
    numbers = pd.to_numeric(pd.Series(levels, dtype=object), errors="coerce")
    return bool(numbers.notna().all())


def _is_dressed_number(value: object) -> bool:
    """Whether a label is a number with separators, a currency or a percent sign."""
    return isinstance(value, str) and _DRESSED.fullmatch(value.strip()) is not None


def _warn_of_numbers(column: ColumnSchema, levels: tuple[Any, ...]) -> bool:
    """Warn where most of many labels are texts that say a number; 0123 is a code, and none.

    Returns whether it did.
    """
    if len(levels) < NUMBERS_AS_TEXT or not all(isinstance(value, str) for value in levels):
        return False
    if any(value[:1] == "0" and value[1:2].isdigit() for value in levels):
        return False
    numbers = pd.to_numeric(pd.Series(levels, dtype=object), errors="coerce")
    others = [value for value, x in zip(levels, numbers, strict=True) if not math.isfinite(x)]
    how = f"pd.to_numeric(df[{column.name!r}], errors='coerce')"
    if len(others) > MOST_OTHERS * len(levels):
        others = [value for value in others if not _is_dressed_number(value)]
        how = _UNDRESS
    if len(others) > MOST_OTHERS * len(levels):
        return False
    but = f", but for {_first_few(others)}," if others else ""
    warn(
        f"column {column.name!r} is text whose {len(levels)} distinct values are numbers{but} and "
        f"is taken for labels without order: make it numbers by {how}, or say "
        f"kinds={{{column.name!r}: 'nominal'}}",
        NumbersAsTextWarning,
    )
    return True


def _warn_of_texts(column: ColumnSchema, seen: list[tuple[Any, int]]) -> None:
    """Warn of levels such as '' or 'N/A', which say that there is no value, and of numbers."""
    if column.kind is ColumnKind.NOMINAL and _warn_of_numbers(column, tuple(v for v, _ in seen)):
        return
    for value, n in seen:
        if isinstance(value, str) and value.strip().lower() in MISSING_TEXTS:
            warn(
                f"column {column.name!r}: {value!r}, seen {n} times, is taken for a level like the "
                "others. If it says that the value is missing, replace it by None: "
                f"df[{column.name!r}].replace({value!r}, None); if not, say "
                f"kinds={{{column.name!r}: ...}}",
                SuspectValueWarning,
            )


def _ends_seen_again(x: FloatArray) -> Iterator[tuple[float, int, float, float]]:
    """Yield an end of the values, how often it was seen, and both ends of the others."""
    values, counts = np.unique(x, return_counts=True)
    for at, nearest, farthest in ((0, 1, -1), (-1, -2, 0)) if len(values) > 2 else ():
        if counts[at] > 1:
            yield values[at], int(counts[at]), values[nearest], values[farthest]


def _warn_of_codes(column: ColumnSchema, x: FloatArray) -> None:
    """Warn of such as 999 or -9, seen twice and farther from the others than these are apart.

    The one negative number among whole ones need not be far.
    """
    for code, n, near, far in _ends_seen_again(x):
        alone = abs(code - near) >= abs(near - far)
        only_negative = near >= 0 and code < -1 and is_whole(x)
        if (alone or only_negative) and code in MISSING_CODES:
            warn(
                f"column {column.name!r}: {code:g}, seen {n} times, stands apart from the "
                f"other values, {min(near, far):g} to {max(near, far):g}, and is taken for a "
                "number like them. If it says that the value is missing, replace it by NaN: "
                f"df[{column.name!r}].replace({code:g}, np.nan); if not, say "
                f"kinds={{{column.name!r}: ...}}",
                SuspectValueWarning,
            )


def _warn_of_days(column: ColumnSchema, seconds: FloatArray) -> None:
    """Warn of such as 1900-01-01, seen twice and farther from the others than these are apart."""
    for code, n, near, far in _ends_seen_again(seconds):
        day = column.in_words(code)
        if abs(code - near) > abs(near - far) and day in MISSING_DAYS:
            warn(
                f"column {column.name!r}: {day}, seen {n} times, stands apart from the "
                "other times and is taken for one like them. If it says that there is none, "
                f"replace it by NaT: df[{column.name!r}].replace(pd.Timestamp({day!r}), pd.NaT); "
                f"if not, say bounds={{{column.name!r}: (None, None)}}",
                SuspectValueWarning,
            )


def _warn_of_rare_levels(column: ColumnSchema, seen: list[tuple[Any, int]]) -> None:
    rare = [value for value, n in seen if n < RARE_LEVEL]
    if rare and column.n_missing and column.n_observed >= RARE_LEVEL_NEEDS:
        warn(
            f"column {column.name!r} has {len(rare)} level(s) observed fewer than {RARE_LEVEL} "
            f"times ({_first_few(rare)}): what is imputed of them rests on little; merge rare "
            "levels",
            SparseColumnWarning,
        )


def _first_few(values: list[Any]) -> str:
    return ", ".join(map(repr, values[:3])) + (", ..." if len(values) > 3 else "")
