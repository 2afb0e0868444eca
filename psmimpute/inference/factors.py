"""Correlations of a table with gaps, their principal factors, and how many of these count."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from psmimpute.model.inputs import by_output
from psmimpute.model.layout import FeatureLayout
from psmimpute.model.rows import Rows
from psmimpute.table.kinds import Family

_LEAST_UNIQUENESS = 0.1
# Passes that find the uniquenesses, of tables of ordinary width and of wide ones, whose
# eigenvalue problems are dear.
_N_PASSES, _N_PASSES_OF_WIDE, _WIDE = 20, 5, 128
_N_COUNTS = 6
# Rarer levels hang together with others no more closely; bound of what is raised to a latent scale.
_LEAST_SHARE, _MOST_LATENT = 0.005, 0.9
# Pairs of rows by which a correlation is shrunk towards none.
_SHRINKING_PAIRS = 5.0
# Rows for each column from which on its regression on the others is told by the data alone.
_ROWS_FOR_A_COLUMN = 20
# Pairs of columns that no more rows show together are completed, where that is no long work.
_HARDLY_ANY_PAIRS, _N_COMPLETING, _N_RESTORED, _MOST_COMPLETING = 5, 5, 5, 10**8
_LEAST_OF_COMPLETED = 0.02
_LEAST_PRODUCT = 1e-12

Array = npt.NDArray[np.float64]


class Moments(NamedTuple):
    """Means, spreads and pairwise-complete correlations of the network inputs of a table.

    Attributes
    ----------
    mean, sd : ndarray, shape (outputs,)
    scores : ndarray, shape (rows, outputs)
        Standardised, zero where not observed.
    seen : ndarray, shape (rows, outputs)
        1.0 where observed.
    correlation : ndarray, shape (outputs, outputs)
        Shrunk where few rows show both columns.
    pairs : ndarray, shape (outputs, outputs)
        Rows that show both of two columns.
    """

    mean: Array
    sd: Array
    scores: Array
    seen: Array
    correlation: Array
    pairs: Array

    @property
    def n_pairs(self) -> float:
        """Mean number of rows that show both of two columns."""
        others = ~np.eye(len(self.pairs), dtype=bool)
        return float(self.pairs[others].mean()) if others.any() else float(len(self.seen))


def find_moments(rows: Rows, layout: FeatureLayout) -> Moments:
    """Find the moments of some rows.

    Parameters
    ----------
    rows : Rows
        The same for all members.
    layout : FeatureLayout

    Returns
    -------
    Moments
    """
    seen = by_output(rows.observed[0].cpu(), layout).double().numpy()
    inputs = rows.inputs[0].cpu().double().numpy()
    n = np.maximum(seen.sum(0), 1.0)
    mean = (inputs * seen).sum(0) / n
    variance = ((inputs - mean) ** 2 * seen).sum(0) / n
    sd = np.sqrt(np.maximum(variance, 1e-4))
    scores = (inputs - mean) / sd * seen
    pairs = seen.T @ seen
    correlation = (scores.T @ scores) / np.maximum(pairs, 1.0)
    correlation *= pairs / (pairs + _SHRINKING_PAIRS)
    np.fill_diagonal(correlation, 1.0)
    return Moments(mean, sd, scores, seen, correlation, pairs)


def unexplained_variances(moments: Moments, is_number: npt.NDArray[np.bool_]) -> Array:
    """Find the share of each number's variance that a regression on the other numbers leaves.

    From correlations over the rows that show both of two columns.

    Parameters
    ----------
    moments : Moments
    is_number : ndarray of bool, shape (outputs,)

    Returns
    -------
    ndarray, shape (outputs,)
        At most 1; 1 for what is no number, and for all where rows are too few for that many
        columns, or the correlations do not go together.
    """
    found = np.ones(len(is_number))
    at = np.flatnonzero(is_number)
    seen, scores = moments.seen[:, at], moments.scores[:, at]
    pairs = moments.pairs[np.ix_(at, at)]
    n = pairs.min() if len(at) > 1 else 0.0
    if n <= _ROWS_FOR_A_COLUMN * len(at):
        return found
    mean = scores.T @ seen / pairs
    variance = (scores**2).T @ seen / pairs - mean**2
    product = scores.T @ scores / pairs - mean * mean.T
    correlation = product / np.sqrt(np.maximum(variance * variance.T, _LEAST_PRODUCT))
    correlation *= pairs / (pairs + 1.0)  # a row by which to shrink keeps it definite
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh(correlation)
    if values[0] > 0:
        precision = (vectors**2 / values).sum(1)
        found[at] = np.minimum(n / (n - len(at)) / precision, 1.0)
    return found


def latent_correlation(moments: Moments, layout: FeatureLayout) -> Array:
    r"""Correlations of the latent normal values behind truth values and levels.

    A truth value of probability p that cuts a normal one hangs together with a number by
    :math:`\phi(\Phi^{-1}(p)) / \sqrt{p (1 - p)}` times the correlation of the normal one, which is
    .8 for p = .5 and .4 for p = .03. Correlations are divided by that, of two truth values
    by both factors, which is right where they are small.

    Parameters
    ----------
    moments : Moments
    layout : FeatureLayout

    Returns
    -------
    ndarray, shape (outputs, outputs)

    References
    ----------
    .. [1] Pearson, K. (1909). On a new method of determining correlation between a measured
       character A, and a character B. Biometrika 7(1-2), 96-105.
    """
    number = layout.is_number().numpy()
    if number.all():
        return moments.correlation
    from scipy.special import ndtri  # noqa: PLC0415 (a fifth of a second, which few tables need)

    factor = np.ones(len(moments.mean))
    for block in layout.blocks:
        at = block.outputs
        if block.family == Family.BERNOULLI:
            shares = (1 + moments.mean[at]) / 2
        elif block.family == Family.CATEGORICAL:
            shares = moments.mean[at] + np.repeat(1 / np.array(block.n_levels), block.n_levels)
        else:
            continue
        p = np.clip(shares, _LEAST_SHARE, 1 - _LEAST_SHARE)
        density = np.exp(-0.5 * ndtri(p) ** 2) / math.sqrt(2 * math.pi)
        factor[at] = np.sqrt(p * (1 - p)) / density
    raised = moments.correlation * np.outer(factor, factor)
    owner = np.array(layout.columns_of_inputs())
    # The levels of a column share a whole, and numbers stand for themselves.
    same = (owner[:, None] == owner) | (number[:, None] & number)
    return np.where(same, moments.correlation, raised.clip(-_MOST_LATENT, _MOST_LATENT))


def complete_correlation(correlation: Array, pairs: Array) -> Array:
    r"""Let the other columns say how those hang together that hardly a row shows together.

    The likelihood is silent about them, and what is learned stays where it started. Without a
    correlation at all, two columns that both hang on a third would start with one of the opposite
    sign given the third. So they get the one that leaves them independent given all others: the
    completion of largest determinant, found by one pair after the other.

    Parameters
    ----------
    correlation : ndarray, shape (outputs, outputs)
    pairs : ndarray, shape (outputs, outputs)
        Rows that show both of two columns.

    Returns
    -------
    ndarray, shape (outputs, outputs)
        The same where all columns are seen together.

    References
    ----------
    .. [1] Dempster, A. P. (1972). Covariance selection. Biometrics 28(1), 157-175.
    """
    unseen = np.argwhere(np.triu(pairs <= _HARDLY_ANY_PAIRS, 1))
    if not len(unseen) or len(unseen) * len(pairs) ** 2 > _MOST_COMPLETING:
        return correlation
    above = tuple(unseen.T)
    completed = correlation.copy()
    for _ in range(_N_RESTORED):
        completed = _independent_given_others(completed, unseen)
        new = completed[above]
        completed = correlation.copy()
        completed[above] = completed[above[::-1]] = new
    # The few rows there may be have been shrunk towards nothing by as much.
    share = _SHRINKING_PAIRS / (pairs[above] + _SHRINKING_PAIRS)
    completed[above] = completed[above[::-1]] = correlation[above] + share * new
    return completed


def _independent_given_others(correlation: Array, unseen: npt.NDArray[np.intp]) -> Array:
    """Make the precision of some pairs zero, one after the other, of a matrix made definite."""
    values, vectors = np.linalg.eigh(correlation)
    found: Array = (vectors * np.maximum(values, _LEAST_OF_COMPLETED)) @ vectors.T
    width = 1 / np.sqrt(np.diag(found))
    found = found * np.outer(width, width)
    for _ in range(_N_COMPLETING):
        precision = np.linalg.inv(found)
        for i, j in unseen:
            both = np.ix_([i, j], [i, j])
            left = np.linalg.inv(precision[both])  # covariance of the two given the others
            change = np.array([[0.0, -left[0, 1]], [-left[0, 1], 0.0]])
            found[both] += change
            inner = np.eye(2) + change @ precision[both]
            columns = precision[:, [i, j]]
            precision -= columns @ np.linalg.solve(inner, change) @ columns.T
    return found


def principal_factors(
    correlation: Array, n_factors: int, *, uniqueness: Array | None = None
) -> tuple[Array, Array]:
    """Find the factors of a correlation matrix.

    Parameters
    ----------
    correlation : ndarray, shape (outputs, outputs)
        A positive definite repair is made by its eigenvalues.
    n_factors : int
    uniqueness : ndarray, shape (outputs,), optional
        Share of each variance that no factor explains, where it is given and not found.

    Returns
    -------
    loadings : ndarray, shape (n_factors, outputs)
    uniqueness : ndarray, shape (outputs,)
    """
    n_outputs = correlation.shape[0]
    unique = np.full(n_outputs, 0.5) if uniqueness is None else uniqueness
    least = _LEAST_UNIQUENESS if uniqueness is None else np.minimum(uniqueness, _LEAST_UNIQUENESS)
    loadings = np.zeros((n_factors, n_outputs))
    n_found = min(n_factors, n_outputs)
    n_passes = _N_PASSES if n_outputs <= _WIDE else _N_PASSES_OF_WIDE
    for _ in range(n_passes if uniqueness is None else 1):
        values, vectors = np.linalg.eigh(correlation - np.diag(unique))
        top = slice(None, -n_found - 1, -1)
        loadings[:n_found] = np.sqrt(np.maximum(values[top], 0.0))[:, None] * vectors[:, top].T
        unique = np.clip(1.0 - (loadings**2).sum(0), least, 1.0)
    return loadings, unique


def count_factors(moments: Moments, least: int, most: int) -> int:
    r"""Count the factors that pay for their loadings.

    With the uniquenesses :math:`\psi` of k factors and the eigenvalues :math:`\theta` of
    :math:`\psi^{-1/2} R \psi^{-1/2}`, a factor raises the log likelihood of n rows by
    :math:`n (\theta - 1 - \log \theta) / 2`. It counts where that exceeds the number of its
    loadings, which is Akaike's criterion. While more than k count, k grows to their number: to
    begin with many would take too much from the uniquenesses. Pairwise correlations of a table
    with gaps may show factors that are not there: the count is a proposal.

    Parameters
    ----------
    moments : Moments
    least, most : int
        Bounds of k. Where `most` is more than half the columns, that is the bound: more factors
        leave the uniquenesses unidentified.

    Returns
    -------
    int

    References
    ----------
    .. [1] Akaike, H. (1987). Factor analysis and AIC. Psychometrika 52(3), 317-332.
    """
    n_outputs = len(moments.sd)
    count, most = least, min(most, n_outputs // 2)
    for _ in range(_N_COUNTS):
        if count >= most:
            break
        _, unique = principal_factors(moments.correlation, count)
        theta = np.linalg.eigvalsh(moments.correlation / np.sqrt(unique[:, None] * unique))
        theta = theta[theta > 1.0]
        gain = 0.5 * moments.n_pairs * (theta - 1.0 - np.log(theta))
        more = min(most, int((gain > n_outputs).sum()))
        if more <= count:
            break
        count = more
    return count
