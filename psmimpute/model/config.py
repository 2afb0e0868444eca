"""What the user chooses about the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from psmimpute.exceptions import ConfigError
from psmimpute.plain_numbers import make_numbers_plain

Missingness = Literal["shared", "selection", "ignorable"]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Architecture and objective of the pattern-set mixture model.

    The defaults are one setting for all data sets.

    Parameters
    ----------
    latent_dim : int or "auto", default "auto"
        Dimension of z. ``"auto"`` takes the number of model outputs, 12 at most. Where rows held
        out agree, as many as the correlations of the table show factors, 48 at most, or as the
        model has outputs, up to 32.
    hidden_dim : int or "auto", default "auto"
        Width of the decoder's and the encoder's hidden layers. ``"auto"`` is 32 below
        2,000 rows, 64 below 10,000, then 128; 0 leaves the networks out, and the model is a
        mixture of factor analysers.
    n_layers : int, default 2
        Number of hidden layers of each network.
    objective : {"iwae", "elbo"}, default "iwae"
        ``"elbo"`` is the bound of the paper's Table 1; ``"iwae"`` its importance-weighted form,
        with the pattern set summed exactly in both.
    evidence : {"normalised", "paper"}, default "normalised"
        Weights of an observed cell under the decoders of x_obs and x_mis: (π′, 1 − π′), or the
        paper's (1, 1 − π′), which counts an observed cell 2 − π′ times; see the page on
        statistics.
    decoders : {"tied", "separate"}, default "separate"
        Whether x_mis has deviations of its own from the decoder of x_obs. Under
        ``missingness="selection"`` they are always tied: nothing in the data tells a shift of
        x_mis from self-masking.
    mask_covariates : bool or "auto", default "auto"
        Whether the missingness of a cell may depend on the columns without gaps besides what
        its class names. ``"auto"`` is True under ``"shared"`` and False under ``"selection"``,
        the self-masking of the paper. There True makes it the selection model of econometrics:
        what such a column explains is no longer laid to the value itself, and little is left to
        tell how strongly the value decides. Intervals are wider, and hold where gaps hang on
        seen columns too.
    mask_latent : bool, default False
        Under ``missingness="shared"``, whether the missingness of a cell may depend on z as
        well as on the pattern set and on the columns without gaps. Off, because it biases
        what is missing at random: a gap that depends on a seen value then passes for news
        about the unseen ones.
    encoder : {"exact", "network"}, default "exact"
        Recognition model. ``"exact"`` corrects the posterior of the decoder's linear part by a
        network; ``"network"`` is the paper's: a network alone, whose input is zero where a cell
        is missing, and which is told which cells are missing unless missingness is ignorable.
        For comparisons: the same decoder learns much less with it.
    smoothing : bool or "auto", default "auto"
        Whether the exact posterior that the network corrects is that of the line which fits the
        whole decoder best where z is likely to lie, or of the decoder's linear part. ``"auto"``
        takes the line up to six latents, and with more, 12 at most, unless rows held out clearly
        speak for the linear part.
    covariate_dim : int or "auto", default "auto"
        Width of the network that predicts the columns with gaps from those without, before z
        explains what that leaves. ``"auto"`` takes twice the width of the other networks where
        there are more than 4,096 rows and those held out clearly speak for it against a linear
        regression; 0 leaves it out, as do ``missingness="selection"``, ``encoder="network"`` and
        fewer than 100 rows.
    products : bool, default True
        Whether products and squares of columns without gaps that clearly tell of a column with
        gaps are added to its linear predictor: see
        :func:`psmimpute.inference.products.choose_products`. Not where there is a network for that,
        nor under ``missingness="selection"`` or ``encoder="network"``.

    Raises
    ------
    ConfigError
        If an option has a value that it cannot have.

    Examples
    --------
    >>> ModelConfig(hidden_dim=64).n_layers
    2
    """

    latent_dim: int | Literal["auto"] = "auto"
    hidden_dim: int | Literal["auto"] = "auto"
    n_layers: int = 2
    objective: Literal["iwae", "elbo"] = "iwae"
    evidence: Literal["normalised", "paper"] = "normalised"
    decoders: Literal["tied", "separate"] = "separate"
    mask_covariates: bool | Literal["auto"] = "auto"
    mask_latent: bool = False
    encoder: Literal["exact", "network"] = "exact"
    smoothing: bool | Literal["auto"] = "auto"
    covariate_dim: int | Literal["auto"] = "auto"
    products: bool = True

    def __post_init__(self) -> None:
        make_numbers_plain(self)
        choices = {
            "objective": ("iwae", "elbo"),
            "evidence": ("normalised", "paper"),
            "decoders": ("tied", "separate"),
            "encoder": ("exact", "network"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")
        if self.latent_dim != "auto" and self.latent_dim < 1:
            raise ConfigError(f"latent_dim must be 'auto' or at least 1, got {self.latent_dim}")
        if (self.hidden_dim != "auto" and self.hidden_dim < 0) or self.n_layers < 1:
            raise ConfigError(
                "hidden_dim must be 'auto' or at least 0 and n_layers at least 1, got "
                f"{self.hidden_dim} and {self.n_layers}"
            )
        if self.covariate_dim != "auto" and self.covariate_dim < 0:
            raise ConfigError(
                f"covariate_dim must be 'auto' or at least 0, got {self.covariate_dim}"
            )
        if self.encoder == "network" and self.hidden_dim == 0:
            raise ConfigError("encoder='network' needs a network: hidden_dim must not be 0")
        if self.encoder == "network" and self.smoothing is True:
            raise ConfigError("smoothing=True needs encoder='exact'")
