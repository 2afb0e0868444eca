"""Tests of pooled coefficients, with the names and types of statsmodels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from statsmodels.stats.contrast import ContrastResults, WaldTestResults

from psmimpute.exceptions import PoolingError
from psmimpute.pooling.constraints import Constraints, linear_constraints
from psmimpute.pooling.contrasts import (
    contrast_results,
    delta_method,
    joint_contrast,
    t_contrast,
    terms_table,
)
from psmimpute.pooling.estimates import PooledEstimates
from psmimpute.pooling.joint import JointTest, f_test
from psmimpute.pooling.rubin import FloatArray


class PooledInference(PooledEstimates):
    """Pooled estimates and the tests that can be made of them; see :class:`PooledEstimates`."""

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

        Examples
        --------
        >>> pooled.cov_params().round(3).loc["chl", "chl"].item()
        0.001
        >>> pooled.cov_params(r_matrix=[0, 1, -1, 0]).round(3)
        np.float64(9.926)
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

        Examples
        --------
        >>> test = pooled.t_test("age[T.40-59] - age[T.60-99] = 0")
        >>> round(test.effect.item(), 2), round(test.sd.item(), 2), round(test.pvalue.item(), 3)
        (0.54, 3.15, 0.872)
        """
        matrix, values = linear_constraints(r_matrix, self.model.exog_names)
        return t_contrast(
            self._moments, matrix, values, dfcom=self.dfcom, df=self.df_method, use_t=use_t
        )

    def _joint(self, r_matrix: Constraints, method: Literal["D1", "D2"] = "D1") -> JointTest:
        matrix, values = linear_constraints(r_matrix, self.model.exog_names)
        test = self._test_zero(
            self._items.qhat @ matrix.T - values, matrix @ self._items.u @ matrix.T, method
        )
        if method == "D2" or len(matrix) > 1:
            return test
        alone = t_contrast(
            self._moments, matrix, values, dfcom=self.dfcom, df=self.df_method, use_t=True
        )
        df2 = np.asarray(alone.df_denom).item()
        return f_test("D1", test.statistic, 1, df2, riv=test.riv, m=test.m)

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
            freedom are those of Li, Raghunathan and Rubin or of Reiter; one constraint has those
            of :meth:`t_test`, and its p-value, where D1 of mice and mitml has degrees of freedom
            of its own.

        Raises
        ------
        PoolingError
            If a name is unknown, an expression is not linear, or constraints repeat each other.

        References
        ----------
        .. [1] Li, K. H., Raghunathan, T. E. and Rubin, D. B. (1991). Large-sample significance
           levels from multiply imputed data. JASA 86(416), 1065-1073. D1.
        .. [2] Reiter, J. P. (2007). Small-sample degrees of freedom for multi-component
           significance tests with multiple imputation for missing data. Biometrika 94(2), 502-508.
        .. [3] Li, K. H., Meng, X.-L., Raghunathan, T. E. and Rubin, D. B. (1991). Significance
           levels from repeated p-values with multiply-imputed data. Statistica Sinica 1(1), 65-92.
           D2.

        Examples
        --------
        >>> test = pooled.wald_test("age[T.40-59] = 0, age[T.60-99] = 0")
        >>> round(float(test.statistic), 3), round(float(test.pvalue), 3)
        (1.58, 0.312)
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
            Of statsmodels; what :meth:`wald_test` returns.

        References
        ----------
        .. [1] Li, K. H., Raghunathan, T. E. and Rubin, D. B. (1991). Large-sample significance
           levels from multiply imputed data. JASA 86(416), 1065-1073. D1.
        .. [2] Reiter, J. P. (2007). Small-sample degrees of freedom for multi-component
           significance tests with multiple imputation for missing data. Biometrika 94(2), 502-508.

        Examples
        --------
        >>> round(pooled.f_test("age[T.40-59] = 0, age[T.60-99] = 0").fvalue, 3)
        1.58
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

        Examples
        --------
        >>> pooled.wald_test_terms(skip_single=True).table.index.tolist()
        ['age']
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
            Statistic, degrees of freedom, p-value and relative increase in variance.

        Raises
        ------
        PoolingError
            If the function or its derivatives are not finite, or the values repeat each other.

        References
        ----------
        .. [1] Li, K. H., Raghunathan, T. E. and Rubin, D. B. (1991). Large-sample significance
           levels from multiply imputed data. JASA 86(416), 1065-1073. D1.
        .. [2] Reiter, J. P. (2007). Small-sample degrees of freedom for multi-component
           significance tests with multiple imputation for missing data. Biometrika 94(2), 502-508.
        .. [3] Li, K. H., Meng, X.-L., Raghunathan, T. E. and Rubin, D. B. (1991). Significance
           levels from repeated p-values with multiply-imputed data. Statistica Sinica 1(1), 65-92.
           D2.

        Examples
        --------
        >>> test = pooled.test_constraints(lambda b: b["age[T.40-59]"] / b["age[T.60-99]"] - 1)
        >>> test.df1, round(test.p_value, 3)
        (1.0, 0.963)
        """
        items = self._items
        return self._test_zero(*delta_method(function, items.terms, items.qhat, items.u), method)
