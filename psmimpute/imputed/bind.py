"""Putting multiply-imputed data together: more rows, more imputations, more columns."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.imputed_table import Values
from psmimpute.imputed.info import ImputationInfo
from psmimpute.imputed.multiply_imputed import MultiplyImputed
from psmimpute.imputed.pattern_set import FloatArray, IntArray, PatternSets, align_sets
from psmimpute.table.schema import TableSchema

SETS_DROPPED = "pattern sets dropped: they come from different models"


def rbind(*imps: MultiplyImputed) -> MultiplyImputed:
    """Put multiply-imputed data with the same columns below each other.

    Parameters
    ----------
    *imps : MultiplyImputed
        At least one, all with the same number of imputations and the same columns in name,
        order and dtype.

    Returns
    -------
    MultiplyImputed
        All rows, each with its own index label. Pattern sets are kept if all come from one
        model.

    Raises
    ------
    ImputationError
        If nothing is given, or numbers of imputations, columns or dtypes differ.

    Examples
    --------
    `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

    >>> import psmimpute as psm
    >>> young, old = imp.filter(df["age"] == "20-39"), imp.filter(df["age"] != "20-39")
    >>> young.n_rows, psm.rbind(young, old).n_rows
    (12, 25)
    """
    first, *others = parts = _stored(imps, "rbind")
    for number, other in enumerate(others, start=2):
        _check_same(first.m, other.m, "number of imputations", number, "rbind")
        _check_same([*first.columns], [*other.columns], "columns", number, "rbind")
        for name in first.columns:
            kinds = (first._data[name].dtype, other._data[name].dtype)
            _check_same(*kinds, f"dtype of column {name!r}", number, "rbind")
    same_model = _same_model(parts)
    sets = [part._sets for part in parts if part._sets is not None]
    kept = same_model and len(sets) == len(parts)
    draws = [known.draws for known in sets if known.draws is not None]
    return MultiplyImputed(
        data=pd.concat([part._data for part in parts]),
        schema=first.schema,
        where=np.vstack([part._where for part in parts]),
        values=_joined_rows(parts),
        member_of=first.member_of if same_model else _joint_members(parts),
        pattern_set_draws=np.hstack(draws) if kept and len(draws) == len(parts) else None,
        pattern_set_probabilities=np.vstack([known.probabilities for known in sets])
        if kept
        else None,
        info=_joint_info(parts, same_model, rows=True, dropped=bool(sets) and not kept),
    )


def ibind(*imps: MultiplyImputed) -> MultiplyImputed:
    """Put imputations of the same data side by side: their numbers add up.

    Parameters
    ----------
    *imps : MultiplyImputed
        At least one, all of the same incomplete data and with the same imputed cells.

    Returns
    -------
    MultiplyImputed
        Imputations in the order given. Members of different models count as different.
        Pattern sets are matched to those of the first by the rows that belong to them, and
        dropped if their number differs.

    Raises
    ------
    ImputationError
        If nothing is given, the data or the imputed cells differ, or the same imputations are
        given twice.

    Examples
    --------
    `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

    >>> import psmimpute as psm
    >>> psm.ibind(imp, imp.delta({"bmi": 1.0})).m
    6
    """
    first, *others = parts = _stored(imps, "ibind")
    for number, other in enumerate(others, start=2):
        if not first._data.equals(other._data) or not np.array_equal(first._where, other._where):
            raise ImputationError(
                f"ibind: argument {number} imputes other data or other cells than the first"
            )
    for number, part in enumerate(parts, start=1):
        if any(part == earlier for earlier in parts[: number - 1]):
            raise ImputationError(f"ibind: argument {number} repeats imputations given before")
    same_model = _same_model(parts, members=False)
    sets = _joined_sets(parts)
    known = any(part._sets is not None for part in parts)
    return MultiplyImputed(
        data=first._data.copy(),
        schema=first.schema,
        where=first._where,
        values={
            j: _concatenated([part._values[j] for part in parts], axis=0) for j in first._values
        },
        member_of=_added_members(parts, same_model=same_model),
        pattern_set_draws=None if sets is None else sets.draws,
        pattern_set_probabilities=None if sets is None else sets.probabilities,
        info=_joint_info(parts, same_model, rows=False, dropped=known and sets is None),
    )


def cbind(
    imp: MultiplyImputed, *others: pd.DataFrame | pd.Series | MultiplyImputed
) -> MultiplyImputed:
    """Put columns beside multiply-imputed data, imputed or not.

    Parameters
    ----------
    imp : MultiplyImputed
        What the columns are added to; its pattern sets and its `info` are kept.
    *others : DataFrame, Series or MultiplyImputed
        On the same index. Gaps of frames stay gaps.

    Returns
    -------
    MultiplyImputed
        With the columns of all, in order.

    Raises
    ------
    ImputationError
        If an index or number of imputations differs, a name occurs twice, or a Series has no
        name.

    Examples
    --------
    `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

    >>> import psmimpute as psm
    >>> arm = pd.DataFrame({"arm": ["a", "b"] * 12 + ["a"]}, index=df.index)
    >>> psm.cbind(imp, arm).columns.tolist()
    ['age', 'bmi', 'hyp', 'chl', 'arm']
    """
    result = copy.copy(imp.materialized())
    for number, other in enumerate(others, start=2):
        added = other if isinstance(other, MultiplyImputed) else _as_imputed(other, imp.m, number)
        added = added.materialized()
        _check_same(imp.m, added.m, "number of imputations", number, "cbind")
        if not imp._data.index.equals(added._data.index):
            raise ImputationError(f"cbind: argument {number} has another index than the first")
        twice = result.columns.intersection(added.columns)
        if len(twice):
            raise ImputationError(f"cbind: column {twice[0]!r} occurs twice: rename one")
        offset = result._where.shape[1]
        result._data = pd.concat([result._data, added._data], axis=1)
        result._where = np.hstack([result._where, added._where])
        result._values = {
            **result._values,
            **{offset + j: cells for j, cells in added._values.items()},
        }
        result.schema = _joint_schema(result.schema, added.schema)
    result.info = replace(result.info, extend=None, source=None)
    return result


def _stored(imps: Sequence[MultiplyImputed], verb: str) -> list[MultiplyImputed]:
    if not imps or not all(isinstance(imp, MultiplyImputed) for imp in imps):
        raise ImputationError(
            f"{verb} takes MultiplyImputed objects, got {[type(imp).__name__ for imp in imps]}"
        )
    return [imp.materialized() for imp in imps]


def _check_same(one: object, other: object, what: str, number: int, verb: str) -> None:
    if one != other:
        raise ImputationError(
            f"{verb}: the {what} of argument {number} differs from the first: {other} and {one}"
        )


def _same_model(parts: Sequence[MultiplyImputed], *, members: bool = True) -> bool:
    """Return whether all imputations come from one training run."""
    first = parts[0]
    return len(parts) == 1 or all(
        len(part.info.history) > 0
        and [*part.info.history] == [*first.info.history]
        and (not members or np.array_equal(part.member_of, first.member_of))
        for part in parts
    )


def _joined_rows(parts: Sequence[MultiplyImputed]) -> Values:
    positions = sorted(set().union(*(part._values for part in parts)))
    return {
        j: _concatenated([part._values[j] for part in parts if j in part._values], axis=1)
        for j in positions
    }


def _concatenated(blocks: list[npt.NDArray[Any]], *, axis: int) -> npt.NDArray[Any]:
    if len({block.dtype.kind for block in blocks}) > 1:
        blocks = [block.astype(object) for block in blocks]
    return np.concatenate(blocks, axis=axis)


def _joint_members(parts: Sequence[MultiplyImputed]) -> IntArray:
    """Return a number for each distinct combination of members behind the blocks."""
    combinations = np.stack([part.member_of for part in parts], axis=1)
    return np.unique(combinations, axis=0, return_inverse=True)[1].ravel()


def _added_members(parts: Sequence[MultiplyImputed], *, same_model: bool) -> IntArray:
    offset, members = 0, []
    for part in parts:
        members.append(part.member_of + offset)
        offset += 0 if same_model else int(part.member_of.max()) + 1
    return np.concatenate(members)


def _joined_sets(parts: Sequence[MultiplyImputed]) -> PatternSets | None:
    sets = [part._sets for part in parts]
    if any(known is None or known.draws is None for known in sets):
        return None
    known_sets = [known for known in sets if known is not None]
    reference = known_sets[0].probabilities
    if any(known.probabilities.shape != reference.shape for known in known_sets):
        return None
    total: FloatArray = np.zeros_like(reference)
    draws: list[IntArray] = []
    for part, known in zip(parts, known_sets, strict=True):
        matched = align_sets(reference, known.probabilities)
        total[:, matched] += part.m * known.probabilities
        draws.append(matched[np.asarray(known.draws, dtype=np.int64)].astype(np.int8))
    return PatternSets(total / sum(part.m for part in parts), np.vstack(draws))


def _joint_info(
    parts: Sequence[MultiplyImputed], same_model: bool, *, rows: bool, dropped: bool
) -> ImputationInfo:
    infos = [part.info for part in parts]
    first = infos[0]
    notes = [note for info in infos for note in info.warnings]
    if dropped:
        notes.append(SETS_DROPPED)
    known_ess = [info.ess for info in infos if info.ess is not None]
    known_k = [info.pareto_k for info in infos if info.pareto_k is not None]
    all_ess = rows and len(known_ess) == len(infos)
    all_k = rows and len(known_k) == len(infos)
    return replace(
        first,
        seed=first.seed if len({info.seed for info in infos}) == 1 else None,
        members=first.members if same_model else _n_members(infos, rows=rows),
        missingness=" and ".join(dict.fromkeys(info.missingness for info in infos)),
        history=first.history if same_model else (),
        ess=np.concatenate(known_ess) if all_ess else None,
        pareto_k=np.concatenate(known_k) if all_k else None,
        warnings=tuple(dict.fromkeys(notes)),
        adjustments=tuple(dict.fromkeys(note for info in infos for note in info.adjustments)),
        extend=None,
        source=None,
    )


def _n_members(infos: Sequence[ImputationInfo], *, rows: bool) -> int:
    """Members of several models; below each other, one of each makes an imputation."""
    known = [info.members for info in infos]
    if not all(known):
        return 0
    return max(known) if rows else sum(known)


def _as_imputed(other: object, m: int, number: int) -> MultiplyImputed:
    if isinstance(other, pd.Series):
        if other.name is None:
            raise ImputationError(f"cbind: argument {number} is a Series without a name")
        other = other.to_frame()
    if not isinstance(other, pd.DataFrame):
        raise ImputationError(
            f"cbind: argument {number} is {type(other).__name__}, not a DataFrame, a Series or "
            "MultiplyImputed"
        )
    names: tuple[Hashable, ...] = tuple(other.columns)
    return MultiplyImputed(
        data=other.copy(),
        schema=TableSchema((), names, ("bound by cbind",) * len(names)),
        where=np.zeros(other.shape, dtype=bool),
        values={},
        member_of=np.zeros(m, dtype=np.int64),
    )


def _joint_schema(a: TableSchema, b: TableSchema) -> TableSchema:
    return TableSchema(
        (*a.columns, *b.columns),
        (*a.excluded, *b.excluded),
        (*a.excluded_reasons, *b.excluded_reasons),
    )
