"""What decides the shapes of the model."""

from __future__ import annotations

from dataclasses import dataclass

from psmimpute.exceptions import ConfigError
from psmimpute.model.config import Missingness, ModelConfig
from psmimpute.model.encoders import SMOOTHED_DIM
from psmimpute.model.layout import FeatureLayout
from psmimpute.table.kinds import Family

_LARGEST_LATENT_DIM = 12


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything that decides the shapes of the model: enough to rebuild it from a file.

    Attributes
    ----------
    layout : FeatureLayout
        Order of the features.
    gappy : tuple of int
        Columns that have missing cells.
    n_sets : int
        Number of pattern sets.
    missingness : {"shared", "selection", "ignorable"}
        Model of missingness.
    pi : tuple of float
        pi' of each column.
    config : ModelConfig
        What the user chose.
    selection_effects : tuple of (int, tuple of float)
        Given effects of values on being observed, under selection: by output of the layout, one
        value or one for each set.
    products : tuple of (int, int)
        Network inputs of columns without gaps whose products tell of the others.
    """

    layout: FeatureLayout
    gappy: tuple[int, ...]
    n_sets: int
    missingness: Missingness
    pi: tuple[float, ...]
    config: ModelConfig
    selection_effects: tuple[tuple[int, tuple[float, ...]], ...] = ()
    products: tuple[tuple[int, int], ...] = ()

    @property
    def hidden_dim(self) -> int:
        """Width of the networks, 0 where there are none."""
        if self.config.hidden_dim == "auto":
            raise ConfigError("hidden_dim must be resolved for the number of rows first")
        return self.config.hidden_dim

    @property
    def covariate_dim(self) -> int:
        """Width of the network from the columns without gaps, 0 where there is none."""
        config = self.config
        if config.covariate_dim == "auto" or not (self.gappy and self.complete_inputs):
            return 0
        suits = self.missingness != "selection" and config.encoder == "exact"
        return config.covariate_dim if suits else 0

    @property
    def latent_dim(self) -> int:
        """Dimension of z."""
        if self.config.latent_dim != "auto":
            return self.config.latent_dim
        return min(self.full_latent_dim, _LARGEST_LATENT_DIM)

    @property
    def smoothing(self) -> bool:
        """Whether the recognition model follows a bent decoder."""
        if self.config.smoothing != "auto":
            return self.config.smoothing
        return self.config.encoder == "exact" and self.latent_dim <= SMOOTHED_DIM

    @property
    def full_latent_dim(self) -> int:
        """Dimension of z in which any linear dependence of the outputs has room."""
        categorical = self.layout.block(Family.CATEGORICAL)
        redundant = categorical.n_features if categorical else 0
        return max(1, self.layout.n_outputs - redundant)

    @property
    def explains_gaps(self) -> bool:
        """Whether the missingness of a cell may depend on the columns without gaps."""
        given = self.config.mask_covariates
        return self.missingness == "shared" if given == "auto" else given

    @property
    def complete_inputs(self) -> tuple[int, ...]:
        """Network inputs of the columns without gaps."""
        owners = self.layout.columns_of_inputs()
        return tuple(i for i, column in enumerate(owners) if column not in self.gappy)
