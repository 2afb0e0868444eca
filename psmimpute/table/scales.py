"""The scale of each skewed column, chosen with the table and not by the column alone.

What is imputed is normal around a line in the other columns, so that is what a transform is for
[1]_: the values of a column need not be normal, but what the others leave of it should be, and the
lines should be straight. A complete column is only a predictor, and its own shape does not count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.table.encoded import Feature
from psmimpute.table.encoding import encode
from psmimpute.table.kinds import ColumnKind, Family
from psmimpute.table.limits import number_limits, number_support
from psmimpute.table.reading import column_at, column_names, read_numbers
from psmimpute.table.schema import ColumnSchema, TableSchema
from psmimpute.table.transforms import (
    HEAVY_KURTOSIS,
    POWERS,
    SHAPE_NEEDS,
    Transform,
    TransformKind,
    first_likely,
    is_heavy,
    location_scale,
    log_likelihood,
)

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_MOST_ROWS = 2_000
# Beyond so many predictors every column has relatives enough to be seen through, and the
# regressions take longer than the fit.
_MOST_PREDICTORS = 40
# A column is judged by its regression on the others if it has so many rows for each of them, and if
# more of its cells are missing than this.
_ROWS_FOR_PREDICTOR, _LEAST_MISSING = 5, 0.01
# Skewness and excess kurtosis beyond which values are not left as they are. Those of a complete
# column may be larger: nothing is drawn on its scale. Beyond these, a few values far out would
# decide what a network makes of it.
_MOST_HEAVY, _MOST_HEAVY_PREDICTOR = (2.0, HEAVY_KURTOSIS), (3.0, 50.0)
_MOST_SWEEPS = 3
# Nats. Columns that go through normal scores often hang together, and lines between them bend
# where one of them leaves: what speaks for that must be plain.
_COST_OF_LEAVING_SCORES = 8.0
_RIDGE = 1e-4
_LEAST_VARIANCE = 1e-12


def choose_scales(schema: TableSchema, df: pd.DataFrame) -> TableSchema:
    """Choose the transforms of skewed columns again, by their regressions on the others.

    Parameters
    ----------
    schema : TableSchema
        Inferred column by column.
    df : DataFrame
        The table that it was inferred from.

    Returns
    -------
    TableSchema
        A positive column keeps its transform unless a likelihood ratio test of the 5 % level
        rejects it for the identity, square root, cube root or logarithm under which the
        regressions of the columns with gaps are most likely; and so does a complete column that
        goes through normal scores. The same where no column is skewed or has gaps, and where there
        are too many columns or too few rows.

    References
    ----------
    .. [1] Box, G. E. P. and Cox, D. R. (1964). An analysis of transformations. Journal of the
       Royal Statistical Society B 26(2), 211-252.
    """
    relations = _Relations.of(schema, _sample(df))
    if relations is None:
        return schema
    alone = {each.column: each.alone for each in relations.scaled}
    weakest = {each.column: next(iter(each.places)) for each in relations.scaled}
    found = max((relations.ascend(start) for start in (alone, weakest)), key=relations.score)
    columns = list(schema.columns)
    for j, kind in found.items():
        if kind != alone[j]:
            columns[j] = _rescaled(columns[j], kind, df)
    return replace(schema, columns=tuple(columns))


def _sample(df: pd.DataFrame) -> pd.DataFrame:
    if len(df) <= _MOST_ROWS:
        return df
    return df.iloc[np.sort(np.random.default_rng(0).permutation(len(df))[:_MOST_ROWS])]


def _rescaled(column: ColumnSchema, kind: TransformKind, df: pd.DataFrame) -> ColumnSchema:
    series = _series(column, df)
    numbers = read_numbers(series)
    x = numbers[~np.isnan(numbers)]
    reason = f"{column.reason}; its lines with other columns are straighter on this scale"
    column = replace(column, transform=Transform.fitted(kind, x), reason=reason)
    return replace(column, support=number_support(column, number_limits(series.dtype), x.min()))


def _series(column: ColumnSchema, df: pd.DataFrame) -> pd.Series:
    return column_at(df, column_names(df).index(column.name), column.name)


def _bent(column: ColumnSchema) -> Transform | None:
    """Transform that a column has alone, if it is one of a number that others may replace."""
    transform = column.transform
    replaceable = column.kind in (ColumnKind.POSITIVE, ColumnKind.CONTINUOUS)
    straight = transform is None or transform.kind is TransformKind.IDENTITY
    return transform if replaceable and not straight else None


def _has_gaps(seen: BoolArray) -> BoolArray:
    """Tell which columns are judged: enough of their cells are missing."""
    return np.asarray((~seen).mean(0) > _LEAST_MISSING)


def _scales(
    column: ColumnSchema, alone: Transform, x: FloatArray, *, has_gaps: bool
) -> dict[TransformKind, Transform]:
    """Scales that a column may have, the weakest first, fitted to its observed values."""
    if has_gaps and not (column.kind is ColumnKind.POSITIVE and alone.kind in POWERS):
        return {alone.kind: alone}
    kinds = list(POWERS) if column.kind is ColumnKind.POSITIVE else [TransformKind.IDENTITY]
    if is_heavy(x, *(_MOST_HEAVY if has_gaps else _MOST_HEAVY_PREDICTOR)):
        kinds.remove(TransformKind.IDENTITY)
    fitted = {kind: Transform.fitted(kind, x) for kind in kinds}
    fitted.setdefault(alone.kind, alone)
    return fitted


def _levels(feature: Feature) -> range:
    """Levels of a categorical feature that have a predictor each; empty of other families."""
    return range(1, feature.n_levels if feature.family is Family.CATEGORICAL else 1)


@dataclass(frozen=True)
class _Scaled:
    """A skewed column on each scale that it may have, the weakest first.

    Attributes
    ----------
    column : int
        Position in the schema.
    alone : TransformKind
        The scale that it has by itself.
    places : dict of TransformKind to int
        Where it is among the predictors.
    log_likelihoods : dict of TransformKind to float
        Of the values by themselves; empty of a column without gaps, which is not judged.
    """

    column: int
    alone: TransformKind
    places: dict[TransformKind, int]
    log_likelihoods: dict[TransformKind, float]

    def cost(self, kind: TransformKind) -> float:
        """Nats that a scale must gain besides what the test asks for."""
        free = kind == self.alone or self.alone in POWERS
        return 0.0 if free else _COST_OF_LEAVING_SCORES


@dataclass(frozen=True)
class _Outcome:
    """A number of a column with gaps, whose regression on the other columns is judged.

    Attributes
    ----------
    column : int
        Position of its column in the schema.
    place : int
        Where it is among the predictors; of one of several scales, on the weakest.
    n : int
        Rows where it is observed.
    products : ndarray, shape (n_predictors, n_predictors)
        Sums over these rows of the products of all predictors, on all scales.
    """

    column: int
    place: int
    n: int
    products: FloatArray


_Choice = dict[int, TransformKind]


class _Predictors:
    """What stands for the columns in regressions: standardised, zero where missing.

    Attributes
    ----------
    values : list of ndarray, shape (n_rows,)
        A constant first.
    column : list of int
        Of each, the position of its column in the schema; -1 for the constant.
    fixed : list of int
        Places of those that are not of a column that may have several scales.
    scaled : list of _Scaled
        The columns that may.
    observed : ndarray of bool, shape (n_rows, n_columns)
    """

    def __init__(self, schema: TableSchema, df: pd.DataFrame) -> None:
        table = encode(schema, df)
        self.observed = table.observed_cells
        self.values: list[FloatArray] = [np.ones(len(df))]
        self.column, self.fixed, self.scaled = [-1], [0], list[_Scaled]()
        for j, (column, place) in enumerate(
            zip(schema.columns, schema.feature_slices, strict=True)
        ):
            if self._add_scales(j, column, df):
                continue
            for k in range(*place.indices(len(table.features))):
                feature, x, seen = table.features[k], table.values[:, k], table.observed[:, k]
                for each in [x == level for level in _levels(feature)] or [x]:
                    self.fixed.append(self._add(j, each.astype(np.float64), seen))

    def _add(self, column: int, x: FloatArray, seen: BoolArray) -> int:
        loc, scale = location_scale(x[seen]) if seen.any() else (0.0, 1.0)
        self.values.append(np.where(seen, (x - loc) / scale, 0.0))
        self.column.append(column)
        return len(self.column) - 1

    def _add_scales(self, j: int, column: ColumnSchema, df: pd.DataFrame) -> bool:
        """Put a skewed column on all scales; tell whether it is one that has several."""
        alone, seen = _bent(column), self.observed[:, j]
        if alone is None or np.count_nonzero(seen) < SHAPE_NEEDS:
            return False
        numbers = read_numbers(_series(column, df))
        x = numbers[seen]
        has_gaps = bool(_has_gaps(seen))
        fitted = _scales(column, alone, x, has_gaps=has_gaps)
        if len(fitted) < 2:
            return False
        filled = np.where(seen, numbers, x[0])
        places = {kind: self._add(j, t.forward(filled), seen) for kind, t in fitted.items()}
        likely = {kind: log_likelihood(t, x) for kind, t in fitted.items()} if has_gaps else {}
        self.scaled.append(_Scaled(j, alone.kind, places, likely))
        return True


class _Relations:
    """Regressions of the columns with gaps on the others, for any choice of scales.

    All products of predictors are summed once.
    """

    def __init__(self, predictors: _Predictors, outcomes: list[_Outcome]) -> None:
        self.scaled, self.outcomes = predictors.scaled, outcomes
        self._fixed, self._column = np.array(predictors.fixed), np.array(predictors.column)
        self._products = np.stack([outcome.products for outcome in outcomes])
        self._n = np.array([outcome.n for outcome in outcomes], dtype=np.float64)
        self._own = np.array([outcome.column for outcome in outcomes])

    @classmethod
    def of(cls, schema: TableSchema, df: pd.DataFrame) -> Self | None:
        """Sum the products; None if there is nothing to choose, or to judge by."""
        n_predictors = 1 + sum(len(_levels(feature)) or 1 for feature in schema.features)
        has_bent = any(_bent(column) is not None for column in schema.columns)
        if not has_bent or n_predictors > _MOST_PREDICTORS:
            return None
        predictors = _Predictors(schema, df)
        if not predictors.scaled:
            return None
        values = np.column_stack(predictors.values)
        first = [next(iter(each.places.values())) for each in predictors.scaled]
        outcomes = []
        for j in np.flatnonzero(_has_gaps(predictors.observed)):
            seen = values[predictors.observed[:, j]]
            if len(seen) >= max(SHAPE_NEEDS, _ROWS_FOR_PREDICTOR * n_predictors):
                places = [k for k in predictors.fixed + first if predictors.column[k] == j]
                products = seen.T @ seen
                outcomes += [_Outcome(int(j), k, len(seen), products) for k in places]
        return cls(predictors, outcomes) if outcomes else None

    def ascend(self, choice: _Choice) -> _Choice:
        """Change one scale at a time, until that makes the table no more likely."""
        for _ in range(_MOST_SWEEPS):
            before = choice
            for each in self.scaled:
                kinds = [each.alone, *(kind for kind in each.places if kind != each.alone)]
                likely = {
                    kind: self.score(choice | {each.column: kind}) - each.cost(kind)
                    for kind in kinds
                }
                choice = choice | {each.column: first_likely(likely)}
            if choice == before:
                break
        return choice

    def score(self, choice: _Choice) -> float:
        """Log likelihood of the regressions, up to a constant."""
        places = {each.column: each.places[choice[each.column]] for each in self.scaled}
        used = np.concatenate([self._fixed, list(places.values())]).astype(np.intp)
        outcome = np.array([places.get(o.column, o.place) for o in self.outcomes])
        own = self._column[used] == self._own[:, None]
        each, diagonal = np.arange(len(outcome)), np.arange(len(used))
        a = self._products[:, used[:, None], used]
        a = np.where(own[:, :, None] | own[:, None, :], 0.0, a)
        a[:, diagonal, diagonal] += np.where(own, 1.0, _RIDGE * self._n[:, None])
        b = np.where(own, 0.0, self._products[each[:, None], used, outcome[:, None]])
        slopes = np.linalg.solve(a, b[..., None])[..., 0]
        left = self._products[each, outcome, outcome] - (slopes * b).sum(1)
        variance = left / (self._n - (~own).sum(1))
        fits = -0.5 * (self._n * np.log(np.maximum(variance, _LEAST_VARIANCE))).sum()
        judged = [s for s in self.scaled if s.column in self._own]
        return float(fits + sum(s.log_likelihoods[choice[s.column]] for s in judged))
