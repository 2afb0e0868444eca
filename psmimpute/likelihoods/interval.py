"""A logistic or normal latent value that is seen only up to an interval.

With y = eta + scale * logistic noise and y known to lie in (l, u),

    log P = log[F((u - eta) / scale) - F((l - eta) / scale)],   F the logistic function.

Writing a = F((u - eta) / scale) and b = F((l - eta) / scale), its derivative in eta is
(a + b - 1) / scale and minus its second derivative is (a (1 - a) + b (1 - b)) / scale^2, so
the log likelihood is concave in eta. Bernoulli (one cut at zero) and ordinal (learned cuts) are
this model. Counts (fixed cuts, learned scale) are it with normal noise: behind a root or a
logarithm the tails of logistic noise are far heavier than those of counts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from psmimpute.likelihoods.base import Expansion

# Intervals narrower than this, in logistic scales, are taken to be this wide: it bounds
# log P from below and its gradient from above when the scale of a wide count runs away.
_NARROWEST = 1e-6
_HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)
_LEAST_INFORMATION = 1e-6


def log_mass(lower: Tensor, upper: Tensor) -> Tensor:
    """Log mass of a standard logistic variable between `lower` and `upper`.

    F(u) - F(l) = F(u) F(-l) (1 - exp(l - u)) holds without cancellation, also far out.
    """
    gap = torch.log(-torch.expm1(-(upper - lower).clamp_min(_NARROWEST)))
    return F.logsigmoid(upper) + F.logsigmoid(-lower) + gap


def flattening(variance: Tensor | None) -> Tensor | float:
    r"""Factor by which a logistic curve is flatter when its argument is normal.

    .. math:: E F(\eta + \sqrt{v} u) \approx F(\eta / \sqrt{1 + \pi v / 8})

    Parameters
    ----------
    variance : Tensor, optional
        v; none is 0.

    Returns
    -------
    Tensor or float

    References
    ----------
    .. [1] MacKay, D. J. C. (1992). The evidence framework applied to classification networks.
       Neural Computation 4(5), 720-736.
    """
    return 1.0 if variance is None else torch.rsqrt(1 + math.pi / 8 * variance)


def expand_interval(lower: Tensor, upper: Tensor, variance: Tensor | None = None) -> Expansion:
    """Score and information of :func:`log_mass` in a common shift, for unit scale.

    Expected ones over a normal shift where its `variance` is given.
    """
    flat = flattening(variance)
    a, b = torch.sigmoid(flat * upper), torch.sigmoid(flat * lower)
    return Expansion(a + b - 1, flat * (a * (1 - a) + b * (1 - b)))


def log_normal_mass(lower: Tensor, upper: Tensor) -> Tensor:
    """Log mass of a standard normal variable between `lower` and `upper`.

    On the side where both tails are small, so that nothing cancels far out.
    """
    upper = torch.maximum(upper, lower + _NARROWEST)
    flip = lower + upper > 0
    low, high = torch.where(flip, -upper, lower), torch.where(flip, -lower, upper)
    below, all_below = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
    mass: Tensor = all_below + torch.log(-torch.expm1((below - all_below).clamp_max(-_NARROWEST)))
    return mass


def expand_normal_interval(lower: Tensor, upper: Tensor) -> Expansion:
    """Score and information of :func:`log_normal_mass` in a common shift."""
    log_m = log_normal_mass(lower, upper)
    at_lower, at_upper = (
        torch.exp(-0.5 * x.square() - _HALF_LOG_2_PI - log_m) for x in (lower, upper)
    )
    score = at_lower - at_upper
    information = score.square() + upper * at_upper - lower * at_lower
    return Expansion(score, information.clamp(_LEAST_INFORMATION, 1.0))


def logistic_quantile(uniform: Tensor) -> Tensor:
    """Return standard logistic quantiles."""
    return torch.logit(uniform)
