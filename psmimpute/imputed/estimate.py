"""One term of pooled results, as a row of a table of sensitivity analyses."""

from __future__ import annotations

from typing import Any

import numpy as np

from psmimpute.exceptions import ImputationError
from psmimpute.pooling.results import PooledResults

INTERCEPTS = {"Intercept", "const", "(Intercept)"}


def chosen_term(pooled: PooledResults, term: str | None) -> str:
    """Return the term to watch.

    Parameters
    ----------
    pooled : PooledResults
        The analysis.
    term : str, optional
        The user's choice; needed if there is more than one besides an intercept.

    Returns
    -------
    str
        Its name.

    Raises
    ------
    ImputationError
        If there is no such term, or none is named.
    """
    names = [str(name) for name in pooled.params.index]
    if term is not None:
        if term not in names:
            raise ImputationError(f"the analysis has no term {term!r}; it has {names}")
        return term
    others = [name for name in names if name not in INTERCEPTS]
    if len(others) != 1:
        raise ImputationError(f"the analysis has the terms {names}: choose one with term=")
    return others[0]


def estimate_of(pooled: PooledResults, term: str, alpha: float) -> dict[str, Any]:
    """Return a term's estimate, interval and conclusion.

    Parameters
    ----------
    pooled : PooledResults
        The analysis.
    term : str
        One of its terms.
    alpha : float
        One minus the level of the interval.

    Returns
    -------
    dict
        Keys ``estimate``, ``std_error``, ``df``, ``conf_low``, ``conf_high``, ``p_value`` and
        ``conclusion``: the sign of the interval, 0 if it holds zero.
    """
    interval = pooled.conf_int(alpha=alpha).loc[[term]].to_numpy(dtype=np.float64)
    low, high = interval[0]
    return {
        "estimate": float(pooled.params[term]),
        "std_error": float(pooled.bse[term]),
        "df": float(pooled.df[term]),
        "conf_low": float(low),
        "conf_high": float(high),
        "p_value": float(pooled.pvalues[term]),
        "conclusion": int(low > 0) - int(high < 0),
    }
