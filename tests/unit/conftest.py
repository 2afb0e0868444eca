"""A model with closed forms: a mixture of linear-Gaussian latents, with gaps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp, softmax


@dataclass(frozen=True)
class LinearGaussianMixture:
    """r ~ Cat(weights), z | r ~ N(means, roots roots'), x | z ~ N(intercept + W'z, variance).

    Attributes
    ----------
    weights : ndarray, shape (members, sets)
    means : ndarray, shape (members, sets, latent)
    roots : ndarray, shape (members, sets, latent, latent)
        Lower triangular.
    loadings : ndarray, shape (members, latent, columns)
    intercept, variance : ndarray, shape (members, columns)
    x : ndarray, shape (n_rows, columns)
        NaN where missing.
    """

    weights: np.ndarray
    means: np.ndarray
    roots: np.ndarray
    loadings: np.ndarray
    intercept: np.ndarray
    variance: np.ndarray
    x: np.ndarray

    @classmethod
    def example(cls, *, n_rows=40, n_sets=3, n_members=2, n_columns=5, latent_dim=2, seed=0):
        """Draw parameters and rows; some rows are complete, one is missing altogether."""
        rng = np.random.default_rng(seed)
        shape = (n_members, n_sets, latent_dim)
        roots = np.tril(0.4 * rng.normal(size=(*shape, latent_dim)), -1)
        roots = roots + np.exp(0.3 * rng.normal(size=shape))[..., None] * np.eye(latent_dim)
        means = 1.5 * rng.normal(size=shape)
        if n_sets == 1:
            means, roots = 0 * means, np.broadcast_to(np.eye(latent_dim), roots.shape)
        x = rng.normal(size=(n_rows, n_columns))
        x[rng.random(x.shape) < 0.3] = np.nan
        x[0] = np.nan
        x[1] = 0.5
        return cls(
            weights=rng.dirichlet(np.full(n_sets, 4.0), n_members),
            means=means,
            roots=roots,
            loadings=rng.normal(size=(n_members, latent_dim, n_columns)),
            intercept=rng.normal(size=(n_members, n_columns)),
            variance=np.exp(-0.7 + 0.4 * rng.normal(size=(n_members, n_columns))),
            x=x,
        )

    @property
    def n_members(self):
        return self.weights.shape[0]

    @property
    def n_sets(self):
        return self.weights.shape[1]

    def moments(self, e, r):
        """Mean and covariance of x in one set."""
        factor = self.roots[e, r].T @ self.loadings[e]
        mean = self.intercept[e] + self.means[e, r] @ self.loadings[e]
        return mean, factor.T @ factor + np.diag(self.variance[e])

    def log_evidence(self, e):
        """Log p(r) p(x_obs | r), shape (n_rows, sets)."""
        found = np.tile(np.log(self.weights[e]), (len(self.x), 1))
        for i, row in enumerate(self.x):
            seen = ~np.isnan(row)
            for r in range(self.n_sets) if seen.any() else ():
                mean, cov = self.moments(e, r)
                law = stats.multivariate_normal(mean[seen], cov[np.ix_(seen, seen)])
                found[i, r] += law.logpdf(row[seen])
        return found

    def log_likelihood(self, e):
        """Log p(x_obs), shape (n_rows,)."""
        return logsumexp(self.log_evidence(e), axis=1)

    def responsibilities(self, e):
        """P(r | x_obs), shape (n_rows, sets)."""
        return softmax(self.log_evidence(e), axis=1)

    def conditional(self, e, i, j):
        """Means and standard deviations by set of x_ij given the observed cells of row i."""
        seen = ~np.isnan(self.x[i])
        means, sds = np.empty(self.n_sets), np.empty(self.n_sets)
        for r in range(self.n_sets):
            mean, cov = self.moments(e, r)
            weight = np.linalg.solve(cov[np.ix_(seen, seen)], cov[seen, j]) if seen.any() else []
            means[r] = mean[j] + np.dot(weight, (self.x[i] - mean)[seen])
            sds[r] = np.sqrt(cov[j, j] - np.dot(weight, cov[seen, j]))
        return means, sds

    def conditional_mean(self, e):
        """E[x | x_obs] of the missing cells, the observed ones as they are."""
        found, share = self.x.copy(), self.responsibilities(e)
        for i, j in np.argwhere(np.isnan(self.x)):
            found[i, j] = share[i] @ self.conditional(e, i, j)[0]
        return found

    def with_rows(self, x):
        """The same law with other rows."""
        return replace(self, x=x)

    def layout(self):
        from psmimpute.model.layout import lay_out
        from psmimpute.table.encoded import Feature
        from psmimpute.table.kinds import Family

        d = self.x.shape[1]
        features = tuple(Feature(f"x{j}", j, Family.GAUSSIAN) for j in range(d))
        return lay_out(features, n_columns=d)

    def store(self):
        """The rows as the model takes them."""
        import torch

        from psmimpute.model.rows import store_rows
        from psmimpute.table.encoded import EncodedTable, Feature
        from psmimpute.table.kinds import Family

        n, d = self.x.shape
        seen, nothing = ~np.isnan(self.x), np.full((n, d), np.nan)
        features = tuple(Feature(f"x{j}", j, Family.GAUSSIAN) for j in range(d))
        table = EncodedTable(features, np.nan_to_num(self.x), nothing, nothing, seen, seen)
        return store_rows(table, self.layout(), device=torch.device("cpu"))

    def model(self, *, missingness="ignorable", pi=0.5, gappy=None, **config: Any):
        """The model with these parameters, in single precision as in use."""
        import torch

        from psmimpute.model.config import ModelConfig
        from psmimpute.model.psm_vae import PatternSetMixtureVAE
        from psmimpute.model.spec import ModelSpec

        options = {"latent_dim": self.means.shape[-1], "hidden_dim": 0, "decoders": "tied"}
        d = self.x.shape[1]
        spec = ModelSpec(
            layout=self.layout(),
            gappy=tuple(range(d)) if gappy is None else gappy,
            n_sets=self.n_sets,
            missingness=missingness,
            pi=(pi,) * d,
            config=ModelConfig(**{**options, **config}),
        )
        model = PatternSetMixtureVAE(spec, self.n_members)
        diagonal = np.log(np.diagonal(self.roots, axis1=-2, axis2=-1))
        with torch.no_grad():
            for target, source in [
                (model.prior.logits, np.log(self.weights)),
                (model.prior.mean, self.means),
                (model.prior.log_diagonal, diagonal),
                (model.prior.below, np.tril(self.roots, -1)),
                (model.decoder.loadings, self.loadings),
                (model.decoder.intercept, self.intercept[:, None]),
                (model.likelihoods[0].log_scale, 0.5 * np.log(self.variance)),
            ]:
                target.copy_(torch.from_numpy(np.array(source)))
        return model


@pytest.fixture(scope="session")
def linear_gaussian():
    """Factory of models with closed forms; see `LinearGaussianMixture.example`."""
    return LinearGaussianMixture.example
