"""The contestants of the paper's tables by name.

The deep ones but GAIN are configurations of one model. Those that bear the paper's names are set
up as it publishes them: Gaussian columns, a network for an encoder that reads zeros where cells
are missing, the one-sample bound (MIWAE: 50 samples, importance-weighted), one fit without a
bootstrap. ``ours`` is the package as it comes, and ``ours-selection`` that for whom the user says
that columns mask themselves.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

import psmimpute as psm
from benchmarks.method import Array, Method
from benchmarks.peers.gain import GAIN
from benchmarks.peers.mean import MEAN
from benchmarks.peers.mice import MICE, MICE_DRAW
from benchmarks.peers.miceforest import MICEFOREST
from benchmarks.peers.midas import MIDAS_METHOD
from benchmarks.peers.missforest import MISSFOREST

# The paper leaves these open; one choice for all data sets, made before any was run.
_N_SETS, _N_STEPS, _LARGEST_LATENT_DIM = 3, 2000, 12
_MANY_SAMPLES = 10_000
_MIWAE_SAMPLES = 50


@dataclass(frozen=True)
class Fitted:
    """A fitted imputer and its table."""

    imputer: psm.PSMImputer
    frame: pd.DataFrame

    @property
    def n_sets(self) -> int:
        """Number of pattern sets."""
        return self.imputer.n_sets_


@dataclass(frozen=True)
class Configuration:
    """A configuration of the model.

    Attributes
    ----------
    options : mapping
        Keyword arguments of the imputer.
    model, fit_options : mapping
        Of its ModelConfig and its FitConfig.
    n_samples : int or "auto"
        Importance samples of each member's single imputation.
    numbers : bool
        Whether every column is taken as continuous.
    latents : int
        Multiple of the default dimension of z; 1 leaves it to the package.
    """

    options: Mapping[str, Any]
    model: Mapping[str, Any] = field(default_factory=dict)
    fit_options: Mapping[str, Any] = field(default_factory=dict)
    n_samples: int | Literal["auto"] = 1
    numbers: bool = True
    latents: int = 1

    def imputer(self, frame: pd.DataFrame, seed: int) -> psm.PSMImputer:
        """Return the imputer, not fitted yet."""
        model = dict(self.model)
        if self.latents > 1:
            model["latent_dim"] = self.latents * min(frame.shape[1], _LARGEST_LATENT_DIM)
        return psm.PSMImputer(
            **self.options,
            seed=seed,
            kinds=dict.fromkeys(frame.columns, "continuous") if self.numbers else None,
            model=psm.ModelConfig(**model),
            fit=psm.FitConfig(**self.fit_options),
            progress=False,
        )

    def fit(self, table: Array, seed: int) -> Fitted:
        """Fit a table, shape (n, d)."""
        frame = pd.DataFrame(table).add_prefix("x")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", psm.exceptions.PSMWarning)
            return Fitted(self.imputer(frame, seed).fit(frame), frame)

    def point(self, fitted: Fitted) -> Array:
        """Conditional means, shape (n, d)."""
        filled = fitted.imputer.transform(fitted.frame, n_samples=self.n_samples)
        return filled.to_numpy(float)

    def method(self, shares: str) -> Method:
        """Return the contestant."""
        return Method(
            fit=self.fit,
            point=self.point,
            draws=draw,
            shares=shares,
            settings=f"K={self.n_samples}",
        )


def draw(fitted: Fitted, m: int) -> Array:
    """Make m imputations, shape (m, n, d)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", psm.exceptions.PSMWarning)
        imp = fitted.imputer.impute(fitted.frame, m)
    return np.stack([imp.complete(i + 1).to_numpy(float) for i in range(m)])


def published() -> dict[str, Configuration]:
    """Return the paper's deep models as it publishes them, GAIN apart."""
    network = {"encoder": "network", "objective": "elbo"}
    once = {"resample": False, "max_steps": _N_STEPS, "n_samples": 1}
    tied = {**network, "decoders": "tied"}
    twice = {**network, "decoders": "separate", "evidence": "paper"}
    one = {"m": 1, "members": 1}
    sets = {**one, "n_sets": _N_SETS}
    b = Configuration(
        {**sets, "missingness": "shared", "pi": 0.5}, {**twice, "mask_latent": True}, once
    )
    without = Configuration({**sets, "missingness": "ignorable", "pi": 0.5}, twice, once)
    weighted = {**once, "n_samples": _MIWAE_SAMPLES}
    miwae = Configuration(
        {**one, "n_sets": 1, "missingness": "ignorable"}, {**tied, "objective": "iwae"}, weighted
    )
    return {
        "psmvae-a": Configuration(
            {**sets, "missingness": "selection", "pi": 0.5},
            {**network, "evidence": "paper"},
            once,
            n_samples=_MANY_SAMPLES,
        ),
        "psmvae-b": b,
        "psmvae-b-10000": replace(b, n_samples=_MANY_SAMPLES),
        "psmvae-without-m": without,
        "dlgm": replace(without, options={**without.options, "pi": 0.0}, latents=2),
        "hivae": Configuration({**sets, "missingness": "ignorable", "pi": 0.0}, tied, once),
        "vae": Configuration(
            {**one, "n_sets": 1, "missingness": "ignorable", "pi": 0.0}, tied, once
        ),
        "miwae": miwae,
        "miwae-10000": replace(miwae, n_samples=_MANY_SAMPLES),
        "not-miwae": replace(
            miwae,
            options={**miwae.options, "missingness": "selection"},
            n_samples=_MANY_SAMPLES,
        ),
    }


PEERS = {
    "gain": GAIN,
    "mice": MICE,
    "mice-draw": MICE_DRAW,
    "missforest": MISSFOREST,
    "mean": MEAN,
    "miceforest": MICEFOREST,
    "midas": MIDAS_METHOD,
}
OPTIONAL = ("miceforest", "midas")


def default(*, members: int, missingness: str = "shared") -> Configuration:
    """Return the package's default with so many members; 20 is the default."""
    options = {"m": members, "missingness": missingness}
    return Configuration(options, n_samples="auto", numbers=False)


def methods(*, members: int = 20) -> dict[str, Method]:
    """Return every contestant by name.

    Parameters
    ----------
    members : int
        Of ``ours`` and ``ours-selection``.
    """
    deep = {name: c.method(name.removesuffix("-10000")) for name, c in published().items()}
    settings = f"{members} members"
    own = {
        name: replace(
            default(members=members, missingness=missingness).method(name), settings=settings
        )
        for name, missingness in (("ours", "shared"), ("ours-selection", "selection"))
    }
    return {**deep, **PEERS, **own}
