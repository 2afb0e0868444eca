"""Which likelihood serves which family, and the order of their blocks."""

from __future__ import annotations

from psmimpute.likelihoods.base import Likelihood
from psmimpute.likelihoods.bernoulli import BernoulliLikelihood
from psmimpute.likelihoods.categorical import CategoricalLikelihood
from psmimpute.likelihoods.count import CountLikelihood
from psmimpute.likelihoods.gaussian import GaussianLikelihood
from psmimpute.likelihoods.ordinal import OrdinalLikelihood
from psmimpute.table.kinds import Family


def build_likelihood(family: Family, *, n_members: int, n_levels: tuple[int, ...]) -> Likelihood:
    """Make the likelihood of a block.

    Parameters
    ----------
    family : Family
        Family of all features of the block.
    n_members : int
        Number of members.
    n_levels : tuple of int
        One entry for each feature; 0 where the family has no levels.

    Returns
    -------
    Likelihood
    """
    match family:
        case Family.GAUSSIAN:
            return GaussianLikelihood(n_members, len(n_levels))
        case Family.COUNT:
            return CountLikelihood(n_members, len(n_levels))
        case Family.BERNOULLI:
            return BernoulliLikelihood(n_members, len(n_levels))
        case Family.ORDINAL:
            return OrdinalLikelihood(n_members, n_levels)
        case Family.CATEGORICAL:
            return CategoricalLikelihood(n_members, n_levels)
