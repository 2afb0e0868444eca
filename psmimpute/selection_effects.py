"""Effects of values on their being observed, as the user gives them, in the model's terms."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from numbers import Real
from typing import Any

from psmimpute.exceptions import ConfigError
from psmimpute.model.layout import lay_out
from psmimpute.table.kinds import ColumnKind, Family
from psmimpute.table.schema import ColumnSchema, TableSchema

Effect = float | Sequence[float]
Effects = Mapping[Any, Effect | Mapping[Any, Effect]]
ByOutput = tuple[tuple[int, tuple[float, ...]], ...]


def effects_by_output(
    effects: Effects | None, schema: TableSchema, *, missingness: str, n_sets: int | None
) -> ByOutput:
    """Translate effects by column into effects by output of the model.

    Parameters
    ----------
    effects : mapping of column to effect, optional
        As for :class:`psmimpute.PSMImputer`.
    schema : TableSchema
        What the columns are.
    missingness : str
        The mechanism; effects need ``"selection"``.
    n_sets : int, optional
        Number of pattern sets, if it is given; effects by set need it.

    Returns
    -------
    tuple of (int, tuple of float)
        Output, and its effect in all sets or in each of them.

    Raises
    ------
    ConfigError
        If the mechanism is another, a column or level is unknown or has no gap, or an effect is
        no finite number or has another length than there are sets.
    """
    if not effects:
        return ()
    if not isinstance(effects, Mapping):
        raise ConfigError(f"selection_effect must map columns to effects, got {effects!r}")
    if missingness != "selection":
        raise ConfigError(
            "selection_effect holds effects of values on their being observed, which only "
            f"missingness='selection' has; got missingness={missingness!r}"
        )
    found: list[tuple[int, tuple[float, ...]]] = []
    for name, effect in effects.items():
        column, output, span = _locate(schema, name)
        levels = column.levels or ()
        if column.kind is ColumnKind.NOMINAL:
            if not isinstance(effect, Mapping) or not set(effect) <= set(levels):
                raise ConfigError(
                    f"selection_effect[{name!r}]: the column is nominal, so give effects by "
                    f"level, among {[*levels]}; got {effect!r}"
                )
            found += [
                (output + i, _by_set(name, effect.get(level, 0.0), n_sets))
                for i, level in enumerate(levels)
            ]
            continue
        by_set = _by_set(name, effect, n_sets)
        found.append((output, tuple(value / span for value in by_set)))
    return tuple(found)


def _locate(schema: TableSchema, name: Hashable) -> tuple[ColumnSchema, int, float]:
    """Return a column, its first output, and the distance between its end scores there."""
    if name not in schema.column_names:
        raise ConfigError(
            f"selection_effect names {name!r}, which is not modelled; there are "
            f"{[*schema.column_names]}"
        )
    position = schema.column_names.index(name)
    column = schema.columns[position]
    if not column.n_missing or column.is_constant:
        raise ConfigError(
            f"selection_effect names {name!r}, which has no gap or no variation: nothing to select"
        )
    feature = schema.feature_slices[position].start
    layout = lay_out(schema.features, n_columns=len(schema.columns))
    place = layout.order.index(feature)
    for block in layout.blocks:
        if block.features.start <= place < block.features.stop:
            i = place - block.features.start
            wide = block.family == Family.CATEGORICAL
            output = block.outputs.start + (sum(block.n_levels[:i]) if wide else i)
            # The model scores the levels of a block evenly from -1 to 1, for as many levels as
            # the column with most of them has.
            most = max(block.n_levels)
            span = 2.0 * (block.n_levels[i] - 1) / (most - 1) if most > 1 else 1.0
            return column, output, span
    raise AssertionError(name)


def _by_set(name: Hashable, effect: object, n_sets: int | None) -> tuple[float, ...]:
    given = [*effect] if isinstance(effect, Sequence) and not isinstance(effect, str) else [effect]
    values: list[float] = []
    for value in given:
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise ConfigError(
                f"selection_effect[{name!r}]: {value!r} is no finite number; effects are log odds "
                "ratios of being observed"
            )
        values.append(float(value))
    if len(values) > 1 and len(values) != n_sets:
        raise ConfigError(
            f"selection_effect[{name!r}] has {len(values)} effects, one for each pattern set: give "
            f"n_sets={len(values)} too"
        )
    return tuple(values)
