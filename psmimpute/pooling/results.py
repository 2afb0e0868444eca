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

from psmimpute.exceptions import PoolingError
from psmimpute.pooling.align import StackedItems
from psmimpute.pooling.compare import Comparison, Method, compare_fits
from psmimpute.pooling.describe import PooledModel
from psmimpute.pooling.inference import PooledInference
from psmimpute.pooling.item import Fitted
from psmimpute.pooling.joint import JointTest
from psmimpute.pooling.predict import PooledPrediction, Rows, average_predictions, pool_predictions
from psmimpute.pooling.rubin import DfMethod, FloatArray, Rule
from psmimpute.pooling.summary import summarize


class PooledResults(PooledInference):
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
            self._fits = _unpickle_or_none(self._pickled_fits)
        if self._fits is None:
            raise PoolingError(
                "the analyses were not kept (remove_data() dropped them, or they could not be "
                "pickled): pool them again"
            )
        return self._fits

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
        """
        return pool_predictions(
            self.fits,
            Rows(exog, transform, exposure, offset),
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
        return float(np.mean(scales)) if scales else float("nan")

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


def _unpickle_or_none(pickled: bytes) -> list[Fitted] | None:
    """Give up fits whose formula cannot be evaluated where they are read back."""
    try:
        return list(pickle.loads(pickled))
    except (pickle.UnpicklingError, TypeError, AttributeError, NameError, ImportError):
        return None
