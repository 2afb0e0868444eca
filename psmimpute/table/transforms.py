"""Monotone maps from the values of a column to a standardised latent scale, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
Choice = TypeVar("Choice")

N_KNOTS = 128
# A sample skewness or kurtosis says little of the shape of a column below this many values.
SHAPE_NEEDS = 50
# Normal scores are for columns that nothing smoother mends: they bend the lines between columns,
# and where large values are missing more often than small ones they take the tail that is left
# for the tail that was. Skewness is that of values clipped at their outermost hundredths, which a
# few outliers do not decide.
HEAVY_SKEWNESS, HEAVY_KURTOSIS = 1.5, 20.0
# Ends of counts.
NO_END = (0.0, float("inf"))
ROOT_SKEWNESS = 1.0
# Skewed to the left on the scale of a logarithm or root: the mean, taken back, would be far above
# that of the values.
LEFT_SKEWNESS = -1.0
_CLIPPED_SHARE = 0.01
# Distinct values that may be codes; nats, in all and for each value, by which they are plainly no
# rounded normal values. Counts with as many zeros again as a Poisson law has miss that by .04 each.
_MOST_CODES = 12
_PLAIN_MISFIT, _PLAIN_MISFIT_OF_VALUE = 8.0, 0.1
_N_PARAMETERS_OF_ROUNDED = 3  # mean, standard deviation, and the sum of the shares
_LEAST_MASS = 1e-12
# The scores of codes are open at both ends: as good as infinite, a little beyond the last value.
# From where values would round to others they go on slowly, for codes that only new rows have.
_OPEN, _NO_WIDTH = ((0.01, 6.0), (0.499, 6.5)), 1e-6
# Distinct counts that are looked at: of more, quantiles stand for all.
_MOST_DISTINCT = 512
# exp() stays a normal, finite float64.
_LARGEST_LOG = 700.0
# Beyond the observed range the normal-score map goes on with the mean slope of its outer tenth.
_OUTER_SHARE = 0.1


class TransformKind(StrEnum):
    """Shape of a transform, before it is standardised."""

    IDENTITY = "identity"
    LOG = "log"
    LOG1P = "log1p"
    CUBE_ROOT = "cube_root"
    SQRT = "sqrt"
    NORMAL_SCORES = "normal_scores"


# g(x) of positive values up to factors: the power of x, 0 for its logarithm; the weakest first.
POWERS = {
    TransformKind.IDENTITY: 1.0,
    TransformKind.SQRT: 1 / 2,
    TransformKind.CUBE_ROOT: 1 / 3,
    TransformKind.LOG: 0.0,
}
# Scales of counts, the weakest first.
_SCALES_OF_COUNTS = (
    TransformKind.IDENTITY,
    TransformKind.SQRT,
    TransformKind.CUBE_ROOT,
    TransformKind.LOG1P,
)
# Half the 95 % quantile of chi square with one degree of freedom: log likelihoods closer than this
# do not tell powers apart, and the weaker has the lighter tail.
_MOST_BEHIND = 1.92


@dataclass(frozen=True, slots=True)
class Transform:
    r"""A strictly increasing map of raw values x to a latent scale y.

    .. math:: y = (g(x) - loc) / scale

    with g the identity, a logarithm, :math:`\log(1 + x)`, a cube or square root, or the piecewise
    linear map through `knots`, each pair a value and its normal score. The latent scale has mean
    0 and variance 1 over the observed values.

    Attributes
    ----------
    kind : TransformKind
        Which g.
    loc, scale : float
        Mean and standard deviation of g(x) over the observed values; `scale` is positive.
    knots_x, knots_g : tuple of float
        Strictly increasing, two or more, for normal scores; else empty.
    """

    kind: TransformKind
    loc: float
    scale: float
    knots_x: tuple[float, ...] = ()
    knots_g: tuple[float, ...] = ()

    @classmethod
    def fitted(cls, kind: TransformKind, x: npt.ArrayLike) -> Self:
        """Return the transform of the given shape that standardises observed values.

        Parameters
        ----------
        kind : TransformKind
            Its shape.
        x : array_like, shape (n_observed,)
            Observed values, finite; positive for a logarithm. One or more.

        Returns
        -------
        Transform
            Standardised over `x`; of scale 1 if all of `x` are equal.

        Examples
        --------
        >>> Transform.fitted(TransformKind.IDENTITY, [1.0, 3.0])
        Transform(kind=<TransformKind.IDENTITY: 'identity'>, loc=2.0, scale=1.0, ...)
        """
        values = np.asarray(x, dtype=np.float64)
        knots_x, knots_g = _normal_score_knots(values) if kind == "normal_scores" else ((), ())
        bare = cls(kind, 0.0, 1.0, knots_x, knots_g)
        loc, scale = location_scale(bare.forward(values))
        return cls(kind, loc, scale, knots_x, knots_g)

    def forward(self, x: npt.ArrayLike) -> FloatArray:
        """Map raw values to the latent scale.

        Parameters
        ----------
        x : array_like, any shape
            Raw values; positive for a logarithm, above -1 for log1p.

        Returns
        -------
        ndarray, the same shape
            Standardised.
        """
        values = np.asarray(x, dtype=np.float64)
        return np.asarray((self._shape(values) - self.loc) / self.scale)

    def inverse(self, y: npt.ArrayLike) -> FloatArray:
        """Map latent values back.

        Parameters
        ----------
        y : array_like, any shape
            Standardised.

        Returns
        -------
        ndarray, the same shape
            Raw values; within the observed range for normal scores, positive for a logarithm.
        """
        with np.errstate(over="ignore"):
            return self._unshape(np.asarray(y, dtype=np.float64) * self.scale + self.loc)

    def _shape(self, x: FloatArray) -> FloatArray:
        match self.kind:
            case TransformKind.LOG:
                return np.asarray(np.log(x))
            case TransformKind.LOG1P:
                return np.asarray(np.log1p(x))
            case TransformKind.CUBE_ROOT:
                return np.asarray(np.cbrt(x))
            case TransformKind.SQRT:
                return np.asarray(np.sign(x) * np.sqrt(np.abs(x)))
            case TransformKind.NORMAL_SCORES:
                return self._score(x)
            case _:
                return x

    def _unshape(self, g: FloatArray) -> FloatArray:
        match self.kind:
            case TransformKind.LOG:
                return np.asarray(np.exp(np.clip(g, -_LARGEST_LOG, _LARGEST_LOG)))
            case TransformKind.LOG1P:
                return np.asarray(np.expm1(np.clip(g, -_LARGEST_LOG, _LARGEST_LOG)))
            case TransformKind.CUBE_ROOT:
                return np.asarray(g**3)
            case TransformKind.SQRT:
                return np.asarray(np.sign(g) * g**2)
            case TransformKind.NORMAL_SCORES:
                return np.asarray(np.interp(g, self.knots_g, self.knots_x))
            case _:
                return g

    def _score(self, x: FloatArray) -> FloatArray:
        knots_x, knots_g = np.asarray(self.knots_x), np.asarray(self.knots_g)
        outer = max(1, int(_OUTER_SHARE * len(knots_x)))
        ends, starts = [outer, -1], [0, -1 - outer]
        with np.errstate(over="ignore"):
            slopes = (knots_g[ends] - knots_g[starts]) / (knots_x[ends] - knots_x[starts])
        slopes = np.minimum(slopes, np.finfo(np.float64).max)
        below = np.minimum(x - knots_x[0], 0.0)
        above = np.maximum(x - knots_x[-1], 0.0)
        inside = np.interp(x, knots_x, knots_g)
        return np.asarray(inside + slopes[0] * below + slopes[1] * above)

    def inverse_table(
        self, n: int = 512, *, lo: float = -6.0, hi: float = 6.0
    ) -> tuple[FloatArray, FloatArray]:
        """Tabulate the inverse, for interpolation where Python cannot be called.

        Parameters
        ----------
        n : int, default 512
            Number of points.
        lo, hi : float
            Ends of the latent grid.

        Returns
        -------
        grid_y, values_x : ndarray, shape (n,)
            Equally spaced latent values, and the raw values they stand for.
        """
        grid = np.linspace(lo, hi, n)
        return grid, self.inverse(grid)

    def to_dict(self) -> dict[str, Any]:
        """Return the transform as JSON values.

        Returns
        -------
        dict
            For :meth:`from_dict`.
        """
        state = asdict(self)
        return state | {
            "kind": str(self.kind),
            "knots_x": [*self.knots_x],
            "knots_g": [*self.knots_g],
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Return the transform that :meth:`to_dict` described.

        Parameters
        ----------
        state : dict
            What :meth:`to_dict` returned.

        Returns
        -------
        Transform
            Equal to the one described.
        """
        knots_x, knots_g = tuple(state["knots_x"]), tuple(state["knots_g"])
        return cls(TransformKind(state["kind"]), state["loc"], state["scale"], knots_x, knots_g)


def _normal_score_knots(x: FloatArray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Knots at distinct values, spread evenly over the normal scores of their mid-ranks."""
    from scipy.special import ndtri  # noqa: PLC0415 (a fifth of a second, which few tables need)

    values, counts = np.unique(x, return_counts=True)
    if len(values) == 1:
        return (float(values[0]), float(np.nextafter(values[0], np.inf))), (0.0, 1.0)
    below = np.cumsum(counts) - counts
    scores = ndtri((below + counts / 2) / len(x))
    evenly = np.linspace(scores[0], scores[-1], N_KNOTS)
    chosen = np.unique(np.searchsorted(scores, evenly[1:-1]))
    chosen = np.union1d(chosen, [0, len(values) - 1])
    return tuple(values[chosen].tolist()), tuple(scores[chosen].tolist())


def location_scale(x: FloatArray) -> tuple[float, float]:
    """Mean and standard deviation of finite values, of any magnitude.

    Parameters
    ----------
    x : ndarray, shape (n,)
        One or more values.

    Returns
    -------
    loc, scale : float
        `scale` is 1 where the standard deviation is 0.
    """
    z, magnitude = _unit_magnitude(x)
    scale = float(z.std()) * magnitude
    loc = float(z.mean()) * magnitude
    return loc, scale if 0 < scale < np.inf else 1.0


def _unit_magnitude(x: FloatArray) -> tuple[FloatArray, float]:
    """Values scaled to at most 1, and the power of two (so that it is exact) that did it."""
    largest = float(np.abs(x).max())
    magnitude = float(2.0 ** min(np.frexp(largest)[1], 1023)) if largest > 0 else 1.0
    return x / magnitude, magnitude


def shape_moments(x: FloatArray) -> tuple[float, float]:
    """Sample skewness and excess kurtosis.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Finite values.

    Returns
    -------
    skewness, kurtosis : float
        Both 0 if all values are equal.
    """
    z, _ = _unit_magnitude(x)
    loc, scale = location_scale(z)
    u = (z - loc) / scale
    return float((u**3).mean()), float((u**4).mean()) - 3.0


def choose_for_continuous(x: FloatArray) -> Transform:
    """Choose the transform of a continuous column.

    Parameters
    ----------
    x : ndarray, shape (n_observed,)
        Observed values.

    Returns
    -------
    Transform
        Affine, unless the values are heavily skewed or heavy-tailed: then a square root, if none
        is negative and it mends that, or else through normal scores. The root keeps lines between
        columns that hang together straighter than scores do, above all in the tail, and goes on
        beyond the largest value that was observed.
    """
    if len(x) < SHAPE_NEEDS or not is_heavy(x, HEAVY_SKEWNESS):
        return Transform.fitted(TransformKind.IDENTITY, x)
    if x.min() >= 0:
        root = Transform.fitted(TransformKind.SQRT, x)
        if not is_heavy(root.forward(x), ROOT_SKEWNESS):
            return root
    return Transform.fitted(TransformKind.NORMAL_SCORES, x)


def is_heavy(x: FloatArray, skewness: float, kurtosis: float = HEAVY_KURTOSIS) -> bool:
    """Tell whether values are more skewed than that, or heavy-tailed.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Finite values.
    skewness : float
        Most that is allowed, of values clipped at their outermost hundredths.
    kurtosis : float
        Most excess kurtosis that is allowed.

    Returns
    -------
    bool
    """
    return abs(_clipped_skewness(x)) > skewness or shape_moments(x)[1] > kurtosis


def _clipped_skewness(x: FloatArray) -> float:
    ends = np.quantile(x, [_CLIPPED_SHARE, 1 - _CLIPPED_SHARE], method="nearest")
    return shape_moments(np.clip(x, *ends))[0]


def choose_for_positive(x: FloatArray) -> Transform:
    """Choose the transform of positive values.

    Parameters
    ----------
    x : ndarray, shape (n_observed,)
        Observed values, all positive.

    Returns
    -------
    Transform
        The weakest of square root, cube root and logarithm that a likelihood ratio test of the
        5 % level against the best of them does not reject as the scale on which the values are
        normal [1]_; or through normal scores if they are heavily skewed even so, or to the left.
        Logarithms alone would give values that are gamma distributed a tail far heavier than
        theirs.

    References
    ----------
    .. [1] Box, G. E. P. and Cox, D. R. (1964). An analysis of transformations. Journal of the
       Royal Statistical Society B 26(2), 211-252.
    """
    bent = [kind for kind in POWERS if kind is not TransformKind.IDENTITY]
    fitted = [Transform.fitted(kind, x) for kind in bent]
    chosen = first_likely({each: log_likelihood(each, x) for each in fitted})
    y = chosen.forward(x)
    skewed = shape_moments(y)[0] < LEFT_SKEWNESS or _clipped_skewness(y) > HEAVY_SKEWNESS
    heavy = skewed and len(x) >= SHAPE_NEEDS
    return Transform.fitted(TransformKind.NORMAL_SCORES, x) if heavy else chosen


def log_likelihood(transform: Transform, x: FloatArray) -> float:
    """Log likelihood of positive values, up to a constant, if they are normal once transformed.

    Parameters
    ----------
    transform : Transform
        Of a kind in `POWERS`, fitted to the values.
    x : ndarray, shape (n,)
        Positive values.

    Returns
    -------
    float
        In nats.
    """
    power = POWERS[transform.kind]
    slope = np.log(power) if power > 0 else 0.0
    each = slope + (power - 1) * np.log(x).mean() - np.log(transform.scale)
    return float(len(x) * each)


def first_likely(likely: Mapping[Choice, float]) -> Choice:
    """Return the first choice that a likelihood ratio test does not reject.

    Parameters
    ----------
    likely : mapping to float
        Log likelihoods of choices, the one to be preferred first.

    Returns
    -------
    object
        The first whose log likelihood is close to the largest: against the best of them, a test of
        the 5 % level with one degree of freedom does not reject it.
    """
    best = max(likely.values())
    return next(choice for choice, value in likely.items() if best - value < _MOST_BEHIND)


def choose_for_amounts(x: FloatArray) -> Transform:
    """Choose the transform of the amounts of a semicontinuous column.

    Their tails are longer than a lognormal's often enough that its mean, which rests on the
    tail, would be far from theirs; normal scores keep imputed amounts in the observed range.

    Parameters
    ----------
    x : ndarray, shape (n_amounts,)
        Observed amounts, all positive.

    Returns
    -------
    Transform
        Through normal scores, or logarithmic if there are too few amounts for them.
    """
    few = len(x) < SHAPE_NEEDS
    return Transform.fitted(TransformKind.LOG if few else TransformKind.NORMAL_SCORES, x)


def choose_for_count(x: FloatArray, ends: tuple[float, float] = NO_END) -> Transform:
    """Choose the transform of counts.

    Parameters
    ----------
    x : ndarray, shape (n_observed,)
        Observed counts.
    ends : tuple of float, default (0, inf)
        Lowest and highest that there can be.

    Returns
    -------
    Transform
        The weakest of identity, square root, cube root and logarithm that a likelihood ratio test
        of the 5 % level against the best of them does not reject as the scale on which the counts
        are rounded normal values: a root of Poisson counts, say, or a cube root of geometric ones,
        to which a logarithm would give a tail far heavier than theirs. Or, where few distinct
        values are plainly not so on any of them, the scores between which a normal value would
        round to them as often as they were observed: whole numbers that are codes, or pile up at
        an end.
    """
    values, counts = np.unique(x, return_counts=True)
    if len(values) > _MOST_DISTINCT:
        places = (np.arange(_MOST_DISTINCT) + 0.5) / _MOST_DISTINCT
        some = np.quantile(x, places, method="nearest")
        values, counts = np.unique(some, return_counts=True)
        counts = counts * (len(x) // _MOST_DISTINCT)
    fitted = [Transform.fitted(kind, x) for kind in _SCALES_OF_COUNTS]
    if len(values) < 3:
        return fitted[0]
    likely = {each: rounded_log_likelihood(each, values, counts, ends) for each in fitted}
    chosen = first_likely(likely)
    at_most = float((counts * np.log(counts / counts.sum())).sum())
    # A law with a parameter for each value gains half a nat for each by chance.
    misfit = at_most - likely[chosen] - 0.5 * (len(values) - _N_PARAMETERS_OF_ROUNDED)
    plain = misfit > max(_PLAIN_MISFIT, _PLAIN_MISFIT_OF_VALUE * len(x))
    are_codes = plain and len(values) <= _MOST_CODES and len(x) >= SHAPE_NEEDS
    return _scores_of_codes(values, counts) if are_codes else chosen


def rounded_log_likelihood(
    transform: Transform,
    values: FloatArray,
    counts: IntArray,
    ends: tuple[float, float] = NO_END,
) -> float:
    """Log likelihood of whole numbers, if they are rounded normal values once transformed.

    Parameters
    ----------
    transform : Transform
    values : ndarray, shape (n_distinct,)
        Distinct, none negative.
    counts : ndarray of int, shape (n_distinct,)
        How often each was observed.
    ends : tuple of float, default (0, inf)
        Lowest and highest that there can be: what rounds to them goes on for ever.

    Returns
    -------
    float
        In nats, at the best mean and standard deviation on a grid that is refined about it.
    """
    from scipy.special import ndtr  # noqa: PLC0415 (a fifth of a second, which few tables need)

    first, last = ends
    lower = np.where(values > first, transform.forward(np.maximum(values - 0.5, first)), -np.inf)
    upper = np.where(values < last, transform.forward(np.minimum(values + 0.5, last)), np.inf)
    loc, log_scale, width = 0.0, 0.0, 1.0
    steps = np.linspace(-1.0, 1.0, 9)
    best = -np.inf
    for _ in range(4):
        locs, scales = loc + width * steps, np.exp(log_scale + width * steps)
        mass = ndtr((upper - locs[:, None, None]) / scales[:, None])
        mass -= ndtr((lower - locs[:, None, None]) / scales[:, None])
        found = (counts * np.log(np.maximum(mass, _LEAST_MASS))).sum(-1)
        i, j = np.unravel_index(found.argmax(), found.shape)
        best = float(found[i, j])
        loc, log_scale, width = float(locs[i]), float(np.log(scales[j])), width / 4
    return best


def _scores_of_codes(values: FloatArray, counts: IntArray) -> Transform:
    """Map the ends and the middle of what rounds to each value to their normal scores."""
    from scipy.special import ndtri  # noqa: PLC0415 (a fifth of a second, which few tables need)

    n = counts.sum()
    through = np.cumsum(counts) / n
    middle = ndtri(through - 0.5 * counts / n)
    between = ndtri(through[:-1])
    knots: dict[float, float] = {}
    for beyond, score in _OPEN:
        knots |= {values[0] - beyond: -score, values[-1] + beyond: score}
    knots |= dict(zip(values, middle, strict=True))
    for low, high, score in zip(values[:-1], values[1:], between, strict=True):
        knots[low + 0.5] = score
        if high - 0.5 > low + 0.5:  # no value in between was observed
            knots[high - 0.5] = score + _NO_WIDTH
    knots_x = tuple(sorted(float(x) for x in knots))
    knots_g = tuple(float(knots[x]) for x in knots_x)
    bare = Transform(TransformKind.NORMAL_SCORES, 0.0, 1.0, knots_x, knots_g)
    loc, scale = location_scale(np.repeat(bare.forward(values), counts))
    return replace(bare, loc=loc, scale=scale)
