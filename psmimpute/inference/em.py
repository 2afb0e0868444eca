r"""Members of linear Gaussian models by expectation and maximisation.

With one pattern set, Gaussian columns and no networks the model is factor analysis with gaps.
Of the rows that show the same columns an iteration needs only the sums of their products, so it
costs the same however many rows there are, and it uses them all. The M-step is a ridge
regression of every column on z [1]_. Where z is nearly known, EM alone would crawl: within an
iteration the mean and covariance of z are left free, and then given to the loadings, which is
parameter expansion [2]_; the loadings' prior is allowed for, so that the penalised likelihood
never falls. Where z is as wide as a row, about a dozen iterations do, and several dozen where most
cells are missing. With fewer latents the variances
that they leave to single columns are slow, and gradient steps are faster.

References
----------
.. [1] Rubin, D. B. and Thayer, D. T. (1982). EM algorithms for ML factor analysis.
   Psychometrika 47(1), 69-76.
.. [2] Liu, C., Rubin, D. B. and Wu, Y. N. (1998). Parameter expansion to accelerate EM: the
   PX-EM algorithm. Biometrika 85(4), 755-770.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from psmimpute.inference.mask_regressions import MaskRegressions
from psmimpute.inference.trainer import Trained, Trainer
from psmimpute.likelihoods.base import PRIOR_ROWS
from psmimpute.likelihoods.gaussian import GaussianLikelihood
from psmimpute.model.covariates import CovariateNetwork
from psmimpute.model.decoder import DEVIATION_PRECISION, LOADING_PRECISION
from psmimpute.model.missingness import SharedParameter
from psmimpute.model.psm_vae import PatternSetMixtureVAE
from psmimpute.model.rows import Rows, RowStore
from psmimpute.model.small_cholesky import Factor, factor

# Numbers of a member's sums of products: with more of them, gradient steps are faster.
_MOST_SUMS = 2**18
# Nats of the whole table: a member is done when two iterations in a row change its likelihood by
# less. The priors do not judge: how they split a variance that z explains fully moves slowly, and
# imputations hardly with it.
_LEAST_CHANGE = 1e-3
# Prior precision of an intercept: holds one that no row of a resample informs.
_FREE_PRECISION = 1e-6
_LOG_2PI = math.log(2 * math.pi)
_BLOCK_FLOATS = 2**22


class Sums(NamedTuple):
    """Sums over the rows that show the same columns.

    Attributes
    ----------
    seen : Tensor, shape (patterns, columns)
        1.0 where the pattern shows the column.
    products : Tensor, shape (members, patterns, 1 + columns, 1 + columns)
        Weighted sums of products of (1, x), x zero where missing.
    """

    seen: Tensor
    products: Tensor


class LinearParameters(NamedTuple):
    """Parameters of the linear model.

    Attributes
    ----------
    direct : Tensor, shape (members, columns, 1 + latent)
        Intercepts and loadings of x_obs.
    deviation : Tensor, shape (members, columns, 1 + latent), or None
        Those of x_mis less those of x_obs, where they differ.
    variance : Tensor, shape (members, columns)
    """

    direct: Tensor
    deviation: Tensor | None
    variance: Tensor

    def other(self) -> Tensor:
        """Return intercepts and loadings of x_mis."""
        return self.direct if self.deviation is None else self.direct + self.deviation


class Expected(NamedTuple):
    """Sums over rows of expectations given the observed cells; u is (1, z).

    Attributes
    ----------
    log_likelihood : Tensor, shape (members,)
    products : Tensor, shape (members, columns, 1 + latent, 1 + latent)
        Of u u', over the rows that show the column.
    crossed : Tensor, shape (members, columns, 1 + latent)
        Of u x, over the same rows.
    total : Tensor, shape (members, 1 + latent, 1 + latent)
        Of u u', over all rows.
    """

    log_likelihood: Tensor
    products: Tensor
    crossed: Tensor
    total: Tensor


class Patterns(NamedTuple):
    """Rows that show the same columns.

    Attributes
    ----------
    of_row : ndarray of int, shape (rows,)
        Number of the row's pattern.
    seen : Tensor, shape (patterns, columns)
        1.0 where the pattern shows the column.
    """

    of_row: npt.NDArray[np.intp]
    seen: Tensor

    @property
    def n_sums(self) -> int:
        """Numbers of a member's sums of products."""
        n_patterns, n_columns = self.seen.shape
        return n_patterns * (1 + n_columns) ** 2


def patterns_for_em(model: PatternSetMixtureVAE, store: RowStore) -> Patterns | None:
    """Return the patterns of the rows, or None where members are for gradient steps.

    Parameters
    ----------
    model : PatternSetMixtureVAE
        The start of the members.
    store : RowStore
        Rows of the table.

    Returns
    -------
    Patterns or None
    """
    spec = model.spec
    wide = 0 < spec.layout.n_outputs <= spec.latent_dim
    straight = model.knows_posterior and not isinstance(model.covariates, CovariateNetwork)
    if not (straight and wide) or store.packed.device.type == "mps":  # no doubles
        return None
    if not all(bool(torch.isfinite(p).all()) for p in model.parameters()):
        return None
    found = pattern_of_rows(store.all())
    return found if found.n_sums <= _MOST_SUMS else None


def pattern_of_rows(rows: Rows) -> Patterns:
    """Tell which rows show the same columns.

    Parameters
    ----------
    rows : Rows
        The same for all members.

    Returns
    -------
    Patterns
    """
    observed = rows.observed[0]
    bits = np.packbits(observed.cpu().numpy() > 0, axis=1)
    padded = np.zeros((len(bits), -(-bits.shape[1] // 8) * 8), dtype=np.uint8)
    padded[:, : bits.shape[1]] = bits
    keys = padded.view(np.uint64)
    _, first, pattern = np.unique(
        keys[:, 0] if keys.shape[1] == 1 else keys,
        axis=0,
        return_index=True,
        return_inverse=True,
    )
    seen = observed[torch.from_numpy(first).to(observed.device)].double()
    return Patterns(pattern.reshape(-1), seen)


def sum_products(rows: Rows, patterns: Patterns, counts: npt.NDArray[np.uint16]) -> Sums:
    """Sum the products of the columns over the rows of each pattern.

    Parameters
    ----------
    rows : Rows
        The same for all members.
    patterns : Patterns
        Of the rows.
    counts : ndarray, shape (members, rows)
        Weights.

    Returns
    -------
    Sums
    """
    values, (pattern, seen) = rows.values[0], patterns
    if rows.offset is not None:  # what products say, and z need not
        values = (values - rows.offset[0]) * rows.observed[0]
    n_members, width = len(counts), 1 + values.shape[1]
    products = values.new_empty(n_members, len(seen), width**2, dtype=torch.float64)
    order = np.argsort(pattern, kind="stable")
    ends = np.searchsorted(pattern[order], np.arange(len(seen) + 1))
    most = max(1, _BLOCK_FLOATS // max(width**2, n_members))
    for p in range(len(seen)):
        total = products[:, p].zero_()
        for start in range(ends[p], ends[p + 1], most):
            index = order[start : min(start + most, ends[p + 1])]
            x = F.pad(values[torch.from_numpy(index).to(values.device)].double(), (1, 0), value=1.0)
            weight = torch.from_numpy(counts[:, index].astype(np.float64)).to(values.device)
            total += weight @ (x[:, :, None] * x[:, None]).flatten(1)
    return Sums(seen, products.reshape(n_members, -1, width, width))


class LinearEM:
    """Fits the members of a linear Gaussian model that has been given its start.

    Parameters
    ----------
    trainer : Trainer
        Of the members; its rows held out report the fit.
    patterns : Patterns
        Of its rows.
    """

    def __init__(self, trainer: Trainer, patterns: Patterns) -> None:
        self.trainer, self.model = trainer, trainer.model
        self.sums = sums = sum_products(trainer.store.all(), patterns, trainer.counts)
        own, other = (w.double() for w in self.model.cell_weights())
        tied = self.model.decoder.slope is None
        self.own, self.supervised = (own + other, torch.zeros_like(other)) if tied else (own, other)
        self.prior_variance = _likelihood(self.model).prior_variance.double()
        products = sums.products
        self.n_seen = products[:, :, 0, 0] @ sums.seen  # (members, columns)
        summed = products.sum(1)
        self.sum_x = summed[:, 0, 1:]
        self.sum_xx = summed.diagonal(dim1=1, dim2=2)[:, 1:]
        self.n_rows = summed[:, 0, 0]

    @torch.no_grad()
    def run(self, on_step: Callable[[int], None] | None = None) -> Trained:
        """Iterate until the likelihood of every member has settled.

        Parameters
        ----------
        on_step : callable, optional
            Called with each iteration's number.

        Returns
        -------
        Trained
        """
        silent = self._fit_missingness()
        p = self.read()
        found = self.expect(p)
        before = found.log_likelihood
        settled = rested = torch.zeros_like(before, dtype=torch.bool)
        last = torch.zeros_like(before, dtype=torch.long)
        steps, losses = [0], [self.trainer.judge().cpu().numpy()]
        training = [np.full(len(before), np.nan)]
        for step in range(1, self.trainer.plan.n_steps + 1):
            p = _keep_settled(settled, p, self.give_away(self.regress(p, found), found))
            found = self.expect(p)
            last = torch.where(settled, last, step)
            still = (found.log_likelihood - before).abs() <= _LEAST_CHANGE
            settled, rested = settled | (still & rested), still
            before = found.log_likelihood
            self._write(p)
            steps.append(step)
            training.append((silent - found.log_likelihood / self.n_rows).cpu().numpy())
            losses.append(self.trainer.judge().cpu().numpy())
            if on_step is not None:
                on_step(step)
            if bool(settled.all()):
                break
        model = self.model.eval().requires_grad_(False)
        return Trained(
            model,
            tuple(steps),
            np.array(losses),
            np.array(training),
            0,
            last.cpu().numpy(),
            settled.cpu().numpy(),
        )

    def read(self) -> LinearParameters:
        """Return the parameters of the model, in double precision."""
        decoder, likelihood = self.model.decoder, _likelihood(self.model)
        direct = torch.cat([decoder.intercept, decoder.loadings], 1)
        deviation = None
        if decoder.shift is not None and decoder.slope is not None:
            deviation = torch.cat([decoder.shift[:, 0, 0], decoder.slope], 1)
            deviation = deviation.transpose(1, 2).double()
        variance = likelihood.scale.double() ** 2
        return LinearParameters(direct.transpose(1, 2).double(), deviation, variance)

    @torch.no_grad()
    def _write(self, p: LinearParameters) -> None:
        decoder, likelihood = self.model.decoder, _likelihood(self.model)
        decoder.intercept.copy_(p.direct[:, :, 0][:, None])
        decoder.loadings.copy_(p.direct[:, :, 1:].transpose(1, 2))
        if decoder.shift is not None and decoder.slope is not None:
            assert p.deviation is not None
            decoder.shift.copy_(p.deviation[:, None, None, None, :, 0])
            decoder.slope.copy_(p.deviation[:, :, 1:].transpose(1, 2))
        likelihood.log_scale.copy_(0.5 * p.variance.log())

    def expect(self, p: LinearParameters) -> Expected:
        """E-step.

        Parameters
        ----------
        p : LinearParameters

        Returns
        -------
        Expected
        """
        seen, products = self.sums.seen, self.sums.products
        n_members, n_patterns, width, _ = products.shape
        latent = p.direct.shape[2] - 1
        own, other = self.own / p.variance, self.supervised / p.variance
        pairs = [(own, p.direct)] + ([] if p.deviation is None else [(other, p.other())])
        # Of both decoders: the information of a cell times their coefficients, and the products
        # of these.
        slope = _sum(weight[..., None] * b for weight, b in pairs)
        outer = _sum((weight[..., None] * b)[..., None] * b[..., None, :] for weight, b in pairs)
        information = _sum_over(seen, outer)
        precision = information[:, :, 1:, 1:] + torch.eye(latent).to(seen)
        fact = factor(precision.flatten(0, 1).permute(1, 2, 0).contiguous())
        covariance = _inverse(fact).reshape(n_members, n_patterns, latent, latent)
        # Linear map from (1, x) to the natural parameter of z.
        of_x = seen[:, None] * slope[:, None, :, 1:].transpose(2, 3)
        natural = torch.cat([-information[:, :, 1:, :1], of_x], 3)
        mean = torch.matmul(covariance, natural)
        of_one = F.one_hot(torch.zeros(1, dtype=torch.long), width).to(mean)
        mean_u = torch.cat([of_one.expand(n_members, n_patterns, 1, width), mean], 2)
        crossed = torch.matmul(mean_u, products)
        moments = torch.matmul(crossed, mean_u.transpose(2, 3))
        weight = products[:, :, 0, 0]
        moments[:, :, 1:, 1:] += weight[:, :, None, None] * covariance
        explained = (crossed[:, :, 1:] * natural).sum((1, 2, 3))
        log_det = (weight * fact.log_det.reshape(n_members, n_patterns)).sum(1)
        log_peak = (self.own + self.supervised) * (p.variance.log() + _LOG_2PI) * self.n_seen
        squares = _sum(
            weight * (self.sum_xx - 2 * b[..., 0] * self.sum_x + b[..., 0] ** 2 * self.n_seen)
            for weight, b in pairs
        )
        log_likelihood = 0.5 * (explained - log_det - (log_peak + squares).sum(1))
        return Expected(
            log_likelihood,
            _sum_over(seen.T, moments),
            torch.einsum("po,epqo->eoq", seen, crossed[..., 1:]),
            moments.sum(1),
        )

    def regress(self, p: LinearParameters, found: Expected) -> LinearParameters:
        """M-step: regress each column on z, then find its variance about the line.

        Parameters
        ----------
        p : LinearParameters
        found : Expected

        Returns
        -------
        LinearParameters
        """
        size = found.total.shape[-1]
        ridge = torch.full((size,), LOADING_PRECISION).to(found.total)
        ridge[0] = _FREE_PRECISION
        own, other = self.own / p.variance, self.supervised / p.variance
        gram, target = found.products, found.crossed
        both = (own + other)[..., None, None] * gram + ridge.diag()
        aim = (own + other)[..., None] * target
        if p.deviation is None:
            direct, deviation = torch.linalg.solve(both, aim), None
        else:
            held = torch.full((size,), DEVIATION_PRECISION).to(ridge).diag()
            shared = other[..., None, None] * gram
            upper = torch.cat([both, shared], 3)
            system = torch.cat([upper, torch.cat([shared, shared + held], 3)], 2)
            solved = torch.linalg.solve(system, torch.cat([aim, other[..., None] * target], 2))
            direct, deviation = solved.split(size, 2)
        moved = LinearParameters(direct, deviation, p.variance)
        pairs = [(self.own, direct)]
        if deviation is not None:
            pairs.append((self.supervised, moved.other()))
        squares = _sum(weight * self._squares(b, found) for weight, b in pairs)
        n_cells = (self.own + self.supervised) * self.n_seen
        variance = (squares + PRIOR_ROWS * self.prior_variance) / (n_cells + PRIOR_ROWS)
        low, high = (math.exp(2 * bound) for bound in GaussianLikelihood.log_scale_range)
        return moved._replace(variance=variance.clamp(low, high))

    def _squares(self, b: Tensor, found: Expected) -> Tensor:
        """Find the expected sums of squares about the lines `b`, shape (members, columns)."""
        fitted = torch.matmul(found.products, b[..., None])[..., 0]
        return self.sum_xx - 2 * (b * found.crossed).sum(2) + (b * fitted).sum(2)

    def give_away(self, p: LinearParameters, found: Expected) -> LinearParameters:
        """Give the mean and the covariance of z to the loadings.

        The covariance A maximises its likelihood and the loadings' prior: with the moments S of
        n rows and the loadings' weighted products B it solves A + A B A / n = S.

        Parameters
        ----------
        p : LinearParameters
        found : Expected

        Returns
        -------
        LinearParameters
        """
        n = self.n_rows[:, None, None]
        centre = found.total[:, 1:, :1] / n
        penalised = LOADING_PRECISION * _outer(p.direct[:, :, 1:])
        if p.deviation is not None:
            slope = p.deviation[:, :, 1:]
            weight = DEVIATION_PRECISION * _outer(slope)
            pull = DEVIATION_PRECISION * torch.einsum("eol,eo->el", slope, p.deviation[..., 0])
            identity = torch.eye(centre.shape[1]).to(centre)
            centre = torch.linalg.solve(n * identity + weight, n * centre - pull[..., None])
            penalised = penalised + weight
        first = found.total[:, 1:, :1] @ centre.transpose(1, 2)
        around = found.total[:, 1:, 1:] - first - first.transpose(1, 2)
        spread = torch.linalg.cholesky(around / n + centre @ centre.transpose(1, 2))
        values, vectors = torch.linalg.eigh(spread.transpose(1, 2) @ penalised @ spread)
        scale = (2 / (1 + (1 + 4 * values.clamp_min(0) / n[..., 0]).sqrt())).sqrt()
        root = spread @ (vectors * scale[:, None]) @ vectors.transpose(1, 2)
        return p._replace(
            direct=_reparametrise(p.direct, centre, root),
            deviation=None if p.deviation is None else _reparametrise(p.deviation, centre, root),
        )

    def _fit_missingness(self) -> Tensor:
        """Fit the model of missingness, on which nothing else depends; return its mean loss."""
        mask = self.model.missingness
        if not isinstance(mask, SharedParameter):
            return torch.zeros_like(self.n_rows)
        regressions = MaskRegressions(
            self.trainer.store.all(),
            self.trainer.counts,
            mask.get_buffer("gappy"),
            mask.get_buffer("complete_inputs"),
        )
        found = regressions.fit(torch.cat([mask.intercept, mask.covariates], 1))
        mask.intercept.copy_(found.coefficients[:, :1])
        mask.covariates.copy_(found.coefficients[:, 1:])
        return found.loss.sum(1) / self.n_rows


def _likelihood(model: PatternSetMixtureVAE) -> GaussianLikelihood:
    (likelihood,) = model.likelihoods
    assert isinstance(likelihood, GaussianLikelihood)
    return likelihood


def _keep_settled(
    settled: Tensor, old: LinearParameters, new: LinearParameters
) -> LinearParameters:
    """Take the old parameters of the members that have settled, the new ones of the others."""

    def choose(before: Tensor, now: Tensor) -> Tensor:
        return torch.where(settled.reshape(-1, *(1,) * (now.dim() - 1)), before, now)

    deviation = new.deviation
    if old.deviation is not None and deviation is not None:
        deviation = choose(old.deviation, deviation)
    return LinearParameters(
        choose(old.direct, new.direct), deviation, choose(old.variance, new.variance)
    )


def _outer(loadings: Tensor) -> Tensor:
    """Sum over columns of products of the loadings, shape (members, latent, latent)."""
    return loadings.transpose(1, 2) @ loadings


def _sum(terms: Iterable[Tensor]) -> Tensor:
    """Sum of at least one term."""
    return torch.stack(list(terms)).sum(0)


def _sum_over(weight: Tensor, matrices: Tensor) -> Tensor:
    """Weighted sums, weight (a, b), of matrices (members, b, ...), shape (members, a, ...)."""
    members, _, *shape = matrices.shape
    return torch.matmul(weight, matrices.flatten(2)).reshape(members, -1, *shape)


def _inverse(factor_of_precision: Factor) -> Tensor:
    """Covariances, batch first."""
    if factor_of_precision.inverse is None:
        lower = factor_of_precision.lower.permute(2, 0, 1).contiguous()
        inverted: Tensor = torch.cholesky_inverse(lower)
        return inverted
    root = factor_of_precision.inverse.permute(2, 0, 1).contiguous()
    return root.transpose(1, 2) @ root


def _reparametrise(b: Tensor, centre: Tensor, root: Tensor) -> Tensor:
    """Coefficients of a standard z where they were those of ``centre + root @ z``."""
    slope = b[:, :, 1:]
    return torch.cat([b[:, :, :1] + slope @ centre, slope @ root], 2)
