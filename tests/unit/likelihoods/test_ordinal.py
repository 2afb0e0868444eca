"""The ordinal likelihood against MASS::polr.

The values and their generator lie in tests/reference/ordinal; both programs work in double
precision, so they agree to 1e-12.
"""

from __future__ import annotations

import re

import pandas as pd
import pytest
import torch

from psmimpute.likelihoods.base import Observation
from psmimpute.likelihoods.ordinal import OrdinalLikelihood


@pytest.fixture
def polr(reference_dir):
    """Cutpoints, log likelihood, linear predictors and levels of a fit."""
    path = reference_dir / "ordinal" / "polr.csv"
    header = path.read_text().splitlines()[2]
    numbers = [float(number) for number in re.findall(r"-?\d+\.\d+", header)]
    table = pd.read_csv(path, comment="#")
    return numbers[:2], numbers[2], table["eta"].to_numpy(), table["y"].to_numpy(dtype=float)


def _likelihood(cutpoints):
    likelihood = OrdinalLikelihood(1, (3,)).double()
    gap = torch.tensor(cutpoints[1] - cutpoints[0], dtype=torch.float64)
    with torch.no_grad():
        likelihood.first_cutpoint.fill_(cutpoints[0])
        likelihood.raw_gaps.fill_(torch.log(torch.expm1(gap)).item())
    return likelihood


def _columns(eta, y):
    value = torch.tensor(y)[None, None, None, :, None]
    return torch.tensor(eta)[None, None, None, :, None], Observation(value, value, value)


def test_the_log_likelihood_is_that_of_polr(polr):
    cutpoints, log_likelihood, eta, y = polr
    linear, x = _columns(eta, y)
    total = _likelihood(cutpoints).log_prob(linear, x).sum().item()
    assert total == pytest.approx(log_likelihood, rel=1e-12)


def test_polr_is_at_the_maximum(polr):
    """At its estimates the scores of the cutpoints and of the slope vanish."""
    cutpoints, _, eta, y = polr
    likelihood = _likelihood(cutpoints)
    linear, x = _columns(eta, y)
    slope = torch.ones((), dtype=torch.float64, requires_grad=True)
    likelihood.log_prob(slope * linear, x).sum().backward()
    # polr stops its BFGS at a relative change of 1e-8 of the deviance.
    assert slope.grad.item() == pytest.approx(0, abs=1e-3)
    assert likelihood.first_cutpoint.grad.item() == pytest.approx(0, abs=1e-3)
    assert likelihood.raw_gaps.grad.item() == pytest.approx(0, abs=1e-3)
