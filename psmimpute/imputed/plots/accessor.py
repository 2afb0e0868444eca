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
    """

    def __init__(self, imp: ImputedTable) -> None:
        self._imp = imp

    def density(self, column: Hashable, *, ax: Axes | None = None) -> Axes:
        """Draw densities: see :func:`~psmimpute.imputed.plots.density.plot_density`."""
        return plot_density(self._imp, column, ax=ax)

    def strip(self, column: Hashable, *, ax: Axes | None = None) -> Axes:
        """Draw values as points: see :func:`~psmimpute.imputed.plots.strip.plot_strip`."""
        return plot_strip(self._imp, column, ax=ax)

    def box(self, column: Hashable, *, ax: Axes | None = None) -> Axes:
        """Draw boxes by imputation: see :func:`~psmimpute.imputed.plots.box.plot_box`."""
        return plot_box(self._imp, column, ax=ax)

    def xy(self, x: Hashable, y: Hashable, *, imputation: int = 1, ax: Axes | None = None) -> Axes:
        """Draw two columns: see :func:`~psmimpute.imputed.plots.xy.plot_xy`."""
        return plot_xy(self._imp, x, y, imputation=imputation, ax=ax)

    def bars(self, column: Hashable, *, ax: Axes | None = None) -> Axes:
        """Draw shares of levels: see :func:`~psmimpute.imputed.plots.bars.plot_bars`."""
        return plot_bars(self._imp, column, ax=ax)

    def pattern(self, *, max_patterns: int = 25, ax: Axes | None = None) -> Axes:
        """Draw missing patterns: see :func:`~psmimpute.imputed.plots.pattern.plot_pattern`."""
        return plot_pattern(self._imp, max_patterns=max_patterns, ax=ax)

    def flux(self, *, ax: Axes | None = None) -> Axes:
        """Draw influx and outflux: see :func:`~psmimpute.imputed.plots.flux.plot_flux`."""
        return plot_flux(self._imp, ax=ax)

    def trace(self, *, ax: Axes | None = None) -> Axes:
        """Draw training losses: see :func:`~psmimpute.imputed.plots.trace.plot_trace`."""
        return plot_trace(self._imp, ax=ax)

    def pattern_sets(self, *, show: Shown = "missing", ax: Axes | None = None) -> Axes:
        """Draw set profiles: see `~psmimpute.imputed.plots.pattern_sets.plot_pattern_sets`."""
        return plot_pattern_sets(self._imp, show=show, ax=ax)

    def weights(self, *, ax: Axes | None = None) -> Axes:
        """Draw weight quality: see :func:`~psmimpute.imputed.plots.weights.plot_weights`."""
        return plot_weights(self._imp, ax=ax)

    def overimpute(self, column: Hashable, *, ax: Axes | None = None) -> Axes:
        """Draw overimputations: see `~psmimpute.imputed.plots.overimpute.plot_overimpute`."""
        return plot_overimpute(self._imp, column, ax=ax)

    def propensity(self, column: Hashable, *, imputation: int = 1, ax: Axes | None = None) -> Axes:
        """Draw against propensity: see `~psmimpute.imputed.plots.propensity.plot_propensity`."""
        return plot_propensity(self._imp, column, imputation=imputation, ax=ax)
