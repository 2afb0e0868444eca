"""The pandas accessor ``df.psm``.

It holds no logic and no state: every method hands its data frame to the function of the same
name.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from psmimpute.inference.config import FitConfig
from psmimpute.model.config import Missingness, ModelConfig
from psmimpute.table.infer import infer_schema
from psmimpute.table.kinds import ColumnKind
from psmimpute.table.patterns import flux, missing_pattern
from psmimpute.table.schema import TableSchema

if TYPE_CHECKING:
    from psmimpute.imputed.multiply_imputed import MultiplyImputed


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
    >>> imp = psm.datasets.load_nhanes2().psm.impute(m=2, seed=1)
    >>> len(imp)
    2
    """

    def __init__(self, df: pd.DataFrame) -> None:
        self._df = df

    def schema(
        self,
        *,
        kinds: Mapping[Any, ColumnKind | str] | None = None,
        exclude: Iterable[Hashable] = (),
        bounds: Mapping[Any, tuple[float | None, float | None]] | None = None,
    ) -> TableSchema:
        """Say what each column is taken to be, and why; see :func:`psmimpute.infer_schema`."""
        return infer_schema(self._df, kinds=kinds, exclude=exclude, bounds=bounds)

    def missing_pattern(self) -> pd.DataFrame:
        """Count the rows of each missing-data pattern; see :func:`psmimpute.missing_pattern`."""
        return missing_pattern(self._df)

    def flux(self) -> pd.DataFrame:
        """Measure how columns connect through gaps; see :func:`psmimpute.flux`."""
        return flux(self._df)

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
        bounds: Mapping[Any, tuple[float | None, float | None]] | None = None,
        device: str = "auto",
        progress: bool | None = None,
        model: ModelConfig = ModelConfig(),  # noqa: B008  frozen
        fit: FitConfig = FitConfig(),  # noqa: B008  frozen
    ) -> MultiplyImputed:
        """Impute the gaps m times; see :func:`psmimpute.impute`."""
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
            device=device,
            progress=progress,
            model=model,
            fit=fit,
        )
