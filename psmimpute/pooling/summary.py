"""The printed table of pooled results, built from the parts that statsmodels prints with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from statsmodels.iolib.summary import Summary
from statsmodels.iolib.table import SimpleTable
from statsmodels.iolib.tableformatting import fmt_2, fmt_params

if TYPE_CHECKING:
    from psmimpute.pooling.estimates import PooledEstimates

# As statsmodels prints its own head, whose preset has a mark in place of a rule.
_FACTS = {**fmt_2, "table_dec_above": "=", "table_dec_below": "="}


def summarize(
    results: PooledEstimates, *, alpha: float, title: str | None, exponentiate: bool = False
) -> Summary:
    """Lay pooled results out in three tables: the analysis, the estimates, what was missing.

    Parameters
    ----------
    results : PooledEstimates
        Pooled results.
    alpha : float
        One less the coverage of the intervals.
    title : str, optional
        Title in place of the usual one.
    exponentiate : bool, default False
        Whether ``exp`` of estimates and limits is shown.

    Returns
    -------
    Summary
        Of statsmodels, with ``as_text``, ``as_html``, ``as_latex`` and ``as_csv``.
    """
    summary = Summary()
    summary.tables = [
        _head(results, title or f"Pooled {results.model.name} Results"),
        _estimates(results, alpha, exponentiate=exponentiate),
        _missing(results),
    ]
    worst = float(np.nanmax(results.fmi.to_numpy())) if results.rule != "reiter2003" else np.nan
    notes = [f"Pooled over {results.m} imputations; t tests with the degrees of freedom shown."]
    if exponentiate:
        notes.append("Standard errors and t are those of the coefficients, not of exp(coef).")
    if np.isfinite(worst):
        notes.append(
            f"The largest fraction of missing information is {worst:.2f}; standard errors within "
            f"5 % of replication would take m = {results.m_needed()}."
        )
    summary.add_extra_txt(notes)
    return summary


def _head(results: PooledEstimates, title: str) -> SimpleTable:
    left = [
        ("Dep. Variable:", results.model.endog_names),
        ("Model:", results.model.name),
        ("Pooling:", results.method),
        ("Covariance Type:", results.cov_type),
    ]
    right = [
        ("Imputations:", f"{results.m}"),
        ("No. Observations:", "" if results.nobs is None else f"{results.nobs}"),
        ("Df Complete Data:", f"{results.dfcom:g}"),
        ("Largest FMI:", f"{float(results.fmi.max()):.3f}"),
    ]
    rows = [[a, b, f"  {c}", d] for (a, b), (c, d) in zip(left, right, strict=True)]
    return SimpleTable(
        [row[1:] for row in rows], stubs=[row[0] for row in rows], title=title, txt_fmt=_FACTS
    )


def _estimates(results: PooledEstimates, alpha: float, *, exponentiate: bool) -> SimpleTable:
    params = results.params.to_numpy(dtype=float)
    limits = results.conf_int(alpha).to_numpy(dtype=float)
    if exponentiate:
        params, limits = np.exp(params), np.exp(limits)
    columns = [params, results.bse.to_numpy(), results.tvalues.to_numpy()]
    rows = [
        [
            *(f"{value:.4f}" for value in values),
            f"{p_value:.3f}",
            f"{low:.3f}",
            f"{high:.3f}",
        ]
        for *values, p_value, (low, high) in zip(*columns, results.pvalues, limits, strict=True)
    ]
    name = "exp(coef)" if exponentiate else "coef"
    header = [name, "std err", "t", "P>|t|", f"[{alpha / 2:g}", f"{1 - alpha / 2:g}]"]
    return SimpleTable(rows, header, results.model.exog_names, txt_fmt=fmt_params)


def _missing(results: PooledEstimates) -> SimpleTable:
    columns = [results.df, results.fmi, results.riv, results.lambda_, results.mcse()]
    rows = [
        [f"{df:.1f}", *(f"{value:.3f}" for value in shares), f"{error:.2g}"]
        for df, *shares, error in zip(*columns, strict=True)
    ]
    header = ["df", "FMI", "RIV", "lambda", "MC error"]
    return SimpleTable(rows, header, results.model.exog_names, txt_fmt=fmt_params)
