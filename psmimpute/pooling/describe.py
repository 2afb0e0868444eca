"""What a pooled result remembers of the model that was fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Never

import pandas as pd

from psmimpute.pooling.item import Fitted, number_or_none


@dataclass(frozen=True)
class PooledModel:
    """The model behind pooled results, as far as tables and tests need it.

    Attributes
    ----------
    name : str
        Class of the model, such as ``"OLS"``.
    endog_names : str
        Name of the outcome.
    exog_names : list of str
        Names of the terms, as constraints write them.
    formula : str or None
        Formula of the model.
    cov_type : str
        Covariance of the complete-data fits, such as ``"nonrobust"``.
    df_model : float or None
        Number of regressors without the constant.
    term_columns : mapping of str to tuple of int
        Positions of the coefficients of each term of the formula.
    """

    name: str
    endog_names: str
    exog_names: list[str]
    formula: str | None = None
    cov_type: str = "nonrobust"
    df_model: float | None = None
    term_columns: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def data(self) -> PooledModel:
        """The model itself: the place where statsmodels keeps names."""
        return self

    @property
    def endog(self) -> Never:
        """Not kept: what of statsmodels needs the data of a fit is refused by its name."""
        raise AttributeError(
            "pooled results hold no data: tests of whole terms are wald_test_terms() and "
            "compare(), what needs the data is asked of the single fits"
        )

    @property
    def param_names(self) -> list[str]:
        """Names of the terms."""
        return self.exog_names

    @property
    def cov_names(self) -> list[str]:
        """Names of the terms."""
        return self.exog_names


def describe_fit(fit: Fitted, terms: pd.Index) -> PooledModel:
    """Remember names and terms of a fitted model.

    Parameters
    ----------
    fit : object
        A fitted model of any library.
    terms : Index
        Its terms, in pooling order.

    Returns
    -------
    PooledModel
    """
    model = getattr(fit, "model", None)
    inner = getattr(fit, "_results", fit)
    formula = _first_of(model, "formula") or _first_of(fit, "_fml", "formula")
    endog = _first_of(model, "endog_names") or _first_of(fit, "_depvar", "duration_col")
    return PooledModel(
        name=type(fit if model is None or isinstance(model, str) else model).__name__,
        endog_names=str(endog or (formula.split("~")[0].strip() if formula else "y")),
        exog_names=term_labels(terms),
        formula=formula,
        cov_type=str(getattr(inner, "cov_type", None) or "nonrobust"),
        df_model=number_or_none(getattr(inner, "df_model", None)),
        term_columns=_term_columns(model, terms),
    )


def term_labels(terms: pd.Index) -> list[str]:
    """Write the terms as constraints name them.

    Parameters
    ----------
    terms : Index
        Names, possibly of two levels as in a multinomial logit.

    Returns
    -------
    list of str
        Pairs of level and regressor become ``"y1_x"``, as in statsmodels; other pairs are joined
        by an underscore.
    """
    if not isinstance(terms, pd.MultiIndex):
        return [str(term) for term in terms]
    if "param" in terms.names:
        return ["_".join(str(part).rstrip("_") for part in term) for term in terms]
    return ["y" + "_".join(map(str, term)) for term in terms]


def _first_of(owner: object, *names: str) -> str | None:
    for name in names:
        value = getattr(owner, name, None)
        if isinstance(value, str):
            return value
    return None


def _term_columns(model: Fitted, terms: pd.Index) -> dict[str, tuple[int, ...]]:
    """Find the coefficients of each term of the formula, in every equation of the model."""
    labels = term_labels(terms)
    regressors = [term[-1] if isinstance(term, tuple) else term for term in terms]
    data = getattr(model, "data", None)
    spec = getattr(data, "model_spec", None) or getattr(data, "design_info", None)
    slices = getattr(spec, "term_name_slices", None)  # patsy
    if slices is None:
        slices = getattr(spec, "term_slices", None) or {}  # formulaic
    names = list(getattr(spec, "column_names", ()))
    columns: dict[str, tuple[int, ...]] = {}
    for term, where in slices.items():
        members = set(names[where])
        found = tuple(j for j, regressor in enumerate(regressors) if regressor in members)
        if found:
            columns["Intercept" if str(term) == "1" else str(term)] = found  # formulaic says 1
    covered = {j for positions in columns.values() for j in positions}
    # Auxiliary parameters (thresholds, dispersion) are no columns of the design.
    return columns | {label: (j,) for j, label in enumerate(labels) if j not in covered}
