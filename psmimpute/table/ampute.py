"""Making complete data incomplete, by a known mechanism, to learn what methods do with it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit

from psmimpute.exceptions import ConfigError, SchemaError
from psmimpute.table.reading import (
    Storage,
    column_at,
    column_names,
    missing_cells,
    read_labels,
    read_numbers,
    read_times,
    storage_of,
)

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Mechanism = Literal["mcar", "mar", "mnar"]
Shape = Literal["RIGHT", "LEFT", "MID", "TAIL"]

# Centre of |z| between middle and tails, as in mice::ampute.
_MIDDLE = 0.75
# The logistic function reaches 0 and 1 in float64 beyond this.
_FAR = 60.0


@dataclass(frozen=True, slots=True)
class AmputationPattern:
    """Columns that go missing together, and what makes them do so.

    Attributes
    ----------
    missing : sequence of hashable
        Names of the columns that become missing.
    weights : mapping of hashable to float, optional
        Weights of the standardised columns in the score that decides which rows lose their
        values. By default 1 for each column that stays observed (``"mar"``) or that becomes
        missing (``"mnar"``).
    share : float, default 1
        Share of the rows that are candidates for this pattern, relative to the other patterns.
    shape : {"RIGHT", "LEFT", "MID", "TAIL"}, optional
        Which scores are likeliest to lose values: high, low, middling, or extreme ones.
    odds : sequence of float, optional
        In place of `shape`: relative probabilities of losing values, in groups of equal size from
        the lowest scores to the highest; (1, 3) makes the upper half three times as likely.

    References
    ----------
    .. [1] Schouten, R. M., Lugtig, P. and Vink, G. (2018). Generating missing values for simulation
       purposes: a multivariate amputation procedure. Journal of Statistical Computation and
       Simulation 88(15), 2909-2930.

    Examples
    --------
    >>> import psmimpute as psm
    >>> pattern = psm.AmputationPattern(["x"], weights={"y": 1.0}, shape="LEFT")
    >>> frame = pd.DataFrame({"x": range(100), "y": range(100)}, dtype=float)
    >>> gaps = psm.ampute(frame, mechanism="mar", prop=0.3, seed=1, patterns=[pattern])["x"].isna()
    >>> bool(gaps[:50].mean() > gaps[50:].mean())  # low y, more gaps in x
    True
    """

    missing: Sequence[Hashable]
    weights: Mapping[Hashable, float] = field(default_factory=dict)
    share: float = 1.0
    shape: Shape | None = None
    odds: Sequence[float] | None = None


def ampute(
    df: pd.DataFrame,
    *,
    mechanism: Mechanism = "mar",
    prop: float = 0.5,
    seed: int | np.random.Generator | None = None,
    patterns: Sequence[AmputationPattern] | None = None,
    shape: Shape = "RIGHT",
    by: Literal["row", "cell"] = "row",
) -> pd.DataFrame:
    r"""Make values of a complete table missing, as ``mice::ampute`` does.

    Each row becomes a candidate for one pattern, at random. Among the candidates of a pattern
    the weighted sum s of the standardised columns is standardised to z, and a row loses its
    values with probability

    .. math:: \operatorname{logit}^{-1}\{b + h(z)\}

    with h(z) = z (``"RIGHT"``), -z (``"LEFT"``), .75 - \|z\| (``"MID"``) or \|z\| - .75
    (``"TAIL"``), and b such that the mean probability is `prop`. With `odds` o of a pattern
    the candidates are split into g groups of equal size by their scores, and the probability in
    group i is prop · g · o_i / Σ o.

    Parameters
    ----------
    df : DataFrame
        Complete data.
    mechanism : {"mar", "mcar", "mnar"}
        Whether values go missing by the score of columns that stay observed, at random, or by the
        score of the very values that go missing.
    prop : float, default 0.5
        Expected share of the rows that become incomplete, or of the cells that become missing.
    seed : int or Generator, optional
        Seed, or the generator to draw from.
    patterns : sequence of AmputationPattern, optional
        By default one for each column, with that column missing.
    shape : {"RIGHT", "LEFT", "MID", "TAIL"}
        For patterns that do not say.
    by : {"row", "cell"}
        What `prop` is a share of.

    Returns
    -------
    DataFrame
        A copy with missing cells. Integers become floats and truth values objects where pandas
        needs that to hold a gap.

    Raises
    ------
    SchemaError
        If the data have missing cells or no row, or a pattern names an unknown column.
    ConfigError
        If an option has an impossible value, or so many missing cells cannot be had from the
        patterns.

    References
    ----------
    .. [1] Schouten, R. M., Lugtig, P. and Vink, G. (2018). Generating missing values for
       simulation purposes: a multivariate amputation procedure. Journal of Statistical
       Computation and Simulation 88(15), 2909-2930.

    Examples
    --------
    >>> df = pd.DataFrame({"x": np.arange(100.0), "y": np.arange(100.0)})
    >>> pattern = AmputationPattern(missing=["y"], weights={"x": 1.0})
    >>> gappy = ampute(df, mechanism="mar", prop=0.3, seed=1, patterns=[pattern])
    >>> bool(gappy["x"][gappy["y"].isna()].mean() > df["x"].mean())
    True
    """
    names = column_names(df)
    _check_frame(df)
    _check_choice("mechanism", mechanism, get_args(Mechanism))
    _check_choice("by", by, ("row", "cell"))
    chosen = patterns or [AmputationPattern([name]) for name in names]
    for pattern in chosen:
        _check_pattern(pattern, shape, names)
    shares = np.array([pattern.share for pattern in chosen])
    shares = shares / shares.sum()
    share_of_rows = _share_of_rows(prop, by, shares, chosen, len(names))

    rng = np.random.default_rng(seed)
    scores = None if mechanism == "mcar" else _standardised(df, names)
    pattern_of = rng.choice(len(chosen), size=len(df), p=shares)
    uniform = rng.random(len(df))
    where = np.zeros(df.shape, dtype=bool)
    for number, pattern in enumerate(chosen):
        rows = np.flatnonzero(pattern_of == number)
        probability: float | FloatArray = share_of_rows
        if scores is not None and len(rows):
            weights = _weights(pattern, mechanism, names)
            score = scores[rows] @ weights
            if pattern.odds is not None:
                probability = _odds_probabilities(score, pattern.odds, share_of_rows)
            else:
                probability = _probabilities(score, pattern.shape or shape, share_of_rows)
        hit = rows[uniform[rows] < probability]
        columns = np.array([names.index(name) for name in pattern.missing])
        where[np.ix_(hit, columns)] = True
    return df.mask(where)


def _check_frame(df: pd.DataFrame) -> None:
    if len(df) == 0:
        raise SchemaError("the frame has no rows: there is nothing to make missing")
    gaps = missing_cells(df)
    if gaps.any():
        column = df.columns[int(np.argwhere(gaps.any(axis=0))[0, 0])]
        raise SchemaError(
            f"column {column!r} has missing cells already: ampute needs complete data, "
            "df.dropna() for example"
        )


def _check_choice(option: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{option}={value!r}: choose one of {', '.join(map(repr, choices))}")


def _check_pattern(pattern: AmputationPattern, shape: Shape, names: list[Hashable]) -> None:
    _check_choice("shape", pattern.shape or shape, get_args(Shape))
    unknown = [name for name in (*pattern.missing, *pattern.weights) if name not in names]
    if unknown:
        raise SchemaError(
            f"a pattern names columns that the frame does not have: {', '.join(map(repr, unknown))}"
        )
    if not pattern.missing:
        raise ConfigError("a pattern without missing columns does nothing: name one or more")
    if not pattern.share > 0:
        raise ConfigError(f"the share of a pattern must be positive, got {pattern.share}")
    odds = pattern.odds
    if odds is not None:
        values = np.asarray(odds, dtype=np.float64)
        if values.ndim != 1 or not (values >= 0).all() or not values.sum() > 0:
            raise ConfigError(f"odds={odds!r} must be numbers from 0, not all of them 0")
        if pattern.shape is not None:
            raise ConfigError("a pattern takes a shape or odds, not both")


def _share_of_rows(
    prop: float,
    by: str,
    shares: FloatArray,
    patterns: Sequence[AmputationPattern],
    n_columns: int,
) -> float:
    """Share of rows to hit, from a share of cells if that is what `prop` is."""
    if not 0 < prop < 1:
        raise ConfigError(f"prop={prop} must lie between 0 and 1")
    if by == "row":
        return prop
    cells_by_hit = float(shares @ [len(pattern.missing) for pattern in patterns])
    share = prop * n_columns / cells_by_hit
    if share >= 1:
        raise ConfigError(
            f"prop={prop} of the cells cannot go missing: these patterns reach less than "
            f"{cells_by_hit / n_columns:.3g}; lower prop, or let more columns go missing together"
        )
    return share


def _weights(pattern: AmputationPattern, mechanism: Mechanism, names: list[Hashable]) -> FloatArray:
    if pattern.weights:
        return np.array([float(pattern.weights.get(name, 0.0)) for name in names])
    goes = np.array([name in pattern.missing for name in names])
    weights = (goes if mechanism == "mnar" else ~goes).astype(np.float64)
    if not weights.any():
        raise ConfigError(
            "mechanism='mar' needs a column that stays observed: leave one out of the pattern "
            f"{[*pattern.missing]!r}, or give its weights"
        )
    return weights


def _standardised(df: pd.DataFrame, names: list[Hashable]) -> FloatArray:
    """Columns as numbers of mean 0 and variance 1; labels count by their order."""
    columns = np.column_stack(
        [_numbers(column_at(df, position, name)) for position, name in enumerate(names)]
    )
    return _z_scores(columns)


def _numbers(series: pd.Series) -> FloatArray:
    storage = storage_of(series)
    if storage is Storage.NUMBER:
        return read_numbers(series)
    if storage in (Storage.DATETIME, Storage.TIMEDELTA):
        return read_times(series).ticks.astype(np.float64)
    codes, values = read_labels(series)
    if storage is Storage.CATEGORY:
        return codes.astype(np.float64)
    rank = {value: position for position, value in enumerate(sorted(values))}
    return np.array([rank[value] for value in values], dtype=np.float64)[codes]


def _z_scores(x: FloatArray) -> FloatArray:
    centred = x - x.mean(axis=0)
    scale = centred.std(axis=0)
    return np.asarray(centred / np.where(scale > 0, scale, 1.0))


def _odds_probabilities(score: FloatArray, odds: Sequence[float], share: float) -> FloatArray:
    """Probabilities of mean `share` in groups of equal size, in the proportions of the odds."""
    relative = np.asarray(odds, dtype=np.float64)
    by_group = share * len(relative) * relative / relative.sum()
    if by_group.max() > 1:
        raise ConfigError(
            f"odds={odds!r} with {share:.3g} of the rows incomplete need a probability of "
            f"{by_group.max():.3g}: lower prop, or give odds that are less unequal"
        )
    # Equal scores belong together; so do they to the group of the middle of their ranks.
    rank = pd.Series(score).rank(method="average").to_numpy()
    group = np.minimum((rank - 0.5) * len(relative) / len(score), len(relative) - 1)
    return np.asarray(by_group[group.astype(np.intp)])


def _probabilities(score: FloatArray, shape: Shape, share: float) -> FloatArray:
    """Probabilities of mean `share` that follow the score in the given shape."""
    z = _z_scores(score)
    match shape:
        case "RIGHT":
            h = z
        case "LEFT":
            h = -z
        case "MID":
            h = _MIDDLE - np.abs(z)
        case "TAIL":
            h = np.abs(z) - _MIDDLE
    reach = _FAR + float(np.abs(h).max())
    intercept = brentq(lambda b: float(expit(b + h).mean()) - share, -reach, reach)
    return np.asarray(expit(intercept + h))
