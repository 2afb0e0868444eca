"""Estimates of all imputations side by side, aligned by name and checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from psmimpute.exceptions import PoolingError, PoolingWarning
from psmimpute.pooling.item import PoolItem
from psmimpute.pooling.rubin import FloatArray
from psmimpute.telling import warn


@dataclass(frozen=True)
class StackedItems:
    """What ``m`` analyses of the same ``k`` terms found.

    Attributes
    ----------
    terms : Index, length k
        Names of the terms.
    qhat : ndarray, shape (m, k)
        Estimates.
    u : ndarray, shape (m, k, k)
        Their covariance matrices.
    dfcom : float
        Complete-data residual degrees of freedom, infinite when unknown.
    nobs : int or None
        Rows analysed, the fewest where they differ.
    n_params : int or None
        Number of parameters of the likelihood.
    sources : tuple of PoolItem
        The analyses, until their likelihoods have been read.
    """

    terms: pd.Index
    qhat: FloatArray
    u: FloatArray
    dfcom: float
    nobs: int | None
    n_params: int | None
    sources: tuple[PoolItem, ...] = field(repr=False)

    @cached_property
    def llf(self) -> FloatArray | None:
        """Maximum log-likelihoods, shape ``(m,)``; None unless all analyses have one."""
        found = [item.log_likelihood for item in self.sources]
        known = [llf for llf in found if llf is not None]
        return np.array(known) if len(known) == len(found) else None

    def remember(self, llf: FloatArray | None) -> StackedItems:
        """Return these numbers with log-likelihoods that are known, and without the analyses."""
        found = replace(self, sources=())
        found.__dict__["llf"] = llf
        return found

    def __getstate__(self) -> dict[str, Any]:
        # The numbers are kept; the analyses, which may not pickle, are the business of others.
        return self.__dict__ | {"llf": self.llf, "sources": ()}


def stack_items(items: Sequence[PoolItem], *, dfcom: float | None = None) -> StackedItems:
    """Align the analyses by the names of their terms and refuse what cannot be pooled.

    Parameters
    ----------
    items : sequence of PoolItem, length m
        One analysis for each imputation.
    dfcom : float, optional
        Complete-data residual degrees of freedom, in place of those of the analyses.

    Returns
    -------
    StackedItems
        Terms in the order of the first analysis.

    Raises
    ------
    PoolingError
        If there are fewer than 2 analyses, one did not converge or is separated, their terms
        differ or repeat, an estimate is not finite, or a variance is not positive and finite. The
        message names the imputation, counted from 1, and the term.

    Warns
    -----
    PoolingWarning
        If degrees of freedom differ over the analyses (the smallest are taken) or are unknown
        (they are taken as infinite), or numbers of rows differ.
    """
    if len(items) < 2:
        raise PoolingError(
            f"pooling needs the analyses of at least 2 imputations, got {len(items)}: impute with "
            "m=20, say"
        )
    for i, item in enumerate(items):
        if item.problem is not None:
            raise PoolingError(f"the fit of imputation {i + 1} {item.problem}")
    # A copy of its own: whoever names the index of one result must not name that of another.
    terms = _common_terms([item.params.index for item in items]).copy()
    qhat, u = np.empty((len(items), len(terms))), np.empty((len(items), len(terms), len(terms)))
    for i, item in enumerate(items):
        qhat[i], u[i] = _in_order(item, terms)
    check_estimates(terms, qhat, u)
    return StackedItems(
        terms=terms,
        qhat=qhat,
        u=u,
        dfcom=_common_dfcom(items) if dfcom is None else float(dfcom),
        nobs=_common_nobs(items),
        n_params=items[0].n_params,
        sources=tuple(items),
    )


def _common_terms(indices: Sequence[pd.Index]) -> pd.Index:
    first = indices[0]
    for i, index in enumerate(indices):
        if not index.is_unique:
            raise PoolingError(
                f"imputation {i + 1} has the term {index[index.duplicated()][0]!r} more than once: "
                "name the terms apart"
            )
    if all(index.equals(first) for index in indices[1:]):
        return first
    sets = [frozenset(index) for index in indices]
    usual, _count = Counter(sets).most_common(1)[0]
    everywhere = frozenset.union(*sets)
    for i, found in enumerate(sets):
        if found == usual == everywhere:
            continue
        lacking, extra = sorted(map(repr, usual - found)), sorted(map(repr, found - usual))
        if lacking or extra:
            said = [f"lacks the term {', '.join(lacking)}"] if lacking else []
            said += [f"has the term {', '.join(extra)} beside those of the others"] if extra else []
            raise PoolingError(
                f"imputation {i + 1} {' and '.join(said)}: a level was absent or a column was "
                "dropped there; give the column all its levels with a category dtype and merge "
                "rare levels, or leave the term out"
            )
    return first


def _in_order(item: PoolItem, terms: pd.Index) -> tuple[FloatArray, FloatArray]:
    estimates, cov = item.params.to_numpy(dtype=float), item.covariance
    if cov.shape != (len(terms), len(terms)):
        raise PoolingError(
            f"an analysis of {len(terms)} terms needs a covariance matrix of shape "
            f"{(len(terms), len(terms))}, got {cov.shape}"
        )
    if item.params.index.equals(terms):
        return estimates, cov
    order = item.params.index.get_indexer(terms)
    return estimates[order], cov[np.ix_(order, order)]


def check_estimates(terms: pd.Index, qhat: FloatArray, u: FloatArray) -> None:
    """Refuse estimates and variances that cannot be pooled.

    Parameters
    ----------
    terms : Index, length k
    qhat : ndarray, shape (m, k)
    u : ndarray, shape (m, k, k)

    Raises
    ------
    PoolingError
        If one is not finite, or a variance not positive; it names imputation and term.
    """
    variances = np.diagonal(u, axis1=1, axis2=2)
    bad = ~(np.isfinite(qhat) & np.isfinite(variances) & (variances > 0))
    if bad.any():
        i, j = np.argwhere(bad)[0]
        raise PoolingError(
            f"the term {terms[j]!r} of imputation {i + 1} has estimate {qhat[i, j]:.4g} and "
            f"variance {variances[i, j]:.4g}; both must be finite and the variance positive. A "
            "level without rows or a column that repeats others does this: leave the term out, or "
            "merge levels"
        )
    if not np.isfinite(u).all():
        i = int(np.argwhere(~np.isfinite(u))[0, 0])
        raise PoolingError(f"the covariance matrix of imputation {i + 1} is not finite throughout")


def _common_dfcom(items: Sequence[PoolItem]) -> float:
    known = [item.df for item in items if item.df is not None]
    if len(known) < len(items):
        warn(
            "the analyses do not tell their residual degrees of freedom: they are taken as "
            "infinite, which makes intervals too short in a small sample; give dfcom",
            PoolingWarning,
        )
        return float(np.inf)
    smallest, largest = float(min(known)), float(max(known))
    if largest > smallest:
        warn(
            f"the residual degrees of freedom run from {smallest:g} (imputation "
            f"{known.index(min(known)) + 1}) to {largest:g} (imputation "
            f"{known.index(max(known)) + 1}): the smallest are taken; give dfcom to choose",
            PoolingWarning,
        )
    return smallest


def _common_nobs(items: Sequence[PoolItem]) -> int | None:
    counts = [item.nobs for item in items if item.nobs is not None]
    if len(counts) < len(items):
        return None
    fewest, most = min(counts), max(counts)
    if most > fewest:
        warn(
            f"the analyses use different numbers of rows, from {fewest} (imputation "
            f"{counts.index(fewest) + 1}) to {most} (imputation {counts.index(most) + 1}): the "
            "selection of rows depends on imputed values",
            PoolingWarning,
        )
    return fewest
