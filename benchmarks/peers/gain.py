"""GAIN: generative adversarial imputation nets.

A generator fills the gaps, a discriminator guesses which cells it filled, given a hint that
shows most of the answer.

References
----------
.. [1] Yoon, J., Jordon, J. and van der Schaar, M. (2018). GAIN: missing data imputation using
   generative adversarial nets. ICML, PMLR 80, 5689-5698.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.method import Array, Method

# Settings of the authors' experiments.
_HINT_RATE, _ALPHA, _BATCH_ROWS, _N_STEPS, _NOISE = 0.9, 100.0, 128, 10_000, 0.01
_TINY = 1e-8


@dataclass(frozen=True)
class Generator:
    """A trained generator and the table it fills, scaled to [0, 1]."""

    net: nn.Module
    table: Array
    low: Array
    width: Array
    noise: torch.Generator


def _net(d: int, generator: torch.Generator) -> nn.Sequential:
    """Two hidden layers as wide as the table, Xavier's normal start, outputs in (0, 1)."""
    sizes = [(2 * d, d), (d, d), (d, d)]
    layers: list[nn.Module] = []
    for n_in, n_out in sizes:
        linear = nn.Linear(n_in, n_out)
        with torch.no_grad():
            sd = 1 / math.sqrt(n_in / 2)
            linear.weight.copy_(sd * torch.randn(n_out, n_in, generator=generator))
            linear.bias.zero_()
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1], nn.Sigmoid())


def fit(table: Array, seed: int, *, n_steps: int = _N_STEPS) -> Generator:
    """Train generator and discriminator in turn.

    Parameters
    ----------
    table : ndarray, shape (n, d)
        NaN in the gaps.
    seed : int
    n_steps : int
        Steps of each.

    Returns
    -------
    Generator
    """
    low = np.nanmin(table, 0)
    width = np.nanmax(table, 0) - low + 1e-6
    seen = ~np.isnan(table)
    x = torch.from_numpy(np.where(seen, (table - low) / width, 0.0)).float()
    m = torch.from_numpy(seen).float()
    noise = torch.Generator().manual_seed(seed)
    n, d = x.shape
    generator, discriminator = _net(d, noise), _net(d, noise)
    of_generator = torch.optim.Adam(generator.parameters())
    of_discriminator = torch.optim.Adam(discriminator.parameters())
    for _ in range(n_steps):
        rows = torch.randperm(n, generator=noise)[:_BATCH_ROWS]
        seen_rows, filled = m[rows], _with_noise(x[rows], m[rows], noise)
        shown = (torch.rand(seen_rows.shape, generator=noise) < _HINT_RATE).float()
        hint = seen_rows * shown
        # One pass of the generator serves both: it does not move while the discriminator does.
        made = generator(torch.cat([filled, seen_rows], 1))
        complete = filled * seen_rows + made * (1 - seen_rows)
        guess = discriminator(torch.cat([complete.detach(), hint], 1))
        loss = F.binary_cross_entropy(guess, seen_rows)
        of_discriminator.zero_grad()
        loss.backward()
        of_discriminator.step()
        guess = discriminator(torch.cat([complete, hint], 1))
        fooled = -((1 - seen_rows) * torch.log(guess + _TINY)).mean()
        error = ((seen_rows * (filled - made)) ** 2).mean() / seen_rows.mean()
        of_generator.zero_grad()
        (fooled + _ALPHA * error).backward()
        of_generator.step()
    return Generator(generator, table, low, width, noise)


def _with_noise(x: Tensor, m: Tensor, noise: torch.Generator) -> Tensor:
    """Observed values, and noise in the gaps."""
    return m * x + (1 - m) * _NOISE * torch.rand(x.shape, generator=noise)


@torch.no_grad()
def impute(found: Generator) -> Array:
    """Fill every gap by the generator."""
    seen = ~np.isnan(found.table)
    x = torch.from_numpy(np.where(seen, (found.table - found.low) / found.width, 0.0)).float()
    m = torch.from_numpy(seen).float()
    made = found.net(torch.cat([_with_noise(x, m, found.noise), m], 1)).double().numpy()
    return np.where(seen, found.table, made * found.width + found.low)


GAIN = Method(fit=fit, point=impute, settings=f"{_N_STEPS} steps")
