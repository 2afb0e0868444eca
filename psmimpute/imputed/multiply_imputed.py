"""The multiply-imputed data set: complete, analyse, pool, transform, look at, hand on."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, overload

import pandas as pd

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.derived import warn_of_stored
from psmimpute.imputed.diagnostics import Diagnostics, diagnose
from psmimpute.imputed.display import html, text
from psmimpute.imputed.export import write_mice, write_stata
from psmimpute.imputed.export_spss import write_spss
from psmimpute.imputed.fitting import Analysis, ModelFunction, as_function, fit_each, warn_of_gaps
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.info import ImputationInfo
from psmimpute.imputed.layouts import long_frame, stacked_frame, wide_frame
from psmimpute.imputed.numbers import imputation_number
from psmimpute.imputed.parquet import write_parquet
from psmimpute.imputed.plots.accessor import Plots
from psmimpute.imputed.report import Report, Summarized, make_report
from psmimpute.imputed.selecting import Condition, chosen_rows
from psmimpute.imputed.shift import Scale, Shift, shift_imputed
from psmimpute.imputed.under_reference import impute_under_reference
from psmimpute.imputed.weighted_stack import Weights, weighted_stack
from psmimpute.table.reading import full_label

if TYPE_CHECKING:
    from psmimpute.imputed.analyses import Analyses
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
    psmimpute.from_long : Imputations made elsewhere.

    Examples
    --------
    Imputations made elsewhere; here, for want of better, drawn from the observed values of each
    column. The examples of the methods go on with `imp`.

    >>> import numpy as np
    >>> import psmimpute as psm
    >>> df, rng = psm.load_nhanes2(), np.random.default_rng(1)
    >>> drawn = [
    ...     df.apply(lambda x: x.where(x.notna(), rng.choice(x.dropna(), len(x)))) for _ in range(3)
    ... ]
    >>> long = pd.concat([df, *drawn], keys=range(4), names=[".imp", ".id"]).reset_index()
    >>> imp = psm.from_long(long)
    >>> imp
    Multiply-imputed data
      Data:          25 rows, 4 columns
      Imputations:   m = 3
      Imputed cells: 27 (27.0 %)
    ...
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
            ``"long"``, below each other with columns ``.imp`` and ``.id`` in front, the latter
            the row's label, or its number from 1 where labels repeat or have several levels;
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

        Examples
        --------
        >>> imp.complete(1).loc[:2, ["bmi", "chl"]]
            bmi    chl
        0  21.7  206.0
        1  22.7  187.0
        2  33.2  187.0
        >>> imp.complete("long").shape, len(imp.complete("all", include=True))
        ((75, 6), 4)
        """
        if not isinstance(action, str):
            return self._frame(imputation_number(action, self.m), pattern_set=pattern_set)
        first = 0 if include else 1
        if action not in {"long", "wide", "stacked", "all"}:
            imputation_number(action, self.m)
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
        **options: object,
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
        **options
            For a formula: keywords that the model is called with too, such as ``family=`` of a
            generalised linear model or ``groups="clinic"`` of a mixed one. Those of statsmodels'
            ``fit`` go there: ``cov_type="HC3"``, ``method="powell"``, or
            ``cov_type="cluster", cov_kwds={"groups": "clinic"}``, where columns are named.

        Returns
        -------
        Analyses
            The m fitted models, in the order of the imputations.

        Raises
        ------
        ImputationError
            If a formula comes without a model, or the analysis fails; the message names the
            imputation.

        Warns
        -----
        PoolingWarning
            If a formula names a column that has gaps and was excluded from imputation.

        Examples
        --------
        >>> import statsmodels.formula.api as smf
        >>> imp.fit("bmi ~ age + chl", model=smf.ols)
        <Analyses: 3 fits of RegressionResultsWrapper, 'bmi ~ age + chl'>
        >>> imp.fit(lambda d: smf.ols("np.log(bmi) ~ chl", d).fit()).m
        3
        """
        from psmimpute.imputed.analyses import Analyses

        run = as_function(analysis, model, options)
        if isinstance(analysis, str):
            warn_of_gaps(analysis, options, self)
        fits = fit_each(self.analysis_frame, run, m=self.m, n_jobs=n_jobs, progress=progress)
        return Analyses(
            fits,
            member_of=self.member_of,
            frames=self.analysis_frame,
            model=model if isinstance(analysis, str) else analysis,
            formula=analysis if isinstance(analysis, str) else None,
            options=options,
        )

    def pool(
        self,
        analysis: Analysis,
        *,
        model: ModelFunction | None = None,
        n_jobs: int = 1,
        progress: bool | None = None,
        dfcom: float | None = None,
        **options: object,
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
        **options
            As in :meth:`fit`.

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

        Examples
        --------
        >>> import statsmodels.formula.api as smf
        >>> imp.pool("bmi ~ age + chl", model=smf.ols).bse.round(3).to_dict()
        {'Intercept': 5.893, 'age[T.40-59]': 2.06, 'age[T.60-99]': 2.644, 'chl': 0.029}
        """
        fitted = self.fit(analysis, model=model, n_jobs=n_jobs, progress=progress, **options)
        return fitted.pool(dfcom=dfcom)

    def assign(self, **columns: object) -> Self:
        """Add columns computed from each completed frame.

        They are computed anew whenever a frame is completed, so that nothing is stored. In the
        incomplete data a cell is missing where the function makes nothing of the gaps, or
        imputations differ; integers and booleans with such cells are nullable there. Columns
        declared as ``derived=`` follow a column that is replaced; those assigned before stay.

        Parameters
        ----------
        **columns : callable or object
            For each new column a function of the completed frame, with the columns assigned
            before it; or a formula of columns such as ``"weight / height**2"``, as ``derived=``
            of :func:`psmimpute.impute` takes it; or another value, to put there as it is.

        Returns
        -------
        MultiplyImputed
            A new object with the columns.

        Raises
        ------
        ImputationError
            If a function or formula fails on the first completed frame.

        Warns
        -----
        DerivedMismatchWarning
            If a column is replaced on which stored derived columns rest: they stay as they are.

        Examples
        --------
        >>> imp.assign(high="chl > 200").complete(1)["high"].sum()
        np.int64(13)
        >>> imp.assign(ratio=lambda d: d["chl"] / d["bmi"]).complete(1)["ratio"].notna().all()
        np.True_
        """
        result, known = copy.copy(self), self._data.columns
        added = {full_label(name, known): value for name, value in columns.items()}
        result._derived = self._derived.extended(added, known)
        replaced = [name for name in known if name in added]
        warn_of_stored(self.info.declared, self.assigned, replaced, what="their replacement")
        result._frame(1)
        return result

    def filter(self, condition: Condition) -> Self:
        """Keep some of the rows, the same ones in every imputation.

        Parameters
        ----------
        condition : array_like of bool, shape (n_rows,), str or callable
            The rows to keep; or a formula such as ``"age > 50"``, or a function of a completed
            frame, that says so.

        Returns
        -------
        MultiplyImputed
            A new object with these rows. It cannot be extended.

        Raises
        ------
        ImputationError
            If the condition is not one boolean for each row, or differs between imputations:
            select such rows in the analysis instead.

        Examples
        --------
        >>> imp.filter(df["age"] != "60-99").n_rows
        19
        >>> imp.filter("age != '60-99'").n_rows
        19
        """
        return self.take(chosen_rows(self, condition))

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

        Examples
        --------
        >>> import psmimpute as psm
        >>> quick = {"n_sets": 1, "fit": psm.FitConfig(max_steps=5)}
        >>> two = psm.impute(df, m=2, seed=1, **quick)
        >>> three = two.extend(3)
        >>> three.m, three.complete(2).equals(two.complete(2))
        (3, True)
        """
        if not pd.api.types.is_integer(m) or m < self.m:
            raise ImputationError(
                f"extend(m={m!r}): m is the number of imputations wanted, a whole number of at "
                f"least the {self.m} there are"
            )
        if m == self.m:
            return self
        if self.info.extend is None:
            raise ImputationError(
                "these imputations have no model to draw more from: they were read, bound, "
                "filtered or shifted. Extend first and do that afterwards, or keep the PSMImputer "
                f"and call imputer.impute(df, m={m})"
            )
        extended: Self = copy.copy(self.info.extend(int(m)))
        extended._derived = self._derived
        return extended

    def delta(
        self,
        deltas: Mapping[Hashable, Shift],
        *,
        rows: Condition | None = None,
        pattern_set: int | Sequence[int] | None = None,
        scale: Scale = "column",
        seed: int = 0,
    ) -> Self:
        """Shift imputed cells, all or those of some pattern sets, for sensitivity analysis.

        Parameters
        ----------
        deltas : mapping of hashable to shift
            By column: what is added to its imputed values (dates: a duration), or to the log
            odds of higher levels (nominal columns: a mapping from levels to log odds).
        rows : array_like of bool, str or callable, optional
            Shift only these rows: a mask, a formula such as ``"arm == 'drug'"``, or a function of
            a completed frame.
        pattern_set : int or sequence of int, optional
            Shift only rows that the imputation at hand drew into these sets.
        scale : {"column", "link"}, default "column"
            ``"link"`` shifts the logarithm of positive, count and semicontinuous columns.
        seed : int, default 0
            For levels, which change by chance, and whole numbers, rounded up or down by chance:
            their mean moves by the shift, unless the column's bounds or support hold it back,
            of which a BoundedShiftWarning tells.

        Returns
        -------
        MultiplyImputed
            A new object; see :func:`psmimpute.imputed.shift.shift_imputed`.

        Raises
        ------
        ImputationError
            If a column or set is unknown, or the shift does not fit the column's kind.

        References
        ----------
        .. [1] van Buuren, S. (2018). Flexible Imputation of Missing Data, 2nd ed. CRC Press.
           Section 9.2.

        Examples
        --------
        >>> shifted = imp.delta({"bmi": 0.5})
        >>> difference = shifted.imputed_values("bmi") - imp.imputed_values("bmi")
        >>> difference.to_numpy().round(6).min(), difference.to_numpy().round(6).max()
        (np.float64(0.5), np.float64(0.5))
        >>> shifted = imp.delta({"bmi": 0.5}, rows="age == '20-39'")
        """
        return shift_imputed(
            self, deltas, rows=rows, pattern_set=pattern_set, scale=scale, seed=seed
        )

    def diagnostics(
        self,
        *,
        held_out: bool = True,
        refit: bool = False,
        n_draws: int = 40,
        most_rows: int = 500,
        seed: int = 0,
    ) -> Diagnostics:
        """Collect what tells how far the imputations can be trusted.

        Parameters
        ----------
        held_out : bool, default True
            Whether to hide observed cells and compare them with draws of them, if the model is
            at hand.
        refit : bool, default False
            Whether the cells are hidden from training too.
        n_draws, most_rows, seed : int
            See :func:`psmimpute.imputed.diagnostics.diagnose`.

        Returns
        -------
        Diagnostics
            Tables; see :class:`psmimpute.Diagnostics`.

        Warns
        -----
        ExtrapolationWarning
            If a column was observed in no row of a pattern set, yet imputed there.

        References
        ----------
        .. [1] Czado, C., Gneiting, T. and Held, L. (2009). Predictive model assessment for count
           data. Biometrics 65(4), 1254-1261.

        Examples
        --------
        >>> found = imp.diagnostics()
        >>> found.columns.loc["bmi", "n_imputed"].item()
        9
        """
        return diagnose(
            self,
            held_out=held_out,
            refit=refit,
            n_draws=n_draws,
            most_rows=most_rows,
            seed=seed,
        )

    def report(
        self,
        *,
        pooled: PooledResults | None = None,
        sensitivity: Sequence[Summarized] = (),
        diagnostics: Diagnostics | None = None,
    ) -> Report:
        """Collect what TARMOS and STROBE ask to be reported on missing data.

        Parameters
        ----------
        pooled : PooledResults, optional
            The main analysis.
        sensitivity : sequence of TippingPoint or PiSensitivity, optional
            Sensitivity analyses that were made.
        diagnostics : Diagnostics, optional
            Diagnostics that were looked at.

        Returns
        -------
        Report
            Facts as text, Markdown or a dict; see :func:`psmimpute.imputed.report.make_report`.

        References
        ----------
        .. [1] Lee, K. J. et al. (2021). Framework for the treatment and reporting of missing data
           in observational studies: the TARMOS framework. Journal of Clinical Epidemiology 134,
           79-88.
        .. [2] von Elm, E. et al. (2007). The STROBE statement. Annals of Internal Medicine 147(8),
           573-577. Items 12c and 14b.

        Examples
        --------
        >>> facts = imp.report(pooled=pooled).to_dict()
        >>> facts["Missing data"]["Complete rows"]
        '13 of 25 (52.0 %)'
        """
        return make_report(self, pooled=pooled, sensitivity=sensitivity, diagnostics=diagnostics)

    def under_reference(
        self,
        arm: Hashable,
        reference: object,
        columns: Sequence[Hashable],
        *,
        method: Literal["copy", "jump"] = "jump",
    ) -> Self:
        """Impute visits after the last observed one as if the row were in another arm.

        For trials: what would be found if those who left a treatment arm had from then on fared
        like the reference arm. Gaps before a row's last observed visit stay as they are imputed.

        Parameters
        ----------
        arm : hashable
            The column of arms, observed in every row and part of the model.
        reference : object
            The arm that serves as reference.
        columns : sequence of hashable
            The outcome at each visit, in the order of the visits.
        method : {"copy", "jump"}, default "jump"
            ``"copy"``: the row counts as one of the reference arm from the start. ``"jump"``:
            its deviations from its own arm's means go with it to the reference arm's means.

        Returns
        -------
        MultiplyImputed
            A new object; see :func:`psmimpute.imputed.under_reference.impute_under_reference`.

        Raises
        ------
        ImputationError
            If the model is no longer at hand, a column or arm is unknown, or a visit of
            ``"jump"`` is no number.

        References
        ----------
        .. [1] Carpenter, J. R., Roger, J. H. and Kenward, M. G. (2013). Analysis of longitudinal
           trials with protocol deviation. Journal of Biopharmaceutical Statistics 23(6), 1352-1371.

        Examples
        --------
        >>> import psmimpute as psm
        >>> trial = pd.DataFrame(
        ...     {
        ...         "arm": pd.Categorical(["placebo", "drug"] * 20),
        ...         "week 4": np.linspace(10, 14, 40),
        ...         "week 8": np.linspace(11, 17, 40) + np.tile([0, 1], 20),
        ...     }
        ... )
        >>> trial.loc[35:, "week 8"] = np.nan
        >>> quick = {"n_sets": 1, "fit": psm.FitConfig(max_steps=5)}
        >>> tried = psm.impute(trial, m=2, seed=1, missingness="ignorable", **quick)
        >>> jumped = tried.under_reference("arm", "placebo", ["week 4", "week 8"])
        >>> jumped.info.adjustments
        ("jumps to 'placebo' of 'arm' after drop-out: ['week 4', 'week 8']",)
        """
        return impute_under_reference(self, arm, reference, columns, method=method)

    def stack(self, *, weights: Weights | None = None) -> pd.DataFrame:
        """Return the completed frames below each other, weighted to count as one data set.

        Parameters
        ----------
        weights : {"equal", "missing"}, optional
            Append a column ``.weight``: 1/m (``"equal"``), or (1 − f)/m with f the share of
            missing cells (``"missing"``), for variable selection on the stacked data.

        Returns
        -------
        DataFrame, shape (m * n_rows, n_columns)
            Every block keeps the index of the data.

        Raises
        ------
        ImputationError
            If `weights` is none of these, or the data have a column ``.weight``.

        References
        ----------
        .. [1] Wood, A. M., White, I. R. and Royston, P. (2008). How should variable selection be
           performed with multiply imputed data? Statistics in Medicine 27(17), 3227-3246.

        Examples
        --------
        >>> stacked = imp.stack(weights="equal")
        >>> stacked.shape, round(stacked[".weight"].sum(), 6)
        ((75, 5), np.float64(25.0))
        """
        return weighted_stack(self, weights)

    def to_spss(self, path: str | Path, *, names: Mapping[Hashable, str] | None = None) -> Path:
        """Write the stacked file that SPSS pools over, and a syntax file that reads it.

        Parameters
        ----------
        path : str or Path
            Where to write the CSV file; the syntax goes beside it with the ending ``.sps``.
        names : mapping, optional
            New names of columns whose names SPSS cannot take.

        Returns
        -------
        Path
            The syntax; see :func:`psmimpute.imputed.export_spss.write_spss`.

        Raises
        ------
        ImputationError
            If a column's name is not a name in SPSS.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = imp.to_spss(folder / "nhanes.csv")
        >>> sorted(path.name for path in folder.iterdir())
        ['nhanes.csv', 'nhanes.sps']
        """
        return write_spss(self, path, names=names)

    def to_mice(self, path: str | Path, *, names: Mapping[Hashable, str] | None = None) -> Path:
        """Write what ``mice::as.mids`` reads, and an R script that has it read.

        Parameters
        ----------
        path : str or Path
            Where to write the CSV file; the script goes beside it with the ending ``.R``.
        names : mapping, optional
            New names of columns whose names R cannot take.

        Returns
        -------
        Path
            The script; see :func:`psmimpute.imputed.export.write_mice`.

        Raises
        ------
        ImputationError
            If a column's name is not a syntactic name in R, or a text is empty.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = imp.to_mice(folder / "nhanes.csv")
        >>> sorted(path.name for path in folder.iterdir())
        ['nhanes.R', 'nhanes.csv']
        """
        return write_mice(self, path, names=names)

    def to_parquet(
        self,
        path: str | Path,
        *,
        layout: Literal["long", "cells"] = "cells",
        filesystem: object = None,
    ) -> Path:
        """Write the data and the imputations as Parquet, for :func:`psmimpute.read_imputed`.

        Parameters
        ----------
        path : str or Path
            Folder, new or empty; or a URI.
        layout : {"cells", "long"}, default "cells"
            The data once and tables of the imputed cells; or the data and m completed tables,
            in hive partitions ``.imp``.
        filesystem : object, optional
            Of pyarrow or fsspec.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OtherJobError
            If the folder is not empty.
        NotStorableError
            If a column has no Parquet type.
        StorageError
            If it cannot be written.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp()) / "nhanes"
        >>> _ = imp.to_parquet(folder)
        >>> psm.read_imputed(folder).complete(2).equals(imp.complete(2))
        True
        """
        write_parquet(self, path, layout=layout, filesystem=filesystem)
        return Path(path)

    def to_stata(self, path: str | Path, *, names: Mapping[Hashable, str] | None = None) -> Path:
        """Write a Stata file in the style ``flong``, and a do-file that declares it.

        Parameters
        ----------
        path : str or Path
            Where to write the ``.dta`` file; the do-file goes beside it with the ending ``.do``.
        names : mapping, optional
            New names of columns whose names Stata cannot take.

        Returns
        -------
        Path
            The do-file; see :func:`psmimpute.imputed.export.write_stata`.

        Raises
        ------
        ImputationError
            If a column's name is not a name in Stata.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "nhanes.dta"
        >>> _ = imp.to_stata(file)
        >>> pd.read_stata(file).shape
        (100, 6)
        """
        return write_stata(self, path, names=names)
