"""Which products of the columns without gaps tell of the others, and how much.

Where only an outcome has gaps, the rows that show it say whether effects of the others interact;
a model whose factors are straight lines imputes that they do not, and few rows prove no network.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt
import torch

from psmimpute.inference.config import MANY_ROWS
from psmimpute.model.layout import FeatureLayout
from psmimpute.model.products import ProductTerms, products_of
from psmimpute.model.rows import RowStore
from psmimpute.model.spec import ModelSpec
from psmimpute.table.kinds import Family

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# More candidates than this are not looked at.
MOST_PRODUCTS = 100
# Rows that show a column, at least, and for each regressor.
_LEAST_ROWS, _ROWS_FOR_REGRESSOR = 50, 5
# The chi-squared statistic that a product must reach, as by Akaike's criterion, or twice the
# logarithm of the number of candidates for all columns: so many reach no more by chance.
_LEAST_STATISTIC = 2.0
# Precision of the prior of a truth value's coefficients.
_PRECISION = 0.1
_MOST_STEPS = 25
_RIDGE = 1e-6


@dataclass(frozen=True)
class _Outcome:
    """A feature of a column with gaps, and the rows that show it."""

    place: int  # among the outputs of columns with gaps
    is_binary: bool
    values: FloatArray
    seen: BoolArray


def choose_products(spec: ModelSpec, store: RowStore) -> tuple[tuple[int, int], ...]:
    """Choose the products and squares that tell of a column with gaps.

    Each candidate is tested by itself beside all columns without gaps, in the rows that show
    the column with gaps, by the score test that is robust to unequal variances: one that is left
    out is worth no more than the square root of the least statistic in standard errors.

    Parameters
    ----------
    spec : ModelSpec
    store : RowStore
        Rows of the table.

    Returns
    -------
    tuple of (int, int)
        Pairs of network inputs; none where there are too many columns or rows for that, where
        only levels have gaps, or where the user wants none.
    """
    exact = spec.config.encoder == "exact" and spec.missingness != "selection"
    asked = spec.config.products and exact and spec.config.covariate_dim in ("auto", 0)
    inputs = spec.complete_inputs
    if not asked or store.n_rows >= MANY_ROWS or len(inputs) ** 2 / 2 > MOST_PRODUCTS:
        return ()
    pairs = _candidates(spec, store)
    if not pairs:
        return ()
    known = _known(spec, store)
    told = _tells(known, _terms(known, spec, pairs), _outcomes(spec, store), len(pairs))
    return tuple(pairs[i] for i in np.flatnonzero(told.any(axis=1)))


def write_products(
    terms: ProductTerms,
    spec: ModelSpec,
    store: RowStore,
    counts: npt.NDArray[np.integer] | None = None,
) -> None:
    """Fit the coefficients of products, each member's to its own resample.

    Regressions of the columns with gaps on those without and the products: least squares for
    numbers, logistic for truth values.

    Parameters
    ----------
    terms : ProductTerms
        Changed in place.
    spec : ModelSpec
        With the products.
    store : RowStore
        Rows of the table.
    counts : ndarray, shape (members, rows), optional
        How often each row is in a member's resample; all rows once by default.
    """
    known = _known(spec, store)
    found = _terms(known, spec, spec.products)
    outcomes = _outcomes(spec, store)
    told = _tells(known, found, outcomes, len(_candidates(spec, store)))
    design = np.column_stack([np.ones(len(known)), known])
    lines = np.linalg.lstsq(design, found, rcond=None)[0]
    left = found - design @ lines
    weights = np.ones((1, len(known))) if counts is None else counts.astype(np.float64)
    coefficients = np.zeros((len(weights), found.shape[1], len(terms.get_buffer("gappy"))))
    for outcome, own in zip(outcomes, told.T, strict=True):
        if own.any():
            x = np.column_stack([design, left[:, own]])[outcome.seen]
            fit = _logistic if outcome.is_binary else _least_squares
            slopes = fit(x, outcome.values[outcome.seen], weights[:, outcome.seen])
            coefficients[:, own, outcome.place] = slopes[:, design.shape[1] :]
    with torch.no_grad():
        terms.lines.copy_(torch.from_numpy(lines).float().expand_as(terms.lines))
        slope = torch.from_numpy(coefficients).float()
        terms.coefficients.copy_(slope.expand_as(terms.coefficients))


def _candidates(spec: ModelSpec, store: RowStore) -> tuple[tuple[int, int], ...]:
    """Return pairs of different columns, and numbers with themselves if they take three values."""
    owner = spec.layout.columns_of_inputs()
    is_number = spec.layout.is_number().tolist()
    inputs = store.all().inputs[0].cpu().numpy()
    return tuple(
        (i, j)
        for i, j in combinations_with_replacement(spec.complete_inputs, 2)
        if (is_number[i] and len(np.unique(inputs[:, i])) > 2 if i == j else owner[i] != owner[j])
    )


def _known(spec: ModelSpec, store: RowStore) -> FloatArray:
    found: FloatArray = store.all().inputs[0][:, list(spec.complete_inputs)].cpu().double().numpy()
    return found


def _terms(known: FloatArray, spec: ModelSpec, pairs: tuple[tuple[int, int], ...]) -> FloatArray:
    place = {own: i for i, own in enumerate(spec.complete_inputs)}
    index = torch.tensor([[place[i], place[j]] for i, j in pairs], dtype=torch.long).T
    found: FloatArray = products_of(torch.from_numpy(known), index).numpy()
    return found


def _outcomes(spec: ModelSpec, store: RowStore) -> list[_Outcome]:
    """Return the numbers and truth values of columns with gaps."""
    layout, rows = spec.layout, store.all()
    values = rows.values[0].cpu().double().numpy()
    observed = rows.observed[0].cpu().numpy() > 0
    gappy = sorted(set(range(layout.n_outputs)) - {*spec.complete_inputs})
    place = {output: i for i, output in enumerate(gappy)}
    found = []
    for block, feature, output in _features(layout):
        binary = block is Family.BERNOULLI
        if output in place and (binary or block.is_number):
            found.append(_Outcome(place[output], binary, values[:, feature], observed[:, feature]))
    return found


def _features(layout: FeatureLayout) -> list[tuple[Family, int, int]]:
    """Return family, feature and output of the features that have one output each."""
    return [
        (block.family, block.features.start + i, block.outputs.start + i)
        for block in layout.blocks
        if block.family is not Family.CATEGORICAL
        for i in range(block.n_features)
    ]


def _tells(
    known: FloatArray, terms: FloatArray, outcomes: list[_Outcome], n_candidates: int
) -> BoolArray:
    """Tell which products tell of which outcome, shape (products, outcomes)."""
    least = max(_LEAST_STATISTIC, 2 * np.log(max(1, n_candidates * len(outcomes))))
    told = np.zeros((terms.shape[1], len(outcomes)), dtype=bool)
    for k, outcome in enumerate(outcomes):
        x = np.column_stack([np.ones(len(known)), known])[outcome.seen]
        n, width = x.shape
        if n < max(_LEAST_ROWS, _ROWS_FOR_REGRESSOR * width):
            continue
        y, found = outcome.values[outcome.seen], terms[outcome.seen]
        weights = np.ones(n)
        if outcome.is_binary:
            p = _probability(_logistic(x, y, weights[None]), x)[0]
            residual, weights = y - p, p * (1 - p)
        else:
            residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
        root = np.sqrt(weights)[:, None]
        lines = np.linalg.lstsq(root * x, root * found, rcond=None)[0]
        scores = residual[:, None] * (found - x @ lines)
        spread = np.maximum((scores**2).sum(axis=0), _RIDGE)
        told[:, k] = scores.sum(axis=0) ** 2 / spread * (n - width) / n > least
    return told


def _least_squares(x: FloatArray, y: FloatArray, weights: FloatArray) -> FloatArray:
    gram = np.einsum("mn,ni,nj->mij", weights, x, x)
    gram += _RIDGE * len(x) * np.eye(x.shape[1])
    found: FloatArray = np.linalg.solve(gram, (weights * y @ x)[..., None])[..., 0]
    return found


def _probability(slopes: FloatArray, x: FloatArray) -> FloatArray:
    found: FloatArray = 1 / (1 + np.exp(-np.clip(slopes @ x.T, -30, 30)))
    return found


def _logistic(x: FloatArray, y: FloatArray, weights: FloatArray) -> FloatArray:
    """Fit by Newton's method under a weak normal prior, without which separation has no end."""
    prior = _PRECISION * np.eye(x.shape[1])
    prior[0, 0] = _RIDGE
    slopes = np.zeros((len(weights), x.shape[1]))
    for _ in range(_MOST_STEPS):
        p = _probability(slopes, x)
        gradient = (weights * (y - p)) @ x - slopes @ prior
        information = np.einsum("mn,ni,nj->mij", weights * p * (1 - p), x, x) + prior
        step = np.linalg.solve(information, gradient[..., None])[..., 0]
        slopes += np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-6:
            break
    return slopes
