"""Pooled results that behave as results of statsmodels do."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from statsmodels.iolib.summary import Summary
from statsmodels.iolib.summary2 import Summary as Summary2

from psmimpute.exceptions import PoolingError, StorageError
from psmimpute.pooling.align import StackedItems
from psmimpute.pooling.compare import Comparison, Method, compare_fits, fits_of
from psmimpute.pooling.describe import PooledModel
from psmimpute.pooling.inference import PooledInference
from psmimpute.pooling.item import Fitted
from psmimpute.pooling.joint import JointTest
from psmimpute.pooling.predict import PooledPrediction, Rows, average_predictions, pool_predictions
from psmimpute.pooling.rubin import DfMethod, FloatArray, Rule
from psmimpute.pooling.saved import MOST_BYTES, Saved, pack_results, unpack_results
from psmimpute.pooling.summary import summarize


class PooledResults(PooledInference):
    """Results of one analysis pooled over ``m`` imputations.

    Made by :func:`psmimpute.pool`. It has the names, signatures and return types of
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
    `imp` is that of the example of :class:`psmimpute.MultiplyImputed`. The examples of the methods
    go on with `pooled`.

    >>> import statsmodels.formula.api as smf
    >>> pooled = imp.pool("bmi ~ age + chl", model=smf.ols)
    >>> pooled
    <PooledResults: OLS of bmi, m=3>
    >>> pooled.params.round(2).to_dict()
    {'Intercept': 22.05, 'age[T.40-59]': -3.42, 'age[T.60-99]': -3.96, 'chl': 0.03}
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
        self._scale = float("nan")

    @property
    def fits(self) -> list[Fitted]:
        """The analyses, one for each imputation."""
        if self._fits is None and self._pickled_fits is not None:
            self._fits = _unpickle_or_none(self._pickled_fits)
        if self._fits is None:
            raise PoolingError(
                "the analyses were not kept (remove_data() dropped them, the results were read "
                "from a file, or they could not be pickled): pool them again"
            )
        return self._fits

    def compare(self, null: PooledResults | None = None, *, method: Method = "D1") -> JointTest:
        """Compare with a smaller model, fitted to the same imputations.

        Parameters
        ----------
        null : PooledResults, optional
            The smaller model. None tests all terms but the intercept.
        method : {"D1", "D2", "D3", "D4"}, default "D1"
            The test; see :meth:`psmimpute.Analyses.compare` for its options.

        Returns
        -------
        JointTest
            Statistic, degrees of freedom, p-value and relative increase in variance.

        Raises
        ------
        PoolingError
            If the models are not nested, or the analyses were not kept.
        ConfigError
            If the smaller model was not fitted.

        References
        ----------
        .. [1] Li, K. H., Raghunathan, T. E. and Rubin, D. B. (1991). Large-sample significance
           levels from multiply imputed data. JASA 86(416), 1065-1073. D1.
        .. [2] Reiter, J. P. (2007). Small-sample degrees of freedom for multi-component
           significance tests with multiple imputation for missing data. Biometrika 94(2), 502-508.
        .. [3] Li, K. H., Meng, X.-L., Raghunathan, T. E. and Rubin, D. B. (1991). Significance
           levels from repeated p-values with multiply-imputed data. Statistica Sinica 1(1), 65-92.
           D2.
        .. [4] Meng, X.-L. and Rubin, D. B. (1992). Performing likelihood ratio tests with
           multiply-imputed data sets. Biometrika 79(1), 103-111. D3.
        .. [5] Chan, K. W. and Meng, X.-L. (2022). Multiple improvements of multiple imputation
           likelihood ratio tests. Statistica Sinica 32, 1489-1514. D4.

        Examples
        --------
        >>> smaller = imp.pool("bmi ~ chl", model=smf.ols)
        >>> tests = [pooled.compare(smaller, method=method) for method in ("D1", "D3")]
        >>> [round(test.p_value, 3) for test in tests]
        [0.312, 0.344]
        """
        comparison = Comparison(
            method=method, dfcom=self.dfcom, rule=self.rule, member_of=self._member_of
        )
        return compare_fits(self.fits, fits_of(null), comparison)

    def predict(
        self,
        exog: npt.ArrayLike | None = None,
        *,
        transform: bool = True,
        exposure: npt.ArrayLike | None = None,
        offset: npt.ArrayLike | None = None,
    ) -> pd.Series | pd.DataFrame | FloatArray:
        """Average the predictions of the analyses.

        Parameters
        ----------
        exog : DataFrame or array_like, optional
            Rows to predict. Default: those each analysis was fitted on.
        transform : bool, default True
            Whether a formula is applied to `exog`.
        exposure, offset : array_like, optional
            Of the rows, for count models and generalized linear models.

        Returns
        -------
        Series, DataFrame or ndarray
            What the model's own ``predict`` returns.

        Raises
        ------
        PoolingError
            If the analyses were not kept, cannot predict, or predict different numbers of rows.

        Examples
        --------
        >>> rows = pd.DataFrame({"age": ["20-39", "60-99"], "chl": [200.0, 200.0]})
        >>> pooled.predict(rows).round(2).tolist()
        [28.95, 24.99]
        """
        return average_predictions(self.fits, Rows(exog, transform, exposure, offset))

    def get_prediction(
        self,
        exog: npt.ArrayLike | None = None,
        *,
        transform: bool = True,
        exposure: npt.ArrayLike | None = None,
        offset: npt.ArrayLike | None = None,
    ) -> PooledPrediction:
        """Pool predicted means with their standard errors.

        Parameters
        ----------
        exog : DataFrame or array_like, optional
            Rows to predict. Default: those each analysis was fitted on.
        transform : bool, default True
            Whether a formula is applied to `exog`.
        exposure, offset : array_like, optional
            Of the rows, for count models and generalized linear models.

        Returns
        -------
        PooledPrediction
            With ``predicted_mean``, ``se_mean``, ``conf_int()`` and ``summary_frame()``.

        Raises
        ------
        PoolingError
            If the analyses were not kept, give no standard errors of predictions, or predict
            different numbers of rows.

        Examples
        --------
        >>> rows = pd.DataFrame({"age": ["20-39", "60-99"], "chl": [200.0, 200.0]})
        >>> pooled.get_prediction(rows).se_mean.round(2)
        array([1.32, 2.66])
        """
        return pool_predictions(
            self.fits,
            Rows(exog, transform, exposure, offset),
            dfcom=self.dfcom,
            df=self.df_method,
            rule=self.rule,
            member_of=self._member_of,
        )

    def summary(
        self, alpha: float = 0.05, *, title: str | None = None, exponentiate: bool = False
    ) -> Summary:
        """Lay the results out for print.

        Parameters
        ----------
        alpha : float, default 0.05
            One less the coverage of the intervals.
        title : str, optional
            Title in place of the usual one.
        exponentiate : bool, default False
            Whether to show ``exp`` of estimates and limits: odds, rate or hazard ratios.

        Returns
        -------
        Summary
            Of statsmodels, with ``as_text``, ``as_html``, ``as_latex`` and ``as_csv``.

        Examples
        --------
        >>> print(pooled.summary().tables[1])
        ================================================================================
                           coef    std err          t      P>|t|      [0.025      0.975]
        --------------------------------------------------------------------------------
        Intercept       22.0491     5.8925     3.7419      0.024       5.043      39.055
        age[T.40-59]    -3.4233     2.0603    -1.6615      0.116      -7.788       0.941
        age[T.60-99]    -3.9631     2.6441    -1.4988      0.184     -10.415       2.489
        chl              0.0345     0.0295     1.1707      0.301      -0.045       0.114
        ================================================================================
        """
        return summarize(self, alpha=alpha, title=title, exponentiate=exponentiate)

    def summary2(self, alpha: float = 0.05, *, title: str | None = None) -> Summary2:
        """Lay the estimates out as the experimental summary of statsmodels does.

        Parameters
        ----------
        alpha : float, default 0.05
            One less the coverage of the intervals.
        title : str, optional
            Title in place of the usual one.

        Returns
        -------
        Summary
            Of ``statsmodels.iolib.summary2``.

        Examples
        --------
        >>> pooled.summary2().tables[0].columns.tolist()
        ['Coef.', 'Std.Err.', 't', 'P>|t|', '[0.025', '0.975]']
        """
        limits = self.conf_int(alpha)
        table = pd.DataFrame(
            {
                "Coef.": self.params,
                "Std.Err.": self.bse,
                "t": self.tvalues,
                "P>|t|": self.pvalues,
                f"[{alpha / 2:g}": limits.iloc[:, 0],
                f"{1 - alpha / 2:g}]": limits.iloc[:, 1],
            }
        )
        summary = Summary2()
        summary.add_df(table)
        summary.add_title(title or f"Results: pooled {self.model.name}")
        return summary

    @property
    def scale(self) -> float:
        """Mean of the analyses' `scale`; NaN if they have none, or have been dropped."""
        scales = [float(getattr(fit, "scale", np.nan)) for fit in self._fits or ()]
        return float(np.mean(scales)) if scales else self._scale

    def _repr_html_(self) -> str:
        return str(self.summary().as_html())

    def __repr__(self) -> str:
        return f"<PooledResults: {self.model.name} of {self.model.endog_names}, m={self.m}>"

    def remove_data(self) -> None:
        """Drop the analyses and the data they hold; predictions and likelihood ratios go too.

        Examples
        --------
        >>> kept = imp.pool("bmi ~ chl", model=smf.ols)
        >>> kept.remove_data()
        >>> kept.params.round(3).to_dict()
        {'Intercept': 22.842, 'chl': 0.02}
        """
        # Going through the pickled state reads what is still to be read from the analyses.
        self._items.__dict__.update(self._items.__getstate__())
        self._fits, self._pickled_fits = None, None

    def save(self, path: str | Path) -> None:
        """Write the pooled numbers to a file, which holds data alone and no code.

        The analyses are not kept: of what is read back :meth:`predict`, :meth:`get_prediction`,
        :meth:`compare` and :attr:`fits` are refused, and all else is as it was.

        Parameters
        ----------
        path : str or Path
            The file: JSON.

        Raises
        ------
        StorageError
            If the file cannot be written.
        SchemaError
            If a term is named by something other than text, numbers, dates and tuples of these.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "pooled.json"
        >>> pooled.save(file)
        >>> type(pooled).load(file).params.equals(pooled.params)
        True
        """
        member_of = None if self._member_of is None else [int(i) for i in self._member_of]
        packed = pack_results(
            Saved(self._items, self.model, self.rule, self.df_method, member_of, self.scale)
        )
        try:
            Path(path).write_bytes(packed)
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror}") from error

    @staticmethod
    def load(path: str | Path) -> PooledResults:
        """Read the results that :meth:`save` wrote.

        Parameters
        ----------
        path : str or Path
            The file. It may come from a stranger: it is parsed and checked, and runs nothing.

        Returns
        -------
        PooledResults
            As they were, without the analyses.

        Raises
        ------
        StorageError
            If the file cannot be read; a CorruptFileError if it is damaged or holds something
            else, a NewerFormatError if a later version wrote it.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "pooled.json"
        >>> pooled.save(file)
        >>> PooledResults.load(file)
        <PooledResults: OLS of bmi, m=3>
        """
        try:
            with Path(path).open("rb") as file:
                data = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error
        saved = unpack_results(data, what=str(path))
        found = PooledResults(
            saved.items,
            model=saved.model,
            rule=saved.rule,
            df=saved.df,
            member_of=saved.member_of,
        )
        found._scale = saved.scale
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


def _unpickle_or_none(pickled: bytes) -> list[Fitted] | None:
    """Give up fits whose formula cannot be evaluated where they are read back."""
    try:
        return list(pickle.loads(pickled))
    except (pickle.UnpicklingError, TypeError, AttributeError, NameError, ImportError):
        return None
