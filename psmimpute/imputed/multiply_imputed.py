"""The multiply-imputed data set: complete, analyse, pool, transform, look at, hand on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, Literal, Self, overload

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.analyses import Analyses
from psmimpute.imputed.display import html, text
from psmimpute.imputed.fitting import Analysis, ModelFunction, as_function, fit_each
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.info import ImputationInfo
from psmimpute.imputed.layouts import long_frame, stacked_frame, wide_frame
from psmimpute.imputed.pattern_set import NAME
from psmimpute.imputed.plots.accessor import Plots
from psmimpute.pooling.results import PooledResults

__all__ = ["ImputationInfo", "MultiplyImputed"]

Layout = Literal["long", "wide", "stacked"]


class MultiplyImputed(ImputedTable):
    """A data set with gaps and m imputations of them (``mids`` in R's mice).

    Made by :func:`psmimpute.impute`; :class:`~psmimpute.imputed.imputed_table.ImputedTable`
    says what it is made of. It is not changed by any method: those that transform return a
    new object.

    See Also
    --------
    psmimpute.imputed.from_long.from_long : Imputations made elsewhere.

    Examples
    --------
    >>> import numpy as np
    >>> frame = pd.DataFrame({"x": [1.0, np.nan, 3.0], "y": [0.5, 1.5, 2.5]})
    >>> long = pd.concat([frame, frame.fillna(1.9), frame.fillna(2.1)])
    >>> from psmimpute.imputed.from_long import from_long
    >>> imp = from_long(long.assign(**{".imp": np.repeat([0, 1, 2], 3)}))
    >>> imp.m, imp.complete(2)["x"].tolist()
    (2, [1.0, 2.1, 3.0])
    >>> imp.assign(total=lambda d: d.x + d.y).complete(1)["total"].tolist()
    [1.5, 3.4, 5.5]
    """

    def __repr__(self) -> str:
        return text(self)

    def _repr_html_(self) -> str:
        return html(self)

    @property
    def plot(self) -> Plots:
        """Plots: ``imp.plot.density("bmi")`` and others."""
        return Plots(self)

    @overload
    def complete(
        self, action: int | Layout = ..., *, include: bool = ..., pattern_set: bool = ...
    ) -> pd.DataFrame: ...
    @overload
    def complete(
        self, action: Literal["all"], *, include: bool = ..., pattern_set: bool = ...
    ) -> list[pd.DataFrame]: ...
    def complete(
        self,
        action: int | Layout | Literal["all"] = 1,
        *,
        include: bool = False,
        pattern_set: bool = False,
    ) -> pd.DataFrame | list[pd.DataFrame]:
        """Return completed data, as ``mice::complete`` does.

        Parameters
        ----------
        action : int or {"long", "wide", "stacked", "all"}, default 1
            The imputation wanted, from 1 to m; 0 is the incomplete data. Or all of them:
            ``"long"``, below each other with columns ``.imp`` and ``.id`` in front;
            ``"stacked"``, the same without these columns; ``"wide"``, beside each other with
            column ``x`` of imputation k named ``x.k``; ``"all"``, a list of frames.
        include : bool, default False
            Whether all of them begin with the incomplete data, as number 0.
        pattern_set : bool, default False
            Whether to append the pattern set drawn in the imputation, as the categorical
            column ``pattern_set``. It is missing throughout in the incomplete data.

        Returns
        -------
        DataFrame or list of DataFrame
            Fresh copies. Observed cells, dtypes, index and order of columns are those of the
            data.

        Raises
        ------
        ImputationError
            If there is no such imputation or layout, or the pattern set is asked for and not
            to be had.
        """
        if not isinstance(action, str):
            return self._frame(self.imputation_number(action), pattern_set=pattern_set)
        first = 0 if include else 1
        if action not in {"long", "wide", "stacked", "all"}:
            self.imputation_number(action)
        frames = {k: self._frame(k, pattern_set=pattern_set) for k in range(first, self.m + 1)}
        if action == "long":
            return long_frame(frames)
        if action == "wide":
            return wide_frame(frames)
        return stacked_frame(frames.values()) if action == "stacked" else list(frames.values())

    def fit(
        self,
        analysis: Analysis,
        *,
        model: ModelFunction | None = None,
        n_jobs: int = 1,
        progress: bool | None = None,
    ) -> Analyses:
        """Analyse each completed frame.

        Parameters
        ----------
        analysis : str or callable
            A formula, or a function of a completed frame that returns a fitted model. The
            frames have the column ``pattern_set`` too, with the sets drawn.
        model : callable, optional
            For a formula: what is called as ``model(formula, frame)``, such as
            ``statsmodels.formula.api.ols``. If the answer has a method ``fit``, it is called.
        n_jobs : int, default 1
            Number of threads; -1 for one for each processor.
        progress : bool, optional
            Whether to show a progress bar; by default not.

        Returns
        -------
        Analyses
            The m fitted models, in the order of the imputations.

        Raises
        ------
        ImputationError
            If a formula comes without a model, or the analysis fails; the message names the
            imputation.
        """
        run = as_function(analysis, model)
        fits = fit_each(self._analysis_frame, run, m=self.m, n_jobs=n_jobs, progress=progress)
        return Analyses(
            fits,
            member_of=self.member_of,
            frames=self._analysis_frame,
            model=model,
            formula=analysis if isinstance(analysis, str) else None,
        )

    def pool(
        self,
        analysis: Analysis,
        *,
        model: ModelFunction | None = None,
        n_jobs: int = 1,
        progress: bool | None = None,
        dfcom: float | None = None,
    ) -> PooledResults:
        """Analyse each completed frame and pool the results by Rubin's rules.

        Parameters
        ----------
        analysis : str or callable
            As in :meth:`fit`.
        model : callable, optional
            As in :meth:`fit`.
        n_jobs : int, default 1
            As in :meth:`fit`.
        progress : bool, optional
            As in :meth:`fit`.
        dfcom : float, optional
            Residual degrees of freedom of the analysis had no value been missing; by default
            those of the fitted models.

        Returns
        -------
        PooledResults
            Pooled estimates with their inference.

        Raises
        ------
        ImputationError
            As in :meth:`fit`.
        PoolingError
            If the analyses cannot be pooled.
        """
        fitted = self.fit(analysis, model=model, n_jobs=n_jobs, progress=progress)
        return fitted.pool(dfcom=dfcom)

    def _analysis_frame(self, k: int) -> pd.DataFrame:
        drawn = self._draws is not None and NAME not in self.columns
        return self._frame(k, pattern_set=drawn)

    def assign(self, **columns: Any) -> Self:
        """Add columns computed from each completed frame.

        They are computed anew whenever a frame is completed, so that nothing is stored; the
        incomplete data hold what the function makes of them.

        Parameters
        ----------
        **columns : callable or object
            For each new column a function of the completed frame, with the columns assigned
            before it, or a value to put there as it is.

        Returns
        -------
        MultiplyImputed
            A new object with the columns.

        Raises
        ------
        ImputationError
            If a function fails on the first completed frame.
        """
        result = copy.copy(self)
        recipes = tuple(
            (name, value if callable(value) else _Constant(value))
            for name, value in columns.items()
        )
        result._derived = (*self._derived, *recipes)
        result._frame(1)
        return result

    def filter(self, condition: npt.ArrayLike | Callable[[pd.DataFrame], Any]) -> Self:
        """Keep some of the rows, the same ones in every imputation.

        Parameters
        ----------
        condition : array_like of bool, shape (n_rows,), or callable
            The rows to keep, or a function of a completed frame that says so.

        Returns
        -------
        MultiplyImputed
            A new object with these rows. It cannot be extended.

        Raises
        ------
        ImputationError
            If the condition is not one boolean for each row, or differs between imputations:
            select such rows in the analysis instead.
        """
        if callable(condition):
            chosen = [_row_mask(condition(frame), self.n_rows) for frame in self]
        else:
            chosen = [_row_mask(condition, self.n_rows)]
        for k, rows in enumerate(chosen, start=1):
            differing = int((rows != chosen[0]).sum())
            if differing:
                raise ImputationError(
                    f"the condition keeps other rows in imputation {k} than in imputation 1 "
                    f"({differing} differ), so it depends on imputed values: select the rows in "
                    "the function given to fit() instead"
                )
        return self.take(np.flatnonzero(chosen[0]))

    def extend(self, m: int) -> Self:
        """Return the same data with more imputations; those there are do not change.

        Parameters
        ----------
        m : int
            The number of imputations wanted, at least the number there are.

        Returns
        -------
        MultiplyImputed
            A new object with m imputations.

        Raises
        ------
        ImputationError
            If `m` is smaller than the present number, or the object no longer has its model:
            it was unpickled, filtered, bound or read from a file.
        """
        if isinstance(m, bool) or not isinstance(m, (int, np.integer)) or m < self.m:
            raise ImputationError(
                f"extend(m={m!r}): m is the number of imputations wanted, a whole number of at "
                f"least the {self.m} there are"
            )
        if m == self.m:
            return self
        if self.info.extend is None:
            raise ImputationError(
                "these imputations have no model to draw more from: keep the PSMImputer and "
                f"call imputer.impute(df, m={m})"
            )
        extended: Self = copy.copy(self.info.extend(int(m)))
        extended._derived = self._derived
        return extended


class _Constant:
    """A column that is the same in every completed frame."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __call__(self, frame: pd.DataFrame) -> Any:
        del frame
        return self._value


def _row_mask(condition: Any, n_rows: int) -> npt.NDArray[np.bool_]:
    mask = np.asarray(condition)
    if mask.dtype == object and not pd.isna(mask).any():
        mask = mask.astype(bool)
    if mask.dtype != np.bool_ or mask.shape != (n_rows,):
        raise ImputationError(
            f"a condition needs one boolean for each of the {n_rows} rows, got an array of "
            f"{mask.dtype} with shape {mask.shape}"
        )
    return mask
