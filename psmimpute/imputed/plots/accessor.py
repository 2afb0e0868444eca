"""``imp.plot``: every plot of a multiply-imputed data set as a method."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.plots.bars import plot_bars
from psmimpute.imputed.plots.box import plot_box
from psmimpute.imputed.plots.density import plot_density
from psmimpute.imputed.plots.flux import plot_flux
from psmimpute.imputed.plots.overimpute import plot_overimpute
from psmimpute.imputed.plots.pattern import plot_pattern
from psmimpute.imputed.plots.pattern_sets import Shown, plot_pattern_sets
from psmimpute.imputed.plots.propensity import plot_propensity
from psmimpute.imputed.plots.strip import plot_strip
from psmimpute.imputed.plots.trace import plot_trace
from psmimpute.imputed.plots.weights import plot_weights
from psmimpute.imputed.plots.xy import plot_xy

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Plots:
    """Plots of a multiply-imputed data set: blue for observed, red for imputed.

    Every method draws on `ax`, or on a new figure, and returns the axes.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.

    Examples
    --------
    `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

    >>> imp.plot.density("bmi").get_xlabel()
    'bmi'
    >>> import matplotlib.pyplot as plt
    >>> fig, axes = plt.subplots(1, 2)
    >>> _ = imp.plot.box("bmi", ax=axes[0])
    """

    def __init__(self, imp: ImputedTable) -> None:
        self._imp = imp

    def density(self, column: Hashable, *, ax: Axes | None = None) -> Axes:
        """Draw kernel densities of a column: observed in blue, each imputation in red.

        Parameters
        ----------
        column : hashable
            A numeric, date or duration column.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes
            One line for the observed values, one for each imputation with at least two distinct
            values.

        Raises
        ------
        ImputationError
            If there is no such column, or it is categorical.

        Examples
        --------
        `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

        >>> imp.plot.density("bmi")
        <Axes: ...>
        """
        return plot_density(self._imp, column, ax=ax)

    def strip(self, column: Hashable, *, ax: Axes | None = None) -> Axes:
        """Draw each value of a column as a point: observed in blue, imputations in red.

        Parameters
        ----------
        column : hashable
            A numeric, date or duration column.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes
            One collection of points for the observed values, one for each imputation.

        Raises
        ------
        ImputationError
            If there is no such column, or it is categorical.

        Examples
        --------
        `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

        >>> imp.plot.strip("bmi")
        <Axes: ...>
        """
        return plot_strip(self._imp, column, ax=ax)

    def box(self, column: Hashable, *, ax: Axes | None = None) -> Axes:
        """Draw a box for the observed values, in blue, and for each imputation's, in red.

        Parameters
        ----------
        column : hashable
            A numeric, date or duration column.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes
            Boxes from quartile to quartile with the median; whiskers reach the last value within
            1.5 interquartile ranges.

        Raises
        ------
        ImputationError
            If there is no such column, or it is categorical.

        Examples
        --------
        `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

        >>> imp.plot.box("bmi")
        <Axes: ...>
        """
        return plot_box(self._imp, column, ax=ax)

    def xy(self, x: Hashable, y: Hashable, *, imputation: int = 1, ax: Axes | None = None) -> Axes:
        """Draw two columns against each other: rows with both observed in blue, others in red.

        Parameters
        ----------
        x, y : hashable
            Numeric, date or duration columns.
        imputation : int, default 1
            The completed frame to draw, from 1 to m.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes
            Two collections of points: observed and imputed.

        Raises
        ------
        ImputationError
            If there is no such column or imputation, or a column is categorical.

        Examples
        --------
        `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

        >>> imp.plot.xy("chl", "bmi")
        <Axes: ...>
        """
        return plot_xy(self._imp, x, y, imputation=imputation, ax=ax)

    def bars(self, column: Hashable, *, ax: Axes | None = None) -> Axes:
        """Draw the share of each level: observed in blue, the mean over imputations in red.

        Parameters
        ----------
        column : hashable
            A column with few distinct values.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes
            Two bars for each level; a line spans the smallest and the largest share over the
            imputations.

        Raises
        ------
        ImputationError
            If there is no such column, or it has more than 60 distinct values.

        Examples
        --------
        `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

        >>> imp.plot.bars("hyp")
        <Axes: ...>
        """
        return plot_bars(self._imp, column, ax=ax)

    def pattern(self, *, max_patterns: int = 25, ax: Axes | None = None) -> Axes:
        """Draw the patterns of missing cells: blue observed, red missing.

        Parameters
        ----------
        max_patterns : int, default 25
            How many patterns to draw, the most frequent first.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes
            One row for each pattern with its number of rows on the left and of missing columns on
            the right; columns run from the most to the least observed, with the number of missing
            cells below.

        Examples
        --------
        `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

        >>> imp.plot.pattern()
        <Axes: ...>
        """
        return plot_pattern(self._imp, max_patterns=max_patterns, ax=ax)

    def flux(self, *, ax: Axes | None = None) -> Axes:
        """Draw how much each column can give to, and needs from, the others.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes
            One point for each column. Columns far below the line have gaps where others are
            observed too seldom to help, and help others little.

        References
        ----------
        .. [1] van Buuren, S. (2018). Flexible Imputation of Missing Data, 2nd ed. CRC Press.
           Section 4.1.3.

        Examples
        --------
        `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

        >>> imp.plot.flux()
        <Axes: ...>
        """
        return plot_flux(self._imp, ax=ax)

    def trace(self, *, ax: Axes | None = None) -> Axes:
        """Draw the loss of each member during training, on its own rows and out of bag.

        Members start from the fit to all rows and are trained on their own resample. So the loss of
        the rows that a member leaves out, which that fit had seen, rises as its own falls: good
        curves level off. Where they are still steep at the end, training was too short
        (``FitConfig(max_steps=...)``).

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes
            For each member a blue line, its training loss where that was recorded, and a red one,
            its out-of-bag loss.

        Raises
        ------
        ImputationError
            If the imputations carry no training history.

        Examples
        --------
        `imputer` is that of the example of :class:`psmimpute.PSMImputer`.

        >>> imputer.impute(df).plot.trace()
        <Axes: ...>
        """
        return plot_trace(self._imp, ax=ax)

    def pattern_sets(self, *, show: Shown = "missing", ax: Axes | None = None) -> Axes:
        """Draw the profile of the pattern sets, or how clearly rows belong to them.

        Parameters
        ----------
        show : {"missing", "mean", "membership"}, default "missing"
            ``"missing"``: the share of missing cells by set and column, among columns with gaps.
            ``"mean"``: by set and numeric column the mean over rows and imputations, as
            difference from the overall mean in standard deviations. ``"membership"``: the
            distribution over rows of the probability of the most probable set.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes
            A heat map with one row for each set (with one column for each, where the data have many
            columns), or a histogram.

        Raises
        ------
        ImputationError
            If the imputations carry no pattern sets, or `show` is none of the three.

        Examples
        --------
        `imputer` is that of the example of :class:`psmimpute.PSMImputer`.

        >>> imputer.impute(df).plot.pattern_sets()
        <Axes: ...>
        """
        return plot_pattern_sets(self._imp, show=show, ax=ax)

    def weights(self, *, ax: Axes | None = None) -> Axes:
        """Draw the rows' effective sample sizes; red where the weights' tail is too heavy.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes
            A histogram over rows; rows with a Pareto k above 0.7 are stacked in red.

        Raises
        ------
        ImputationError
            If the imputations carry no effective sample sizes.

        References
        ----------
        .. [1] Vehtari, A., Simpson, D., Gelman, A., Yao, Y. and Gabry, J. (2024). Pareto smoothed
           importance sampling. Journal of Machine Learning Research 25(72).

        Examples
        --------
        `imputer` is that of the example of :class:`psmimpute.PSMImputer`.

        >>> imputer.impute(df).plot.weights()
        <Axes: ...>
        """
        return plot_weights(self._imp, ax=ax)

    def overimpute(self, column: Hashable, *, ax: Axes | None = None) -> Axes:
        """Draw observed values that were imputed too against their imputations.

        Parameters
        ----------
        column : hashable
            A numeric, date or duration column.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes
            For each such cell the mean of its imputations and a line that holds the observed value
            in 90 % of the cells, if observed and imputed values follow one law; with fewer than 19
            imputations, the line from the smallest to the largest and a smaller share. The title
            tells how many lines do.

        Raises
        ------
        ImputationError
            If there is no such column, it is categorical, or none of its imputed cells were
            observed.

        References
        ----------
        .. [1] Honaker, J., King, G. and Blackwell, M. (2011). Amelia II: A Program for Missing
           Data. Journal of Statistical Software 45(7). Section 4.6.2.

        Examples
        --------
        `imputer` is that of the example of :class:`psmimpute.PSMImputer`.

        >>> imputer.impute(df, where="all").plot.overimpute("bmi")
        <Axes: ...>
        """
        return plot_overimpute(self._imp, column, ax=ax)

    def propensity(self, column: Hashable, *, imputation: int = 1, ax: Axes | None = None) -> Axes:
        """Draw a column against the propensity of its being missing, given the other columns.

        If imputations are sound given the model, values of equal propensity are distributed alike,
        whether observed (blue) or imputed (red).

        Parameters
        ----------
        column : hashable
            A numeric, date or duration column with imputed cells.
        imputation : int, default 1
            The completed frame to draw, from 1 to m.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes
            Two collections of points: observed and imputed.

        Raises
        ------
        ImputationError
            If there is no such column or imputation, the column is categorical, or has no imputed
            cell.

        References
        ----------
        .. [1] Raghunathan, T. and Bondarenko, I. (2007). Diagnostics for multiple imputations.
           SSRN 1031750.

        Examples
        --------
        `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

        >>> imp.plot.propensity("bmi")
        <Axes: ...>
        """
        return plot_propensity(self._imp, column, imputation=imputation, ax=ax)
