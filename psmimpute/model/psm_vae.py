"""The deep generative missingness pattern-set mixture model, many members side by side."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from psmimpute.likelihoods.base import LikelihoodBlocks
from psmimpute.likelihoods.registry import build_likelihood
from psmimpute.model.by_set import set_weights
from psmimpute.model.covariates import CompleteColumns, CovariateNetwork
from psmimpute.model.decoder import Decoder
from psmimpute.model.encoders import Encoder
from psmimpute.model.inputs import by_output, expected_inputs, network_inputs
from psmimpute.model.missingness import (
    Ignorable,
    MissingnessModel,
    SelfMasking,
    SharedParameter,
)
from psmimpute.model.net import sobol_net
from psmimpute.model.networks import reset_networks
from psmimpute.model.objective import (
    Terms,
    cell_log_probs,
    elbo,
    importance_bound,
    importance_bound_of,
    latent_term,
    reconstruction_term,
    supervision_term,
)
from psmimpute.model.particles import Particles, sample_sets
from psmimpute.model.posterior import Base, Posterior
from psmimpute.model.priors import PatternSetPrior
from psmimpute.model.products import ProductTerms
from psmimpute.model.rows import Rows
from psmimpute.model.spec import ModelSpec

# Up to so many sets latents are sampled in every set, which is then summed exactly.
_MOST_SUMMED_SETS = 3
# Times that a proposal is refined, how far it may go each time, and the points that judge it.
_N_REFINEMENTS, _STEPS, _N_POINTS = 2, (1.0, 0.5), 4


class PatternSetMixtureVAE(nn.Module):
    """PSMVAE with a leading member axis.

    Parameters
    ----------
    spec : ModelSpec
        Shapes and choices.
    n_members : int
        Number of members.

    References
    ----------
    .. [1] Ghalebikesabi, S., Cornish, R., Holmes, C. and Kelly, L. J. (2021). Deep generative
       missingness pattern-set mixture models. AISTATS, PMLR 130.
    """

    def __init__(self, spec: ModelSpec, n_members: int) -> None:
        super().__init__()
        self.spec, self.n_members = spec, n_members
        config, layout = spec.config, spec.layout
        size = {"latent_dim": spec.latent_dim}
        net = {"hidden_dim": spec.hidden_dim, "n_layers": config.n_layers}
        self.likelihoods = LikelihoodBlocks(
            build_likelihood(block.family, n_members=n_members, n_levels=block.n_levels)
            for block in layout.blocks
        )
        self.prior = PatternSetPrior(n_members, spec.n_sets, spec.latent_dim)
        self.decoder = Decoder(
            n_members,
            spec.n_sets,
            is_number=layout.is_number(),
            separate=config.decoders == "separate" and spec.missingness != "selection",
            **size,
            **net,
        )
        self.encoder = Encoder(
            n_members,
            spec.n_sets,
            layout=layout,
            exact=config.encoder == "exact",
            reads_cells=config.encoder == "exact" or spec.missingness != "ignorable",
            smoothing=spec.smoothing,
            counts_once=config.evidence == "normalised",
            **size,
            **net,
        )
        self.missingness = self._missingness()
        self.covariates: CompleteColumns | None = None
        if spec.products:
            self.covariates = ProductTerms(
                n_members,
                complete=spec.complete_inputs,
                pairs=spec.products,
                n_outputs=layout.n_outputs,
            ).requires_grad_(False)
        elif spec.covariate_dim > 0:
            self.covariates = CovariateNetwork(
                n_members,
                complete=spec.complete_inputs,
                n_outputs=layout.n_outputs,
                hidden_dim=spec.covariate_dim,
                n_layers=config.n_layers,
            ).requires_grad_(False)  # a regression of its own, done before z is learned
        complete = torch.tensor([column not in spec.gappy for column in layout.columns])
        self.register_buffer("had_no_gap", complete, persistent=False)
        pi = torch.tensor([spec.pi[column] for column in layout.columns], dtype=torch.float32)
        self.register_buffer("pi", pi, persistent=False)

    def _missingness(self) -> MissingnessModel:
        spec = self.spec
        if spec.missingness == "ignorable" or not spec.gappy:
            return Ignorable()
        complete = spec.complete_inputs if spec.explains_gaps else ()
        if spec.missingness == "selection":
            return SelfMasking(
                self.n_members,
                spec.n_sets,
                layout=spec.layout,
                likelihoods=self.likelihoods,
                gappy=spec.gappy,
                complete_inputs=complete,
                fixed=spec.selection_effects,
            )
        return SharedParameter(
            self.n_members,
            spec.n_sets,
            latent_dim=spec.latent_dim,
            gappy=spec.gappy,
            complete_inputs=complete,
            latent=spec.config.mask_latent,
        )

    def reset(self, generators: list[torch.Generator]) -> None:
        """Draw starting weights of the networks, each member from its own generator."""
        reset_networks(self, generators)

    def inform(self, rows: Rows) -> Rows:
        """Take in what the columns without gaps say of the others, where a network says it.

        Rows that have taken it in stay as they are, so that whoever uses the same rows often
        may do it once.
        """
        if self.covariates is None or rows.offset is not None:
            return rows
        return self.covariates.inform(rows, self.spec.layout, self.likelihoods)

    def _offset(self, rows: Rows, known: Tensor | None) -> Tensor | None:
        """Return what the columns without gaps add to the decoder's linear predictors."""
        if self.covariates is None or rows.offset is None:
            return None
        offset = rows.offset[:, None, None]
        if known is None:
            return offset
        lacks = self.lacking(rows).any(-1)[:, None, None, :, None]
        return torch.where(lacks, self.covariates(known), offset)

    def _with_lacking(self, rows: Rows, eta: Tensor, lacking: Tensor | None) -> Tensor | None:
        """Network inputs with what is drawn of the columns without gaps that a row lacks.

        Or what is expected of these, where `lacking` has nothing to draw it by. None where no row
        lacks any; else one for each sample, shape (members, samples, sets, rows, outputs).
        """
        if not self.lacks_covariates(rows):
            return None
        layout = self.spec.layout
        if lacking is None:
            inputs = expected_inputs(eta, layout, self.likelihoods)
        else:
            drawn = [
                likelihood.draw(eta[..., block.outputs], lacking[..., block.features])
                for block, likelihood in zip(layout.blocks, self.likelihoods, strict=True)
            ]
            values = torch.cat(drawn, -1)
            inputs = network_inputs(values, torch.ones_like(values), layout)
        missing = by_output(self.lacking(rows), layout)[:, None, None]
        return torch.where(missing, inputs, rows.inputs[:, None, None])

    def lacks_covariates(self, rows: Rows) -> bool:
        """Whether a row lacks a column without gaps that others, or their gaps, hang on."""
        # What was fitted lacks none: then nobody waits for the device to say so.
        return self._needs_complete and not self.training and bool(self.lacking(rows).any())

    @property
    def _needs_complete(self) -> bool:
        return self.covariates is not None or self.missingness.reads_complete_columns

    def lacking(self, rows: Rows) -> Tensor:
        """Which features are of a column that had no gap and is not there, by row.

        It is missing, or hidden to be drawn again. A feature alone tells nothing: an amount is
        not there where a column says that it is zero.
        """
        columns = torch.tensor(self.spec.layout.columns, device=rows.cells.device)
        seen = torch.zeros_like(rows.cells).index_add(-1, columns, rows.observed)
        unseen = seen[..., columns] == 0
        return unseen & (rows.cells[..., columns] != 0.5) & self.get_buffer("had_no_gap")

    def base(self, rows: Rows) -> Base:
        """Closed-form part of the recognition model for a batch of rows."""
        return self.encoder.base(
            self.inform(rows),
            self.decoder,
            self.likelihoods,
            self.prior,
            self.missingness,
            self.cell_weights(),
        )

    def cell_weights(self) -> tuple[Tensor, Tensor]:
        """Weights of an observed cell under the decoders of x_obs and of x_mis, by feature."""
        pi = self.get_buffer("pi")
        normalised = self.spec.config.evidence == "normalised"
        return pi if normalised else torch.ones_like(pi), 1 - pi

    @property
    def knows_posterior(self) -> bool:
        """Whether q(z | .) is the posterior itself, of rows that lack no complete column."""
        spec, mask = self.spec, self.missingness
        straight = spec.hidden_dim == 0 and spec.config.encoder == "exact"
        silent = isinstance(mask, Ignorable) or (
            isinstance(mask, SharedParameter) and mask.latent is None
        )
        return spec.layout.is_gaussian and straight and silent and spec.n_sets == 1

    def knows_posterior_of(self, rows: Rows) -> Tensor:
        """Whether q(z | .) is the posterior itself, by row, shape (members or 1, rows)."""
        if not (self.knows_posterior and self._needs_complete):
            return torch.full(rows.cells.shape[:2], self.knows_posterior, device=self.device)
        return ~self.lacking(rows).any(-1)

    def posterior(self, rows: Rows, base: Base | None = None) -> Posterior:
        """Recognition model's q(r | .) and q(z | r, .) of a batch of rows.

        `base` is its closed-form part where that is known; one of other parameters makes
        a worse proposal, but no wrong one.
        """
        rows = self.inform(rows)
        return self.encoder.correct(rows, base or self.base(rows))

    @property
    def samples_sets(self) -> bool:
        """Whether each sample has a set of its own, drawn like z, instead of being in all of them.

        Where networks make a sample dear and sets are many, most of which a row hardly belongs to.
        """
        return self.spec.hidden_dim > 0 and self.spec.n_sets > _MOST_SUMMED_SETS

    @property
    def learns_from_sampled_sets(self) -> bool:
        """Whether the bound is taken over sampled sets in training too: the ELBO sums them."""
        return self.samples_sets and self.spec.config.objective == "iwae"

    @property
    def refines(self) -> bool:
        """Whether a refined proposal differs from the recognition model's posterior."""
        return self.encoder.refines(self.decoder)

    def proposal(self, rows: Rows, *, refined: bool = True) -> Posterior:
        """Posterior of a batch of rows to sample a trained model from."""
        rows = self.inform(rows)
        found = self.posterior(rows)
        if refined and self.refines:
            found = self._refine(rows, found.unstretched())
        return self._weigh_sets(rows, found) if self.samples_sets else found

    def _refine(self, rows: Rows, found: Posterior) -> Posterior:
        """Go towards the line that fits the decoder best, in each set as far as the bound rises."""
        best = self._bound_of_sets(rows, found)
        for _ in range(_N_REFINEMENTS):
            start = found.mean
            line = self.encoder.line(
                rows, found, self.decoder, self.likelihoods, self.prior, self.cell_weights()
            )
            for step in _STEPS:
                rival = line._replace(mean=torch.lerp(start, line.mean, step))
                bound = self._bound_of_sets(rows, rival)
                found = rival.where(bound > best, found)
                best = torch.maximum(bound, best)
        return found

    def _bound_of_sets(self, rows: Rows, found: Posterior) -> Tensor:
        """Evidence lower bound of each set on a few points, shape (members, sets, rows)."""
        points = sobol_net(_N_POINTS, self.spec.latent_dim).to(self.device)
        eps = torch.special.ndtri(points + 0.5 / _N_POINTS)[None, :, None, None]
        return self.terms_at(rows, found, *found.sample(eps)).log_joint.mean(1)

    @torch.no_grad()
    def _weigh_sets(self, rows: Rows, found: Posterior) -> Posterior:
        """Give the sets the weights of their Gaussians' means, as Laplace's method would."""
        middle = found.mean.new_zeros(1, 1, 1, 1, self.spec.latent_dim)
        terms = self.terms_at(rows, found, *found.sample(middle))
        weights = terms.log_joint + terms.log_p_sets
        return found._replace(log_q_sets=weights.log_softmax(2))

    def terms(self, rows: Rows, eps: Tensor, base: Base | None = None) -> Terms:
        """Terms of the bound at given noise.

        Parameters
        ----------
        rows : Rows
        eps : Tensor, shape (members, samples, sets, rows, latent)
            Standard normal noise; axes but that of samples and latent may be 1.
        base : Base, optional
            For :meth:`posterior`.
        """
        rows = self.inform(rows)
        posterior = self.posterior(rows, base)
        z, log_q = posterior.sample(eps)
        return self.terms_at(rows, posterior, z, log_q)

    def decode(
        self,
        rows: Rows,
        z: Tensor,
        set_shares: Tensor | None = None,
        lacking: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Linear predictors of x_obs and of x_mis, shape (members, samples, sets, rows, outputs).

        They are one tensor where x_mis has no deviations. `lacking`, shape (members, samples, 1,
        rows, features), are uniform numbers that draw the columns without gaps that a row lacks.
        """
        eta, rows = self.decoder(z, set_shares), self.inform(rows)
        known = None if self.covariates is None else self._with_lacking(rows, eta, lacking)
        offset = self._offset(rows, known)
        eta = eta if offset is None else eta + offset
        return eta, self.decoder.missing(z, eta, set_shares)

    def terms_at(self, rows: Rows, posterior: Posterior, z: Tensor, log_q: Tensor) -> Terms:
        """Terms of the bound at given latents, which `posterior` gave density `log_q`."""
        log_rows = self.log_prob_rows(rows, z, self.decode(rows, z))
        log_joint = log_rows + latent_term(self.prior.log_p_latent(z), log_q)
        return Terms(log_joint, self.prior.log_p_sets(), posterior.log_q_sets)

    def log_prob_rows(
        self,
        rows: Rows,
        z: Tensor,
        decoded: tuple[Tensor, Tensor],
        set_shares: Tensor | None = None,
        lacking: Tensor | None = None,
    ) -> Tensor:
        """Log density of the observed cells and of which they are, given latents.

        Parameters
        ----------
        rows : Rows
        z : Tensor, shape (members, samples, sets, rows, latent)
        decoded : tuple of Tensor
            What :meth:`decode` makes of `z`, `set_shares` and `lacking`.
        set_shares : Tensor, shape (members, samples, rows, sets), optional
            The set of each latent, where their axis of sets is 1.
        lacking : Tensor, optional
            As in :meth:`decode`.

        Returns
        -------
        Tensor, shape (members, samples, sets, rows)
            Each cell with its weights, as in Table 1 of the paper.
        """
        eta, eta_mis = decoded
        seen, supervised = self.cell_weights()
        log_obs = cell_log_probs(rows, eta, self.spec.layout, self.likelihoods)
        if eta_mis is eta:
            log_x = reconstruction_term(log_obs, seen + supervised)
        else:
            log_mis = cell_log_probs(rows, eta_mis, self.spec.layout, self.likelihoods)
            log_x = reconstruction_term(log_obs, seen)
            log_x = log_x + supervision_term(log_mis, self.get_buffer("pi"))
        known = None
        if self.missingness.reads_complete_columns:
            known = self._with_lacking(rows, eta, lacking)
        return log_x + self.missingness.log_prob(rows, z, eta_mis, set_shares, known)

    def particles(
        self,
        rows: Rows,
        posterior: Posterior,
        eps: Tensor,
        uniform: Tensor | None = None,
        lacking: Tensor | None = None,
    ) -> Particles:
        """Weigh latents that `posterior` makes of given noise.

        Parameters
        ----------
        rows : Rows
        posterior : Posterior
            What they are sampled from.
        eps : Tensor, shape (members, samples, sets or 1, rows, latent)
            As in :meth:`terms`.
        uniform : Tensor, shape (members, samples, rows), optional
            Draws a set for each sample; without it each is in every set.
        lacking : Tensor, optional
            As in :meth:`decode`.

        Returns
        -------
        Particles
        """
        rows = self.inform(rows)
        z, log_q = posterior.sample(eps)
        log_p_sets = self.prior.log_p_sets()
        log_ratio = log_p_sets + latent_term(self.prior.log_p_latent(z), log_q)
        sets = shares = None
        if uniform is not None:
            sets, log_share = sample_sets(posterior.log_q_sets, log_p_sets, uniform)
            log_ratio = (log_ratio - log_share).gather(2, sets)
            z = z.gather(2, sets[..., None].expand(-1, -1, -1, -1, self.spec.latent_dim))
            shares = set_weights(sets, self.spec.n_sets)
        decoded = self.decode(rows, z, shares, lacking)
        log_w = self.log_prob_rows(rows, z, decoded, shares, lacking) + log_ratio
        return Particles(z, log_w, decoded[1], sets, lacking)

    def bound(
        self, rows: Rows, eps: Tensor, base: Base | None = None, uniform: Tensor | None = None
    ) -> Tensor:
        """Take the configured bound on log p(x_obs, observed), shape (members, rows).

        With `uniform`, as in :meth:`particles`, the importance-weighted bound whose sets are
        sampled too: cheaper where they are many.
        """
        rows = self.inform(rows)
        if uniform is not None:
            posterior = self._weigh_sets(rows, self.posterior(rows, base))
            return importance_bound_of(self.particles(rows, posterior, eps, uniform).log_w)
        terms = self.terms(rows, eps, base)
        return elbo(terms) if self.spec.config.objective == "elbo" else importance_bound(terms)

    def penalty(self) -> Tensor:
        """Negative log prior of the parameters that have one, shape (n_members,)."""
        total = self.decoder.penalty() + self.prior.penalty() + self.missingness.penalty()
        for likelihood in self.likelihoods:
            total = total + likelihood.penalty()
        return total

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return self.get_buffer("pi").device

    @torch.no_grad()
    def subset(self, members: list[int]) -> PatternSetMixtureVAE:
        """Return a model of some of the members, in the order given, without gradients."""
        if members == list(range(self.n_members)):
            return self
        chosen = PatternSetMixtureVAE(self.spec, len(members)).to(self.device)
        own = dict(self.named_parameters())
        for name, p in chosen.named_parameters():
            p.copy_(own[name][members])
        active = self.prior.get_buffer("active")
        chosen.prior.get_buffer("active").copy_(active[members])
        return chosen.eval().requires_grad_(False)

    @classmethod
    @torch.no_grad()
    def join(cls, parts: list[PatternSetMixtureVAE]) -> PatternSetMixtureVAE:
        """Return a model of the members of `parts`, one after the other, without gradients."""
        whole = cls(parts[0].spec, sum(part.n_members for part in parts)).to(parts[0].device)
        each = [dict(part.named_parameters()) for part in parts]
        for name, p in whole.named_parameters():
            p.copy_(torch.cat([own[name] for own in each]))
        active = torch.cat([part.prior.get_buffer("active") for part in parts])
        whole.prior.get_buffer("active").copy_(active)
        return whole.eval().requires_grad_(False)
