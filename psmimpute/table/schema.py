"""What the columns of a table are: the schema that is inferred once and stored with a model."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import pandas as pd

from psmimpute.exceptions import SchemaError
from psmimpute.table.encoded import Feature
from psmimpute.table.json_values import from_json, to_json
from psmimpute.table.kinds import ColumnKind, Family
from psmimpute.table.times import TimeAxis
from psmimpute.table.transforms import Transform

_FORMAT = 1
_FAMILIES = {
    ColumnKind.CONTINUOUS: Family.GAUSSIAN,
    ColumnKind.POSITIVE: Family.GAUSSIAN,
    ColumnKind.DATETIME: Family.GAUSSIAN,
    ColumnKind.TIMEDELTA: Family.GAUSSIAN,
    ColumnKind.COUNT: Family.COUNT,
    ColumnKind.BINARY: Family.BERNOULLI,
    ColumnKind.NOMINAL: Family.CATEGORICAL,
    ColumnKind.ORDINAL: Family.ORDINAL,
}
_MOST_LEVELS_SHOWN = 4


@dataclass(frozen=True, slots=True)
class ColumnSchema:
    """One modelled column.

    Attributes
    ----------
    name : hashable
        Its name in the frame.
    kind : ColumnKind
        What it measures.
    dtype : str
        The pandas dtype, as text.
    reason : str
        Why it has this kind.
    n_observed, n_missing : int
        Cells of each sort in the frame that the schema was inferred from.
    levels : tuple or None
        The observed levels of a binary, nominal or ordinal column, in order.
    bounds : tuple of float or None
        The user's lowest and highest allowed value, infinite where open; of times, seconds on
        `time`.
    is_integer : bool
        Whether a column of numbers holds whole numbers only; imputed values will be whole.
    is_rounded : bool
        Whether whole numbers stand, as counts do, for latent values that round to them.
    transform : Transform or None
        From raw values to the latent scale; of a semicontinuous column, from its amounts; of
        times, from seconds on `time`. None if there are levels, or the column is constant.
    constant : object or None
        The only observed value of a constant column, which has no features.
    support : tuple of float or None
        Imputed raw values are clipped to this range, which the kind, the bounds and the dtype
        decide; of times, seconds on `time`.
    time : TimeAxis or None
        The axis of a column of dates, times or durations.

    Examples
    --------
    >>> import psmimpute as psm
    >>> column = psm.load_nhanes2().psm.schema()["chl"]
    >>> column.kind.value, column.n_missing, column.reason
    ('continuous', 10, 'whole numbers from 113 to 284, 13 of them distinct')
    """

    name: Hashable
    kind: ColumnKind
    dtype: str
    reason: str
    n_observed: int
    n_missing: int
    levels: tuple[Any, ...] | None = None
    bounds: tuple[float, float] | None = None
    is_integer: bool = False
    is_rounded: bool = False
    transform: Transform | None = None
    constant: Any = None
    support: tuple[float, float] | None = None
    time: TimeAxis | None = None

    @property
    def is_constant(self) -> bool:
        """Whether one value only was observed."""
        return self.constant is not None

    @property
    def has_levels(self) -> bool:
        """Whether its values are labels from a list, if only one of them."""
        discrete = self.kind in (ColumnKind.BINARY, ColumnKind.NOMINAL, ColumnKind.ORDINAL)
        return self.levels is not None or (self.is_constant and discrete)

    @property
    def bounds_in_words(self) -> str | None:
        """What the user's bounds allow, ``"1 to 25"`` for example."""
        if self.bounds is None:
            return None
        low, high = map(self.in_words, self.bounds)
        if math.isinf(self.bounds[0]):
            return f"at most {high}"
        return f"at least {low}" if math.isinf(self.bounds[1]) else f"{low} to {high}"

    def in_words(self, value: float) -> str:
        """Return a number of the column, or a moment that is seconds on `time`, in words.

        Parameters
        ----------
        value : float
            The number, or seconds.

        Returns
        -------
        str
            A date without its midnight, where it is one.

        Examples
        --------
        >>> import psmimpute as psm
        >>> psm.load_nhanes2().psm.schema()["chl"].in_words(113.0)
        '113'
        """
        if self.time is not None and math.isfinite(value):
            return self.time.say(value)
        return f"{value:g}"

    @property
    def n_features(self) -> int:
        """Number of features: 0 if constant, 2 if semicontinuous, else 1."""
        if self.is_constant:
            return 0
        return 2 if self.kind is ColumnKind.SEMICONTINUOUS else 1

    def features(self, position: int) -> tuple[Feature, ...]:
        """Return the modelled numbers of the column.

        Parameters
        ----------
        position : int
            Of the column among the modelled columns.

        Returns
        -------
        tuple of Feature
            Of length `n_features`.

        Examples
        --------
        >>> import psmimpute as psm
        >>> len(psm.load_nhanes2().psm.schema()["age"].features(0))
        1
        """
        name = str(self.name)
        if self.is_constant:
            return ()
        if self.kind is ColumnKind.SEMICONTINUOUS:
            return (
                Feature(f"{name}:nonzero", position, Family.BERNOULLI, 2),
                Feature(f"{name}:amount", position, Family.GAUSSIAN),
            )
        n_levels = len(self.levels) if self.levels is not None else 0
        family = Family.COUNT if self.is_rounded else _FAMILIES[self.kind]
        return (Feature(name, position, family, n_levels),)

    def to_dict(self) -> dict[str, Any]:
        """Return the column as JSON values.

        Returns
        -------
        dict
            For :meth:`from_dict`.

        Raises
        ------
        SchemaError
            If its name or a level is of a type that JSON cannot describe.

        Examples
        --------
        >>> import psmimpute as psm
        >>> psm.load_nhanes2().psm.schema()["hyp"].to_dict()["kind"]
        'binary'
        """
        return {
            "name": to_json(self.name),
            "kind": str(self.kind),
            "dtype": self.dtype,
            "reason": self.reason,
            "n_observed": self.n_observed,
            "n_missing": self.n_missing,
            "levels": None if self.levels is None else [to_json(level) for level in self.levels],
            "bounds": None if self.bounds is None else [_finite(end) for end in self.bounds],
            "is_integer": self.is_integer,
            "is_rounded": self.is_rounded,
            "transform": None if self.transform is None else self.transform.to_dict(),
            "constant": to_json(self.constant),
            "support": None if self.support is None else [*self.support],
            "time": None if self.time is None else self.time.to_dict(),
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Return the column that :meth:`to_dict` described.

        Parameters
        ----------
        state : dict
            What :meth:`to_dict` returned.

        Returns
        -------
        ColumnSchema
            Equal to the one described.

        Examples
        --------
        >>> import psmimpute as psm
        >>> column = psm.load_nhanes2().psm.schema()["hyp"]
        >>> ColumnSchema.from_dict(column.to_dict()) == column
        True
        """
        levels, support, bounds = state["levels"], state["support"], state["bounds"]
        rebuilt = {
            "name": from_json(state["name"]),
            "kind": ColumnKind(state["kind"]),
            "levels": None if levels is None else tuple(map(from_json, levels)),
            "bounds": None if bounds is None else _open_ended(*bounds),
            "transform": state["transform"] and Transform.from_dict(state["transform"]),
            "constant": from_json(state["constant"]),
            "support": None if support is None else tuple(support),
            "time": state["time"] and TimeAxis.from_dict(state["time"]),
        }
        return cls(**(state | rebuilt))


def _finite(end: float) -> float | None:
    return end if math.isfinite(end) else None


def _open_ended(low: float | None, high: float | None) -> tuple[float, float]:
    return -math.inf if low is None else low, math.inf if high is None else high


@dataclass(frozen=True)
class TableSchema:
    """What the columns of a table are, and why.

    Attributes
    ----------
    columns : tuple of ColumnSchema
        The modelled columns, in the order of the frame.
    excluded : tuple of hashable
        Names of the columns left out of the model.
    excluded_reasons : tuple of str
        Why, for each of `excluded`.

    Examples
    --------
    >>> import psmimpute as psm
    >>> schema = psm.load_nhanes2().psm.schema()
    >>> schema.column_names
    ('age', 'bmi', 'hyp', 'chl')
    >>> schema["hyp"].levels
    ('no', 'yes')
    """

    columns: tuple[ColumnSchema, ...]
    excluded: tuple[Hashable, ...] = ()
    excluded_reasons: tuple[str, ...] = ()

    @cached_property
    def column_names(self) -> tuple[Hashable, ...]:
        """Names of the modelled columns."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """The modelled numbers, column by column."""
        return tuple(
            feature
            for position, column in enumerate(self.columns)
            for feature in column.features(position)
        )

    @cached_property
    def feature_slices(self) -> tuple[slice, ...]:
        """For each modelled column, the positions of its features in `features`."""
        slices, start = [], 0
        for column in self.columns:
            slices.append(slice(start, start + column.n_features))
            start += column.n_features
        return tuple(slices)

    def __getitem__(self, name: Hashable) -> ColumnSchema:
        for column in self.columns:
            if column.name == name:
                return column
        raise SchemaError(f"no modelled column {name!r}; there are {list(self.column_names)}")

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each column, the excluded ones last.

        Returns
        -------
        DataFrame
            Indexed by the columns' names: `kind`, `dtype`, `n_observed`, `n_missing`,
            `levels`, `transform` and `reason`.

        Examples
        --------
        >>> import psmimpute as psm
        >>> psm.load_nhanes2().psm.schema().to_frame()[["kind", "n_observed", "n_missing"]]
                      kind  n_observed  n_missing
        column
        age        nominal          25          0
        bmi     continuous          16          9
        hyp         binary          17          8
        chl     continuous          15         10
        """
        rows = [
            {
                "kind": str(column.kind),
                "dtype": column.dtype,
                "n_observed": column.n_observed,
                "n_missing": column.n_missing,
                "levels": _shown_levels(column),
                "transform": str(column.transform.kind) if column.transform else "",
                "reason": column.reason,
            }
            for column in self.columns
        ]
        rows += [{"kind": "excluded", "reason": reason} for reason in self.excluded_reasons]
        names = pd.Index([*self.column_names, *self.excluded], name="column", tupleize_cols=False)
        columns = ["kind", "dtype", "n_observed", "n_missing", "levels", "transform", "reason"]
        frame = pd.DataFrame(rows, index=names, columns=columns)
        counts = {"n_observed": "Int64", "n_missing": "Int64"}
        return frame.astype(counts).fillna(dict.fromkeys(("dtype", "levels", "transform"), ""))

    def _title(self) -> str:
        n_gaps = sum(column.n_missing > 0 for column in self.columns)
        plural = "" if len(self.columns) == 1 else "s"
        title = f"TableSchema: {len(self.columns)} column{plural}, {n_gaps} with missing cells"
        return title + (f", {len(self.excluded)} excluded" if self.excluded else "")

    def __repr__(self) -> str:
        return f"{self._title()}\n{self.to_frame().to_string(na_rep='')}"

    def _repr_html_(self) -> str:
        return f"<p>{self._title()}</p>{self.to_frame().to_html(na_rep='')}"

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as JSON values.

        Returns
        -------
        dict
            For :meth:`from_dict`.

        Raises
        ------
        SchemaError
            If a name or a level is of a type that JSON cannot describe.

        Examples
        --------
        >>> import psmimpute as psm
        >>> sorted(psm.load_nhanes2().psm.schema().to_dict())
        ['columns', 'excluded', 'excluded_reasons', 'format']
        """
        return {
            "format": _FORMAT,
            "columns": [column.to_dict() for column in self.columns],
            "excluded": [to_json(name) for name in self.excluded],
            "excluded_reasons": [*self.excluded_reasons],
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Return the schema that :meth:`to_dict` described.

        Parameters
        ----------
        state : dict
            What :meth:`to_dict` returned, read back from JSON perhaps.

        Returns
        -------
        TableSchema
            Equal to the one described.

        Raises
        ------
        SchemaError
            If a later version of the package wrote it.

        Examples
        --------
        >>> import psmimpute as psm
        >>> schema = psm.load_nhanes2().psm.schema()
        >>> TableSchema.from_dict(schema.to_dict()) == schema
        True
        """
        if state["format"] > _FORMAT:
            raise SchemaError(
                f"the schema has format {state['format']}, this version reads up to {_FORMAT}: "
                "update psmimpute"
            )
        return cls(
            tuple(ColumnSchema.from_dict(column) for column in state["columns"]),
            tuple(from_json(name) for name in state["excluded"]),
            tuple(state["excluded_reasons"]),
        )


def _shown_levels(column: ColumnSchema) -> str:
    if column.is_constant:
        return str(column.constant)
    if column.levels is None:
        return ""
    shown = ", ".join(str(level) for level in column.levels[:_MOST_LEVELS_SHOWN])
    return shown + (", ..." if len(column.levels) > _MOST_LEVELS_SHOWN else "")
