"""Pool fitted models, scalars, or tables of estimates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import PoolingError
from psmimpute.pooling.align import stack_items
from psmimpute.pooling.coefficients import to_pool_item
from psmimpute.pooling.describe import PooledModel, describe_fit, term_labels
from psmimpute.pooling.item import Fitted, PoolItem
from psmimpute.pooling.moments import pool_columns
from psmimpute.pooling.nested import choose_rule
from psmimpute.pooling.results import PooledResults
from psmimpute.pooling.rubin import DfMethod, RubinPool, Rule

# The columns by which mice tells the rows of a table of estimates apart.
_KEYS = ("component", "parameter", "y_level", "y.level", "term", "contrast")


@runtime_checkable
class HasFits(Protocol):
    """Analyses of imputations that know their members, such as ``Analyses``."""

    fits: Sequence[Fitted]
    member_of: npt.NDArray[np.int_] | None


def pool(
    fits: Iterable[Fitted] | HasFits,
    dfcom: float | None = None,
    *,
    rule: Rule = "rubin",
    df: DfMethod = "barnard1999",
    member_of: npt.ArrayLike | None = None,
) -> PooledResults:
    """Pool fitted models over imputations.

    Parameters
    ----------
    fits : iterable of fitted models, or Analyses
        One for each imputation: results of statsmodels, linearmodels, lifelines or pyfixest, or
        anything that :func:`psmimpute.to_pool_item` reads.
    dfcom : float, optional
        Residual degrees of freedom of the analysis had no value been missing. Default: what the
        models say; the smallest, where they differ.
    rule : {"rubin", "nested", "reiter2003"}, default "rubin"
        Rubin's rules, which turn into the nested rules, with a warning, when imputations share a
        member; the nested rules, asked for; or those for partially synthetic data.
    df : {"barnard1999", "rubin1987", "infinite"}, default "barnard1999"
        Degrees of freedom of the reference distributions.
    member_of : array_like, shape (m,), optional
        Member that gave each imputation. Default: that of the Analyses, else none shared.

    Returns
    -------
    PooledResults
        Pooled estimates with their inference.

    Raises
    ------
    PoolingError
        If there are fewer than 2 fits, one cannot be read or trusted, or their terms differ.
    ConfigError
        If an option is none of its possible values.

    Warns
    -----
    ImproperPoolingWarning
        If imputations share a member.
    PoolingWarning
        If degrees of freedom vary or are unknown, or numbers of rows differ.

    References
    ----------
    .. [1] Rubin, D. B. (1987). Multiple Imputation for Nonresponse in Surveys. Wiley. Formulas
       3.1.2 to 3.1.10.
    .. [2] Barnard, J. and Rubin, D. B. (1999). Small-sample degrees of freedom with multiple
       imputation. Biometrika 86(4), 948-955.

    Examples
    --------
    >>> items = [PoolItem(pd.Series({"x": b}), np.array([[0.25]]), df=20) for b in (1.0, 1.5, 1.1)]
    >>> round(pool(items).params["x"], 3)
    np.float64(1.2)
    """
    if isinstance(fits, HasFits):
        member_of = fits.member_of if member_of is None else member_of
        fits = fits.fits
    if not isinstance(fits, Iterable):
        raise PoolingError(
            f"pooling needs a list of fitted models, one for each imputation, got one "
            f"{type(fits).__name__}"
        )
    kept = list(fits)
    items = stack_items(_read(kept), dfcom=dfcom)
    return PooledResults(
        items,
        model=describe_fit(kept[0], items.terms),
        fits=kept,
        rule=choose_rule(rule, member_of),
        df=df,
        member_of=member_of,
    )


def _read(fits: list[Fitted]) -> list[PoolItem]:
    """Read each fit, and say which one has no covariance, where a library only says that."""
    items = []
    for number, fit in enumerate(fits, start=1):
        try:
            items.append(to_pool_item(fit))
        except PoolingError:
            raise
        except AttributeError as error:
            if "cov_params" not in str(error):
                raise
            raise PoolingError(
                f"the fit of imputation {number}, a {type(fit).__name__}, gives no covariance "
                "matrix: estimates that are shrunk by a penalty have none, and are not pooled"
            ) from error
        except (ValueError, np.linalg.LinAlgError) as error:
            raise PoolingError(
                f"the fit of imputation {number} gives no covariance matrix ({error}): it may not "
                "have reached a maximum; simplify the model, or fit it by another method"
            ) from error
    return items


def pool_scalar(
    q: npt.ArrayLike,
    u: npt.ArrayLike,
    dfcom: float = np.inf,
    *,
    rule: Rule = "rubin",
    df: DfMethod = "barnard1999",
    member_of: npt.ArrayLike | None = None,
) -> RubinPool:
    """Pool scalar estimates, one or many at a time, as ``mice::pool.scalar``.

    Parameters
    ----------
    q : array_like, shape (m,) or (m, k)
        Complete-data estimates, the imputations along the first axis.
    u : array_like, shape (m,) or (m, k)
        Their squared standard errors.
    dfcom : float, default inf
        Complete-data residual degrees of freedom: ``n - k`` in the arguments of mice.
    rule : {"rubin", "nested", "reiter2003"}, default "rubin"
        See :func:`pool`.
    df : {"barnard1999", "rubin1987", "infinite"}, default "barnard1999"
        Degrees of freedom of the reference distributions.
    member_of : array_like, shape (m,), optional
        Member that gave each imputation.

    Returns
    -------
    RubinPool
        Of arrays of shape ``(k,)``, or of scalars when `q` has one dimension.

    Raises
    ------
    PoolingError
        If the shapes differ, ``m`` is below 2, an estimate is not finite, or a variance is not
        positive and finite.
    ConfigError
        If an option is none of its possible values.

    Warns
    -----
    ImproperPoolingWarning
        If imputations share a member.

    References
    ----------
    .. [1] Rubin, D. B. (1987). Multiple Imputation for Nonresponse in Surveys. Wiley. Formulas
       3.1.2 to 3.1.10.
    .. [2] Barnard, J. and Rubin, D. B. (1999). Small-sample degrees of freedom with multiple
       imputation. Biometrika 86(4), 948-955.

    Examples
    --------
    >>> pooled = pool_scalar([1.0, 2.0, 3.0], [0.5, 0.5, 0.5], dfcom=20)
    >>> pooled.qbar, round(pooled.t, 3)
    (np.float64(2.0), np.float64(1.833))
    """
    estimates, variances = np.asarray(q, dtype=float), np.asarray(u, dtype=float)
    if estimates.ndim not in (1, 2) or estimates.shape != variances.shape:
        raise PoolingError(
            f"q and u must share a shape (m,) or (m, k); got {estimates.shape} and "
            f"{variances.shape}"
        )
    if estimates.ndim == 2:
        columns = estimates, variances
    else:
        columns = estimates[:, None], variances[:, None]
    chosen = choose_rule(rule, member_of)
    pooled = pool_columns(*columns, dfcom=dfcom, df=df, rule=chosen, member_of=member_of)
    if estimates.ndim == 2:
        return pooled
    names = ("qbar", "ubar", "b", "t", "riv", "lambda_", "df", "fmi")
    return replace(pooled, **{name: getattr(pooled, name)[0] for name in names})


def pool_table(
    frame: pd.DataFrame,
    dfcom: float | None = None,
    *,
    rule: Rule = "rubin",
    df: DfMethod = "barnard1999",
    member_of: npt.ArrayLike | None = None,
) -> PooledResults:
    """Pool a table of estimates and standard errors, as ``mice::pool.table``.

    Parameters
    ----------
    frame : DataFrame
        Rows are terms within imputations. Columns: ``term`` (and ``contrast``, ``y_level``,
        ``parameter``, ``component`` where a term has several rows), ``estimate``, ``std_error``,
        and optionally ``df`` (complete-data degrees of freedom) and ``.imp``. R's spellings with a
        dot are understood. Without ``.imp`` the i-th row of a term belongs to imputation i.
    dfcom : float, optional
        Complete-data residual degrees of freedom. Default: the column ``df``, else infinity.
    rule, df, member_of
        See :func:`pool`.

    Returns
    -------
    PooledResults
        Without covariances between terms, of which a table says nothing: joint tests take the
        terms as independent within imputations.

    Raises
    ------
    PoolingError
        If a column is missing, or terms differ between imputations.

    Warns
    -----
    ImproperPoolingWarning
        If imputations share a member.
    PoolingWarning
        If degrees of freedom vary.

    Examples
    --------
    >>> import psmimpute as psm
    >>> table = pd.DataFrame({"term": "x", "estimate": [1.0, 2, 3], "std_error": [0.5, 0.6, 0.5]})
    >>> pooled = psm.pool_table(table, dfcom=20)
    >>> round(pooled.params["x"].item(), 4), round(pooled.bse["x"].item(), 4)
    (2.0, 1.2728)
    """
    table = frame.rename(columns={"std.error": "std_error", "std_err": "std_error", "imp": ".imp"})
    keys = [name for name in _KEYS if name in table.columns]
    lacking = [name for name in ("estimate", "std_error") if name not in table.columns]
    if lacking or not keys:
        raise PoolingError(
            f"the table lacks the column {', '.join(lacking or ['term'])}: it needs term, estimate "
            f"and std_error, and has {', '.join(map(str, frame.columns))}"
        )
    terms = pd.Index(
        table[keys].astype(str).agg(", ".join, axis=1) if len(keys) > 1 else table[keys[0]]
    )
    imputation = (
        table[".imp"] if ".imp" in table.columns else pd.Series(terms).groupby(terms).cumcount()
    )
    if dfcom is None and "df" not in table.columns:
        dfcom = np.inf
    items = [
        PoolItem(
            params=pd.Series(part["estimate"].to_numpy(dtype=float), index=terms[rows]),
            cov=np.diag(part["std_error"].to_numpy(dtype=float) ** 2),
            df=None if "df" not in part.columns else float(part["df"].min()),
        )
        for rows in _rows_of(imputation)
        for part in [table.iloc[rows]]
    ]
    stacked = stack_items(items, dfcom=dfcom)
    model = PooledModel("table", "estimate", term_labels(stacked.terms))
    return PooledResults(
        stacked, model=model, rule=choose_rule(rule, member_of), df=df, member_of=member_of
    )


def _rows_of(imputation: pd.Series) -> list[npt.NDArray[np.int_]]:
    labels = imputation.to_numpy()
    return [np.flatnonzero(labels == label) for label in pd.unique(labels)]
