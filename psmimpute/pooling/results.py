"""Pooled results that behave as results of statsmodels do."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from statsmodels.iolib.summary import Summary
from statsmodels.stats.contrast import ContrastResults, WaldTestResults

from psmimpute.exceptions import PoolingError
from psmimpute.pooling.align import StackedItems
from psmimpute.pooling.compare import Comparison, Method, compare_fits
from psmimpute.pooling.constraints import Constraints, linear_constraints
from psmimpute.pooling.contrasts import (
    contrast_results,
    delta_method,
    joint_contrast,
    t_contrast,
    terms_table,
)
from psmimpute.pooling.describe import PooledModel
from psmimpute.pooling.estimates import PooledEstimates
from psmimpute.pooling.item import Fitted
from psmimpute.pooling.joint import JointTest
from psmimpute.pooling.predict import PooledPrediction, average_predictions, pool_predictions
from psmimpute.pooling.rubin import DfMethod, FloatArray, Rule
from psmimpute.pooling.summary import summarize


class PooledResults(PooledEstimates):
    """Results of one analysis pooled over ``m`` imputations.

    Made by :func:`psmimpute.pooling.pool.pool`. It has the names, signatures and return types of
    the results of statsmodels, and the quantities of ``mice::mipo``.

    Parameters
    ----------
    items : StackedItems
        What the analyses found.
    model : PooledModel
        What was fitted.
    fits : sequence of fitted models, optional
        The analyses themselves, which predictions and likelihood ratios need.
    rule : {"rubin", "nested", "reiter2003"}
        Which rules combine the variances.
    df : {"barnard1999", "rubin1987", "infinite"}
        Degrees of freedom of the reference distributions.
    member_of : array_like, shape (m,), optional
        Member that gave each imputation.

    Examples
    --------
    >>> from psmimpute.pooling.pool import pool_table
    >>> table = pd.DataFrame({"term": "x", "estimate": [1.0, 2, 3], "std_error": [0.5, 0.6, 0.5]})
    >>> pooled = pool_table(table, dfcom=20)
    >>> pooled.params["x"], round(pooled.bse["x"], 4)
    (np.float64(2.0), np.float64(1.2728))
    """

    def __init__(
        self,
        items: StackedItems,
        *,
        model: PooledModel,
        fits: Sequence[Fitted] | None = None,
        rule: Rule = "rubin",
        df: DfMethod = "barnard1999",
        member_of: npt.ArrayLike | None = None,
    ) -> None:
        super().__init__(items, model=model, rule=rule, df=df, member_of=member_of)
        self._fits: list[Fitted] | None = None if fits is None else list(fits)
        self._pickled_fits: bytes | None = None

    @property
    def fits(self) -> list[Fitted]:
        """The analyses, one for each imputation."""
        if self._fits is None and self._pickled_fits is not None:
            self._fits = pickle.loads(self._pickled_fits)
        if self._fits is None:
            raise PoolingError(
                "the analyses were not kept (remove_data() dropped them, or they could not be "
                "pickled): pool them again"
            )
        return self._fits

    def cov_params(
        self,
        r_matrix: npt.ArrayLike | None = None,
        column: npt.ArrayLike | None = None,
        scale: float | None = None,
        cov_p: npt.ArrayLike | None = None,
        other: npt.ArrayLike | None = None,
    ) -> pd.DataFrame | FloatArray:
        """Total covariance matrix of the estimates, or of linear combinations of them.

        Parameters
        ----------
        r_matrix : array_like, shape (k,) or (q, k), optional
            Combinations in rows.
        column : int or array_like of int, optional
            Positions of the estimates to keep.
        scale : float, optional
            Factor of the matrix. Default 1: pooled results have no residual scale.
        cov_p : array_like, shape (k, k), optional
            Another matrix to use in place of the pooled one.
        other : array_like, shape (p, k), optional
            Combinations in columns; default `r_matrix`.

        Returns
        -------
        DataFrame or ndarray
            A frame without `r_matrix` and `column`, else an array, as statsmodels gives.

        Raises
        ------
        PoolingError
            If `column` is given with `r_matrix` or `other`, or `other` without `r_matrix`.
        """
        if column is not None and (r_matrix is not None or other is not None):
            raise PoolingError("give column by itself, without r_matrix and other")
        if other is not None and r_matrix is None:
            raise PoolingError("give other together with r_matrix")
        matrix = self._moments.total if cov_p is None else np.asarray(cov_p, dtype=float)
        matrix = matrix * (1.0 if scale is None else scale)
        if column is not None:
            chosen = np.asarray(column)
            return np.asarray(
                matrix[chosen, chosen] if chosen.ndim == 0 else matrix[np.ix_(chosen, chosen)]
            )
        if r_matrix is None:
            return self._frame(matrix)
        left = np.asarray(r_matrix, dtype=float)
        if left.ndim == 0:
            raise PoolingError("r_matrix must have at least one dimension")
        right = left if other is None else np.asarray(other, dtype=float)
        return np.asarray(left @ matrix @ right.T)

    def t_test(self, r_matrix: Constraints, *, use_t: bool = True) -> ContrastResults:
        """Test linear combinations of the coefficients one by one.

        Parameters
        ----------
        r_matrix : str, list of str, mapping, array or pair of arrays
            See :func:`psmimpute.pooling.constraints.linear_constraints`.
        use_t : bool, default True
            Whether to refer to t rather than to the normal distribution.

        Returns
        -------
        ContrastResults
            Of statsmodels. Each combination has degrees of freedom of its own, ``df_denom``, from
            its own within- and between-imputation variance.

        Raises
        ------
        PoolingError
            If a name is unknown or an expression is not linear.
        """
        matrix, values = linear_constraints(r_matrix, self.model.exog_names)
        return t_contrast(
            self._moments, matrix, values, dfcom=self.dfcom, df=self.df_method, use_t=use_t
        )

    def _joint(self, r_matrix: Constraints, method: Literal["D1", "D2"] = "D1") -> JointTest:
        matrix, values = linear_constraints(r_matrix, self.model.exog_names)
        return self._test_zero(
            self._items.qhat @ matrix.T - values, matrix @ self._items.u @ matrix.T, method
        )

    def _test_zero(self, qhat: FloatArray, u: FloatArray, method: Literal["D1", "D2"]) -> JointTest:
        dfcom = self.dfcom if self.df_method == "barnard1999" else np.inf
        return joint_contrast(
            qhat, u, rule=self.rule, member_of=self._member_of, dfcom=dfcom, method=method
        )

    def wald_test(
        self,
        r_matrix: Constraints,
        *,
        method: Literal["D1", "D2"] = "D1",
        use_f: bool = True,
        scalar: bool = True,
    ) -> ContrastResults:
        """Test several linear constraints at once.

        Parameters
        ----------
        r_matrix : str, list of str, mapping, array or pair of arrays
            See :func:`psmimpute.pooling.constraints.linear_constraints`.
        method : {"D1", "D2"}, default "D1"
            From pooled covariance matrices, or from each imputation's Wald statistic.
        use_f : bool, default True
            F test, or chi-square.
        scalar : bool, default True
            Whether the statistic is a float.

        Returns
        -------
        ContrastResults
            Of statsmodels, with the relative increase in variance as ``riv``. The degrees of
            freedom are those of Li, Raghunathan and Rubin or of Reiter, so that with one
            constraint the statistic is the square of :meth:`t_test`'s, and the p-value is close to
            it but not the same.

        Raises
        ------
        PoolingError
            If a name is unknown, an expression is not linear, or constraints repeat each other.
        """
        return contrast_results(self._joint(r_matrix, method), use_f=use_f, scalar=scalar)

    def f_test(self, r_matrix: Constraints) -> ContrastResults:
        """Test several linear constraints at once by D1; see :meth:`wald_test`.

        Parameters
        ----------
        r_matrix : str, list of str, mapping, array or pair of arrays
            See :func:`psmimpute.pooling.constraints.linear_constraints`.

        Returns
        -------
        ContrastResults
        """
        return self.wald_test(r_matrix)

    def wald_test_terms(
        self, *, skip_single: bool = False, combine_terms: Sequence[str] = ()
    ) -> WaldTestResults:
        """Test each term of the formula, all its coefficients at once.

        Parameters
        ----------
        skip_single : bool, default False
            Whether to leave out terms of one coefficient.
        combine_terms : sequence of str, optional
            For each string, one more test of all terms whose names contain it.

        Returns
        -------
        WaldTestResults
            Of statsmodels, with ``table`` and ``summary_frame()``; tests by D1.
        """
        terms = [
            (name, columns)
            for name, columns in self.model.term_columns.items()
            if not (skip_single and len(columns) == 1)
        ]
        for part in combine_terms:
            groups = [c for name, c in self.model.term_columns.items() if part in name]
            terms.append((part, tuple(j for columns in groups for j in columns)))
        identity = np.eye(len(self._items.terms))
        tests = [self._joint(identity[list(columns)]) for _name, columns in terms]
        return terms_table([name for name, _columns in terms], tests)

    def test_constraints(
        self,
        function: Callable[[pd.Series], npt.ArrayLike],
        *,
        method: Literal["D1", "D2"] = "D1",
    ) -> JointTest:
        """Test that smooth functions of the coefficients are 0, by the delta method.

        Parameters
        ----------
        function : callable
            From the Series of coefficients to a value or several, such as
            ``lambda b: b["x"] * b["z"] - 1``.
        method : {"D1", "D2"}, default "D1"
            From pooled covariance matrices, or from each imputation's Wald statistic.

        Returns
        -------
        JointTest

        Raises
        ------
        PoolingError
            If the function or its derivatives are not finite, or the values repeat each other.
        """
        items = self._items
        return self._test_zero(*delta_method(function, items.terms, items.qhat, items.u), method)

    def compare(self, null: PooledResults | None = None, *, method: Method = "D1") -> JointTest:
        """Compare with a smaller model, fitted to the same imputations.

        Parameters
        ----------
        null : PooledResults, optional
            The smaller model. None tests all terms but the intercept.
        method : {"D1", "D2", "D3", "D4"}, default "D1"
            The test; see :meth:`psmimpute.imputed.analyses.Analyses.compare` for its options.

        Returns
        -------
        JointTest

        Raises
        ------
        PoolingError
            If the models are not nested, or the analyses were not kept.
        """
        comparison = Comparison(
            method=method, dfcom=self.dfcom, rule=self.rule, member_of=self._member_of
        )
        return compare_fits(self.fits, None if null is None else null.fits, comparison)

    def predict(
        self, exog: npt.ArrayLike | None = None, *, transform: bool = True
    ) -> pd.Series | pd.DataFrame | FloatArray:
        """Average the predictions of the analyses.

        Parameters
        ----------
        exog : DataFrame or array_like, optional
            Rows to predict. Default: those each analysis was fitted on.
        transform : bool, default True
            Whether a formula is applied to `exog`.

        Returns
        -------
        Series, DataFrame or ndarray
            What the model's own ``predict`` returns.

        Raises
        ------
        PoolingError
            If the analyses were not kept, cannot predict, or predict different numbers of rows.
        """
        return average_predictions(self.fits, exog, transform=transform)

    def get_prediction(
        self, exog: npt.ArrayLike | None = None, *, transform: bool = True
    ) -> PooledPrediction:
        """Pool predicted means with their standard errors.

        Parameters
        ----------
        exog : DataFrame or array_like, optional
            Rows to predict. Default: those each analysis was fitted on.
        transform : bool, default True
            Whether a formula is applied to `exog`.

        Returns
        -------
        PooledPrediction
            With ``predicted_mean``, ``se_mean``, ``conf_int()`` and ``summary_frame()``.

        Raises
        ------
        PoolingError
            If the analyses were not kept, give no standard errors of predictions, or predict
            different numbers of rows.
        """
        return pool_predictions(
            self.fits,
            exog,
            transform=transform,
            dfcom=self.dfcom,
            df=self.df_method,
            rule=self.rule,
            member_of=self._member_of,
        )

    def summary(self, alpha: float = 0.05, *, title: str | None = None) -> Summary:
        """Lay the results out for print.

        Parameters
        ----------
        alpha : float, default 0.05
            One less the coverage of the intervals.
        title : str, optional
            Title in place of the usual one.

        Returns
        -------
        Summary
            Of statsmodels, with ``as_text``, ``as_html``, ``as_latex`` and ``as_csv``.
        """
        return summarize(self, alpha=alpha, title=title)

    def _repr_html_(self) -> str:
        return str(self.summary().as_html())

    def __repr__(self) -> str:
        return f"<PooledResults: {self.model.name} of {self.model.endog_names}, m={self.m}>"

    def remove_data(self) -> None:
        """Drop the analyses and the data they hold; predictions and likelihood ratios go too."""
        # Going through the pickled state reads what is still to be read from the analyses.
        self._items.__dict__.update(self._items.__getstate__())
        self._fits, self._pickled_fits = None, None

    def save(self, path: str | Path) -> None:
        """Pickle the results to a file, for a later session of one's own.

        Parameters
        ----------
        path : str or Path
            The file.
        """
        Path(path).write_bytes(pickle.dumps(self))

    @staticmethod
    def load(path: str | Path) -> PooledResults:
        """Read pickled results. A pickle runs code: open none but your own.

        Parameters
        ----------
        path : str or Path
            The file that :meth:`save` wrote.

        Returns
        -------
        PooledResults

        Raises
        ------
        PoolingError
            If the file holds something else.
        """
        found = pickle.loads(Path(path).read_bytes())
        if not isinstance(found, PooledResults):
            raise PoolingError(f"{path} holds a {type(found).__name__}, no pooled results")
        return found

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if self._fits is not None:
            state["_pickled_fits"] = _pickle_or_none(self._fits)
            state["_fits"] = None
        return state


def _pickle_or_none(fits: list[Fitted]) -> bytes | None:
    """Give up the fits of a library whose models do not pickle; the pooled numbers always do."""
    try:
        return pickle.dumps(fits)
    except (pickle.PicklingError, TypeError, AttributeError, NotImplementedError):
        return None
