"""Pooled estimates and what is said about them: intervals, missing information, tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from psmimpute.exceptions import PoolingError
from psmimpute.pooling.align import StackedItems
from psmimpute.pooling.describe import PooledModel
from psmimpute.pooling.missing_information import fmi_interval, imputations_needed, t_quantile
from psmimpute.pooling.moments import pooled_moments, scalar_pool
from psmimpute.pooling.rubin import DfMethod, FloatArray, Rule


class PooledEstimates:
    """Estimates of ``k`` terms pooled over ``m`` imputations.

    Names are those of statsmodels and of ``mice::mipo``. Every Series has the terms as its index.

    Parameters
    ----------
    items : StackedItems
        What the analyses found.
    model : PooledModel
        What was fitted.
    rule : {"rubin", "nested", "reiter2003"}
        Which rules combine the variances.
    df : {"barnard1999", "rubin1987", "infinite"}
        Degrees of freedom of the reference distributions.
    member_of : array_like, shape (m,), optional
        Member that gave each imputation.

    Attributes
    ----------
    m : int
        Number of imputations.
    dfcom : float
        Complete-data residual degrees of freedom.
    nobs : int or None
        Number of rows analysed.
    model : PooledModel
        Names, formula and class of the model.
    rule, df_method : str
        The rules and the degrees of freedom that were asked for.
    use_t : bool
        True: tests and intervals use t distributions.
    """

    use_t = True

    def __init__(
        self,
        items: StackedItems,
        *,
        model: PooledModel,
        rule: Rule = "rubin",
        df: DfMethod = "barnard1999",
        member_of: npt.ArrayLike | None = None,
    ) -> None:
        self._items = items
        self._moments = pooled_moments(items.qhat, items.u, rule=rule, member_of=member_of)
        self._pooled = scalar_pool(self._moments, dfcom=items.dfcom, df=df)
        self._member_of = None if member_of is None else np.asarray(member_of)
        self.m = self._moments.m
        self.dfcom = items.dfcom
        self.nobs = items.nobs
        self.model = model
        self.rule: Rule = rule
        self.df_method: DfMethod = df

    def _series(self, values: FloatArray) -> pd.Series:
        return pd.Series(values, index=self._items.terms)

    def _frame(self, matrix: FloatArray) -> pd.DataFrame:
        return pd.DataFrame(matrix, index=self._items.terms, columns=self._items.terms)

    @property
    def params(self) -> pd.Series:
        """Pooled estimates: their mean over the imputations."""
        return self._series(self._pooled.qbar)

    @property
    def bse(self) -> pd.Series:
        """Standard errors, the square roots of the total variances."""
        return self._series(np.sqrt(self._pooled.t))

    @property
    def tvalues(self) -> pd.Series:
        """Estimates divided by their standard errors."""
        return self._series(self._pooled.qbar / np.sqrt(self._pooled.t))

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values, each from the t distribution with the term's own `df`."""
        tails = stats.t.sf(np.abs(self.tvalues.to_numpy()), self._pooled.df)
        return self._series(2 * np.asarray(tails))

    @property
    def df(self) -> pd.Series:
        """Degrees of freedom of each term, by Barnard and Rubin unless asked otherwise."""
        return self._series(self._pooled.df)

    @property
    def df_resid(self) -> float:
        """Complete-data residual degrees of freedom, `dfcom`; see `df` for those of the tests."""
        return self.dfcom

    @property
    def df_resid_inference(self) -> float:
        """`dfcom`, under the name that statsmodels gives it for clustered covariances."""
        return self.dfcom

    @property
    def df_model(self) -> float:
        """Number of regressors without the constant."""
        known = self.model.df_model
        return float(len(self._items.terms) if known is None else known)

    @property
    def cov_type(self) -> str:
        """Kind of covariance of the complete-data fits."""
        return self.model.cov_type

    @property
    def method(self) -> str:
        """How the estimates were combined."""
        rules = {"rubin": "Rubin (1987)", "nested": "Nested imputation", "reiter2003": "Synthetic"}
        return f"{rules[self.rule]}, df {self.df_method}"

    @property
    def converged(self) -> bool:
        """True: fits that did not converge are not pooled."""
        return True

    @property
    def mle_retvals(self) -> dict[str, bool]:
        """Convergence, where maximum likelihood models of statsmodels keep it."""
        return {"converged": True}

    @property
    def qhat(self) -> pd.DataFrame:
        """Complete-data estimates, one row for each imputation, counted from 1."""
        rows = pd.RangeIndex(1, self.m + 1, name=".imp")
        return pd.DataFrame(self._items.qhat, index=rows, columns=self._items.terms)

    @property
    def ubar(self) -> pd.Series:
        """Mean within-imputation variances."""
        return self._series(self._pooled.ubar)

    @property
    def b(self) -> pd.Series:
        """Between-imputation variances."""
        return self._series(self._pooled.b)

    @property
    def t(self) -> pd.Series:
        """Total variances; their full matrix is :meth:`cov_params`."""
        return self._series(self._pooled.t)

    @property
    def ubar_cov(self) -> pd.DataFrame:
        """Mean within-imputation covariance matrix."""
        return self._frame(self._moments.ubar)

    @property
    def b_cov(self) -> pd.DataFrame:
        """Between-imputation covariance matrix."""
        return self._frame((self._moments.total - self._moments.ubar) / (1 + 1 / self.m))

    @property
    def riv(self) -> pd.Series:
        """Relative increases in variance due to nonresponse."""
        return self._series(self._pooled.riv)

    @property
    def lambda_(self) -> pd.Series:
        """Shares of the total variances that are due to missingness."""
        return self._series(self._pooled.lambda_)

    @property
    def fmi(self) -> pd.Series:
        """Fractions of missing information."""
        return self._series(self._pooled.fmi)

    @property
    def normalized_cov_params(self) -> pd.DataFrame:
        """Total covariance matrix; pooled results have no residual scale to divide by."""
        return self._frame(self._moments.total)

    @property
    def llf_mean(self) -> float:
        """Mean over the imputations of the maximum log-likelihood, NaN when there is none.

        It describes the fits. Models are compared by :meth:`compare`, not by its differences.
        """
        return float(np.nan) if self._items.llf is None else float(self._items.llf.mean())

    @property
    def llf(self) -> float:
        """The same as `llf_mean`, under the name of statsmodels."""
        return self.llf_mean

    @property
    def aic(self) -> float:
        """Not defined for pooled results: raises."""
        raise _NoPooledCriterionError("aic")

    @property
    def bic(self) -> float:
        """Not defined for pooled results: raises."""
        raise _NoPooledCriterionError("bic")

    @property
    def rsquared(self) -> float:
        """Pooled by :func:`psmimpute.pool_r_squared`: raises."""
        raise _PooledElsewhereError("rsquared", "psm.pool_r_squared(fits)")

    @property
    def rsquared_adj(self) -> float:
        """Pooled by :func:`psmimpute.pool_r_squared`: raises."""
        raise _PooledElsewhereError("rsquared_adj", "psm.pool_r_squared(fits)")

    @property
    def fvalue(self) -> float:
        """Pooled by D1: raises."""
        raise _PooledElsewhereError("fvalue", "compare(), which tests all terms")

    def conf_int(self, alpha: float = 0.05, cols: Sequence[int] | None = None) -> pd.DataFrame:
        """Confidence intervals, each from the t distribution with the term's own `df`.

        Parameters
        ----------
        alpha : float, default 0.05
            One less the coverage.
        cols : sequence of int, optional
            Positions of the terms to show. Default: all.

        Returns
        -------
        DataFrame
            Columns 0 and 1: lower and upper limits.

        Raises
        ------
        ConfigError
            If `alpha` is not between 0 and 1.

        Examples
        --------
        >>> pooled.conf_int().round(2)
                          0      1
        Intercept      5.04  39.05
        age[T.40-59]  -7.79   0.94
        age[T.60-99] -10.41   2.49
        chl           -0.04   0.11
        """
        half = t_quantile(alpha, self._pooled.df) * np.sqrt(self._pooled.t)
        limits = np.column_stack([self._pooled.qbar - half, self._pooled.qbar + half])
        table = pd.DataFrame(limits, index=self._items.terms, columns=[0, 1])
        return table if cols is None else table.iloc[list(cols)]

    def fmi_ci(self, alpha: float = 0.05) -> pd.DataFrame:
        """Confidence intervals of the fractions of missing information.

        Parameters
        ----------
        alpha : float, default 0.05
            One less the coverage.

        Returns
        -------
        DataFrame
            Columns 0 and 1; see :func:`psmimpute.pooling.missing_information.fmi_interval`.

        Raises
        ------
        ConfigError
            If `alpha` is not between 0 and 1.

        References
        ----------
        .. [1] von Hippel, P. T. (2020). How many imputations do you need? A two-stage calculation
           using a quadratic rule. Sociological Methods & Research 49(3), 699-718.

        Examples
        --------
        >>> pooled.fmi_ci().round(2)
                         0     1
        Intercept     0.31  0.92
        age[T.40-59]  0.05  0.54
        age[T.60-99]  0.19  0.85
        chl           0.26  0.90
        """
        limits = fmi_interval(self._pooled.fmi, m=self.m, alpha=alpha)
        return pd.DataFrame(limits, index=self._items.terms, columns=[0, 1])

    def m_needed(self, cv: float = 0.05, *, alpha: float = 0.05) -> int:
        """Find how many imputations would make the standard errors replicable.

        Parameters
        ----------
        cv : float, default 0.05
            Coefficient of variation of a standard error, were the data imputed anew.
        alpha : float, default 0.05
            The fraction of missing information is taken at the upper end of its interval with
            coverage ``1 - alpha``.

        Returns
        -------
        int
            For the term that needs most; see
            :func:`psmimpute.pooling.missing_information.imputations_needed`.

        Raises
        ------
        ConfigError
            If `cv` is not positive or `alpha` is not between 0 and 1.

        References
        ----------
        .. [1] von Hippel, P. T. (2020). How many imputations do you need? A two-stage calculation
           using a quadratic rule. Sociological Methods & Research 49(3), 699-718.

        Examples
        --------
        >>> pooled.m_needed(cv=0.1)
        44
        """
        return int(imputations_needed(self._pooled.fmi, m=self.m, cv=cv, alpha=alpha).max())

    def mcse(self) -> pd.Series:
        """Monte Carlo errors of the estimates, from finitely many imputations.

        Returns
        -------
        Series
            Standard deviation of each estimate, were the same data imputed anew ``m`` times:
            ``sqrt(b / m)``, or from the members' means when imputations are nested.

        References
        ----------
        .. [1] White, I. R., Royston, P. and Wood, A. M. (2011). Multiple imputation using chained
           equations. Statistics in Medicine 30(4), 377-399. Section 7.

        Examples
        --------
        >>> pooled.mcse().round(3).to_dict()
        {'Intercept': 2.203, 'age[T.40-59]': 0.317, 'age[T.60-99]': 0.833, 'chl': 0.01}
        """
        component = self._moments.components[0]
        replicates = component.df + 1
        return self._series(np.sqrt(np.diag(component.cov) / replicates))

    def to_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """All that is known of each term, with the names of mice in Python spelling.

        Parameters
        ----------
        alpha : float, default 0.05
            One less the coverage of the intervals.

        Returns
        -------
        DataFrame
            One row for each term: ``estimate``, ``std_error``, ``statistic``, ``df``, ``p_value``,
            ``conf_low``, ``conf_high``, ``riv``, ``lambda_``, ``fmi``, ``ubar``, ``b``, ``t``,
            ``dfcom``, ``m``.

        Examples
        --------
        >>> pooled.to_frame()[["estimate", "std_error", "df", "fmi"]].round(3)
                      estimate  std_error      df    fmi
        Intercept       22.049      5.893   3.646  0.692
        age[T.40-59]    -3.423      2.060  16.153  0.189
        age[T.60-99]    -3.963      2.644   6.071  0.530
        chl              0.035      0.029   4.386  0.634
        """
        limits = self.conf_int(alpha).to_numpy()
        columns = {
            "estimate": self._pooled.qbar,
            "std_error": np.sqrt(self._pooled.t),
            "statistic": self.tvalues.to_numpy(),
            "df": self._pooled.df,
            "p_value": self.pvalues.to_numpy(),
            "conf_low": limits[:, 0],
            "conf_high": limits[:, 1],
            "riv": self._pooled.riv,
            "lambda_": self._pooled.lambda_,
            "fmi": self._pooled.fmi,
            "ubar": self._pooled.ubar,
            "b": self._pooled.b,
            "t": self._pooled.t,
            "dfcom": self.dfcom,
            "m": self.m,
        }
        return pd.DataFrame(columns, index=self._items.terms)

    def tidy(self, *, alpha: float = 0.05, exponentiate: bool = False) -> pd.DataFrame:
        """Table of tests with the term as a column, as ``summary(pool(fit))`` of mice.

        Parameters
        ----------
        alpha : float, default 0.05
            One less the coverage of the intervals.
        exponentiate : bool, default False
            Whether to show ``exp`` of estimates and limits: odds, rate or hazard ratios. The
            standard error stays on the scale of the coefficients, as in mice.

        Returns
        -------
        DataFrame
            Columns ``term``, ``estimate``, ``std_error``, ``statistic``, ``df``, ``p_value``,
            ``conf_low``, ``conf_high``.

        Examples
        --------
        >>> pooled.tidy()[["term", "estimate", "std_error", "p_value"]].round(3)
                   term  estimate  std_error  p_value
        0     Intercept    22.049      5.893    0.024
        1  age[T.40-59]    -3.423      2.060    0.116
        2  age[T.60-99]    -3.963      2.644    0.184
        3           chl     0.035      0.029    0.301
        """
        names = ["estimate", "std_error", "statistic", "df", "p_value", "conf_low", "conf_high"]
        table = self.to_frame(alpha)[names].reset_index(drop=True)
        table.insert(0, "term", self.model.exog_names)
        if exponentiate:
            shown = ["estimate", "conf_low", "conf_high"]
            table[shown] = np.exp(table[shown])
        return table

    def glance(self) -> pd.DataFrame:
        """Describe the whole analysis in one row.

        Returns
        -------
        DataFrame
            Columns ``model``, ``m``, ``nobs``, ``dfcom``, ``df_model``, ``max_fmi``, ``m_needed``
            and ``llf_mean``.

        Examples
        --------
        >>> pooled.glance()[["model", "m", "nobs", "dfcom"]]
          model  m  nobs  dfcom
        0   OLS  3    25   21.0
        """
        known = np.isfinite(self._pooled.fmi).all()
        row = {
            "model": self.model.name,
            "m": self.m,
            "nobs": self.nobs,
            "dfcom": self.dfcom,
            "df_model": self.df_model,
            "max_fmi": self._pooled.fmi.max(),
            "m_needed": self.m_needed() if known else None,
            "llf_mean": self.llf_mean,
        }
        return pd.DataFrame([row])


class _NotPooledHereError(PoolingError, AttributeError):
    """An attribute error too, so that tables of statsmodels leave the cell empty."""


class _PooledElsewhereError(_NotPooledHereError):
    def __init__(self, name: str, where: str) -> None:
        super().__init__(f"{name} is no mean of what the analyses have: it is pooled by {where}")


class _NoPooledCriterionError(_NotPooledHereError):
    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is not defined for pooled results: the analyses have {name} of their own, and "
            "their mean ranks no models; compare nested models with compare(..., method='D3') or "
            "'D4'"
        )
