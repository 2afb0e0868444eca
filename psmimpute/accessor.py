"""The pandas accessor ``df.psm``.

It holds no logic and no state: every method hands its data frame to the function of the same
name, which is imported when the method is called, so that ``import psmimpute`` stays cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from psmimpute.inference.config import FitConfig
from psmimpute.model.config import Missingness, ModelConfig

if TYPE_CHECKING:
    from psmimpute.imputed.multiply_imputed import MultiplyImputed
    from psmimpute.selection_effects import Effects
    from psmimpute.table.chosen_cells import Where
    from psmimpute.table.kinds import ColumnKind
    from psmimpute.table.mcar import LittleTest
    from psmimpute.table.patterns import MissingPairs
    from psmimpute.table.schema import TableSchema


@pd.api.extensions.register_dataframe_accessor("psm")
class PSMAccessor:
    """Multiple imputation as methods of a data frame.

    Parameters
    ----------
    df : DataFrame
        The frame; never changed.

    Examples
    --------
    >>> import psmimpute as psm
    >>> psm.load_nhanes2().psm.missing_pairs().mm.loc["bmi", "chl"].item()
    7
    """

    def __init__(self, df: pd.DataFrame) -> None:
        self._df = df

    def schema(
        self,
        *,
        kinds: Mapping[Any, ColumnKind | str] | None = None,
        exclude: Iterable[Hashable] = (),
        bounds: Mapping[Any, tuple[Any, Any]] | None = None,
    ) -> TableSchema:
        """Say what each column is taken to be, and why.

        Parameters
        ----------
        kinds, exclude, bounds
            See :func:`psmimpute.infer_schema`.

        Returns
        -------
        TableSchema
            One entry for each modelled column.

        Examples
        --------
        >>> import psmimpute as psm
        >>> psm.load_nhanes2().psm.schema(kinds={"age": "ordinal"})["age"].kind.value
        'ordinal'
        """
        from psmimpute.table.infer import infer_schema

        return infer_schema(self._df, kinds=kinds, exclude=exclude, bounds=bounds)

    def missing_pattern(self, *, margins: bool = True) -> pd.DataFrame:
        """Count the rows of each missing-data pattern.

        Parameters
        ----------
        margins : bool, default True
            Whether to append a row with the number of missing cells of each column.

        Returns
        -------
        DataFrame
            One row for each pattern; see :func:`psmimpute.missing_pattern`.

        Examples
        --------
        >>> import psmimpute as psm
        >>> psm.load_nhanes2().psm.missing_pattern()
                age  hyp  bmi  chl  n_missing
        n_rows
        13        1    1    1    1          0
        3         1    1    1    0          1
        1         1    1    0    1          1
        1         1    0    0    1          2
        7         1    0    0    0          3
        total     0    8    9   10         27
        """
        from psmimpute.table.patterns import missing_pattern

        return missing_pattern(self._df, margins=margins)

    def missing_pairs(self) -> MissingPairs:
        """Count rows by which of two columns are observed.

        Returns
        -------
        MissingPairs
            Four tables of counts; see :func:`psmimpute.missing_pairs`.

        Examples
        --------
        >>> import psmimpute as psm
        >>> psm.load_nhanes2().psm.missing_pairs().rr.loc["bmi", "chl"].item()
        13
        """
        from psmimpute.table.patterns import missing_pairs

        return missing_pairs(self._df)

    def flux(self) -> pd.DataFrame:
        """Measure how the columns connect through their gaps.

        Returns
        -------
        DataFrame
            One row for each column; see :func:`psmimpute.flux`.

        Examples
        --------
        >>> import psmimpute as psm
        >>> psm.load_nhanes2().psm.flux()[["pobs", "influx", "outflux"]].round(3)
             pobs  influx  outflux
        age  1.00   0.000    1.000
        bmi  0.64   0.164    0.111
        hyp  0.68   0.123    0.148
        chl  0.60   0.219    0.111
        """
        from psmimpute.table.patterns import flux

        return flux(self._df)

    def little_test(self) -> LittleTest:
        """Test whether the numbers are missing completely at random.

        Returns
        -------
        LittleTest
            See :func:`psmimpute.little_test`.

        Examples
        --------
        >>> import psmimpute as psm
        >>> round(psm.load_nhanes2().psm.little_test().p_value, 3)
        0.977
        """
        from psmimpute.table.mcar import little_test

        return little_test(self._df)

    def impute(
        self,
        m: int = 20,
        *,
        seed: int | None = None,
        missingness: Missingness = "shared",
        n_sets: int | Literal["auto"] = "auto",
        pi: float | Literal["adaptive"] | Mapping[Hashable, float] = 0.5,
        members: int | None = None,
        kinds: Mapping[Any, ColumnKind | str] | None = None,
        exclude: Iterable[Hashable] = (),
        bounds: Mapping[Any, tuple[Any, Any]] | None = None,
        derived: Mapping[Any, str | Callable[[pd.DataFrame], Any]] | None = None,
        applicable_if: Mapping[Any, str | Callable[[pd.DataFrame], Any]] | None = None,
        where: Where | None = None,
        selection_effect: Effects | None = None,
        device: str = "auto",
        progress: bool | None = None,
        model: ModelConfig = ModelConfig(),  # noqa: B008  frozen
        fit: FitConfig = FitConfig(),  # noqa: B008  frozen
    ) -> MultiplyImputed:
        """Impute the gaps m times.

        Parameters
        ----------
        m : int, default 20
            Number of imputations.
        seed, missingness, n_sets, pi, members, kinds, exclude, bounds, derived, applicable_if
            See :class:`psmimpute.PSMImputer`.
        where : DataFrame or ndarray of bool, or {"missing", "observed", "all"}, optional
            See :func:`psmimpute.impute`.
        selection_effect, device, progress
            See :class:`psmimpute.PSMImputer`.
        model : ModelConfig
            Architecture and objective.
        fit : FitConfig
            Training and drawing.

        Returns
        -------
        MultiplyImputed
            The data and the m imputations; see :func:`psmimpute.impute`.

        Examples
        --------
        >>> import psmimpute as psm
        >>> quick = {"n_sets": 1, "fit": psm.FitConfig(max_steps=5)}
        >>> psm.load_nhanes2().psm.impute(m=2, seed=1, **quick).m
        2
        """
        from psmimpute.imputer import impute

        return impute(
            self._df,
            m,
            seed=seed,
            missingness=missingness,
            n_sets=n_sets,
            pi=pi,
            members=members,
            kinds=kinds,
            exclude=exclude,
            bounds=bounds,
            derived=derived,
            applicable_if=applicable_if,
            where=where,
            selection_effect=selection_effect,
            device=device,
            progress=progress,
            model=model,
            fit=fit,
        )
