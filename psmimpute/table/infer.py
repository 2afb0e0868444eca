"""From a data frame to its schema: the user's wishes checked, and each column described."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import pandas as pd

from psmimpute.exceptions import SchemaError
from psmimpute.table.describe import ColumnRequest, LeftOut, describe_column
from psmimpute.table.kinds import ColumnKind
from psmimpute.table.reading import column_at, column_names
from psmimpute.table.scales import choose_scales
from psmimpute.table.schema import ColumnSchema, TableSchema

_MOST_NAMES_SHOWN = 20


def infer_schema(
    df: pd.DataFrame,
    *,
    kinds: Mapping[Any, ColumnKind | str] | None = None,
    exclude: Iterable[Hashable] = (),
    bounds: Mapping[Any, tuple[Any, Any]] | None = None,
) -> TableSchema:
    """Infer what each column of a table is, and say why.

    The kind follows from dtype and observed values: truth values and columns of two distinct
    values are binary; categories are ordinal or nominal; text is nominal; numbers with a mass
    at zero are semicontinuous, few distinct whole ones counts, positive skewed ones positive,
    others continuous; dates, times and durations keep their resolution. Continuous whole numbers
    of a narrow range are rounded latent values, as counts are. The scale on which a skewed
    column is modelled depends on the columns with gaps and on what they hang on.

    Parameters
    ----------
    df : DataFrame
        At least one row.
    kinds : mapping of column name to ColumnKind or str, optional
        Kinds to use in place of the inferred ones.
    exclude : iterable of hashable
        Columns to leave out: neither imputed nor used to impute others.
    bounds : mapping of column name to (low, high), optional
        Imputed numbers and times are clipped to this range; None leaves an end open. Ends of times
        are what pandas reads as such, ``"2020-01-31"`` or ``"3 days"`` for example.

    Returns
    -------
    TableSchema
        One entry for each modelled column.

    Raises
    ------
    SchemaError
        If a column name is duplicated, there is no row or nothing to model, an option names an
        unknown column or has an impossible value, or a column cannot be modelled as asked.
    SupportError
        If a value is infinite, outside its bounds, or not one that the kind asked for allows.

    Warns
    -----
    ConstantColumnWarning
        If one value only of a column was observed.
    SparseColumnWarning
        If a column looks like an identifier and is left out, or has gaps and rare levels.
    NumbersAsTextWarning
        If a column is text that says numbers or dates, and is taken for labels.

    Examples
    --------
    >>> df = pd.DataFrame({"smokes": [True, False, None], "visits": [0, 3, 1]})
    >>> infer_schema(df)["visits"].reason
    'whole numbers from 0 to 3, 3 of them distinct'
    """
    names = column_names(df)
    if len(df) == 0:
        raise SchemaError("the frame has no rows: there is nothing to learn from")
    left_out = dict.fromkeys(_checked_exclude(exclude, names), "as asked for by exclude=")
    requests = _requests(names, kinds or {}, bounds or {})
    columns: list[ColumnSchema] = []
    problems: list[SchemaError] = []
    for position, name in enumerate(names):
        if name in left_out:
            continue
        try:
            described = describe_column(column_at(df, position, name), requests[name])
        except SchemaError as error:
            problems.append(error)
            continue
        if isinstance(described, LeftOut):
            left_out[name] = described.reason
        else:
            columns.append(described)
    _raise_all(problems)
    if not columns:
        raise SchemaError("no column is left to model: exclude fewer columns")
    schema = TableSchema(tuple(columns), tuple(left_out), tuple(left_out.values()))
    return choose_scales(schema, df)


def _raise_all(problems: list[SchemaError]) -> None:
    if len(problems) == 1:
        raise problems[0]
    if problems:
        each = "".join(f"\n* {problem}" for problem in problems)
        raise SchemaError(f"{len(problems)} columns cannot be used as they are:{each}")


def schema_with_derived(
    df: pd.DataFrame,
    derived: Mapping[Hashable, object] | None,
    *,
    kinds: Mapping[Any, ColumnKind | str] | None = None,
    exclude: Iterable[Hashable] = (),
    bounds: Mapping[Any, tuple[Any, Any]] | None = None,
) -> TableSchema:
    """Infer the schema of a table some of whose columns are computed from the others.

    Parameters
    ----------
    df : DataFrame
        At least one row.
    derived : mapping of hashable to object, optional
        Its keys are the columns computed; they are left out of the model.
    kinds, exclude, bounds
        As for :func:`infer_schema`.

    Returns
    -------
    TableSchema
        As :func:`infer_schema` gives it.

    Raises
    ------
    SchemaError, SupportError
        As :func:`infer_schema` does.
    """
    names = column_names(df)
    computed = [name for name in names if isinstance(derived, Mapping) and name in derived]
    asked = _checked_exclude(exclude, names)
    schema = infer_schema(df, kinds=kinds, exclude=[*asked, *computed], bounds=bounds)
    reasons = [
        "derived from other columns" if name in computed else reason
        for name, reason in zip(schema.excluded, schema.excluded_reasons, strict=True)
    ]
    return TableSchema(schema.columns, schema.excluded, tuple(reasons))


def _check_names(option: str, given: Iterable[Hashable], names: list[Hashable]) -> None:
    unknown = [name for name in given if name not in names]
    if unknown:
        shown = ", ".join(map(repr, names[:_MOST_NAMES_SHOWN]))
        more = ", ..." if len(names) > _MOST_NAMES_SHOWN else ""
        raise SchemaError(
            f"{option} names columns that the frame does not have: "
            f"{', '.join(map(repr, unknown))}; it has {shown}{more}"
        )


def _checked_exclude(exclude: Iterable[Hashable], names: list[Hashable]) -> list[Hashable]:
    if isinstance(exclude, (str, bytes)) or not isinstance(exclude, Iterable):
        raise SchemaError(f"exclude={exclude!r} is one name: give a list, exclude=[{exclude!r}]")
    given = list(exclude)
    _check_names("exclude", given, names)
    return [name for name in names if name in given]


def _requests(
    names: list[Hashable],
    kinds: Mapping[Any, ColumnKind | str],
    bounds: Mapping[Any, tuple[Any, Any]],
) -> dict[Hashable, ColumnRequest]:
    for option, given in (("kinds", kinds), ("bounds", bounds)):
        if not isinstance(given, Mapping):
            raise SchemaError(f"{option} must map column names to values, got {given!r}")
        _check_names(option, given, names)
    return {
        name: ColumnRequest(
            _checked_kind(name, kinds[name]) if name in kinds else None,
            _ends(name, bounds[name]) if name in bounds else None,
        )
        for name in names
    }


def _checked_kind(name: Hashable, kind: ColumnKind | str) -> ColumnKind:
    try:
        return ColumnKind(kind)
    except ValueError:
        raise SchemaError(
            f"column {name!r}: unknown kind {kind!r}; the kinds are {', '.join(ColumnKind)}"
        ) from None


def _ends(name: Hashable, bounds: Any) -> tuple[object, object]:  # noqa: ANN401
    try:
        low, high = bounds
    except (TypeError, ValueError):
        raise SchemaError(
            f"column {name!r}: bounds {bounds!r} are no pair (low, high); None leaves an end open"
        ) from None
    return low, high
