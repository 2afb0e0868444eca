"""The members trained on, from where they are, under another π′."""

from __future__ import annotations

from dataclasses import replace

import torch

from psmimpute.inference.config import FitConfig
from psmimpute.inference.covariates import inform_store
from psmimpute.inference.fitted import FittedModel, align
from psmimpute.inference.members import resample_rows
from psmimpute.inference.structure import copy_shared, train_members
from psmimpute.model.psm_vae import PatternSetMixtureVAE
from psmimpute.model.rows import store_rows
from psmimpute.table.encoded import EncodedTable


def refit_at_pi(
    fitted: FittedModel,
    table: EncodedTable,
    pi: tuple[float, ...],
    *,
    fit: FitConfig,
    seed: int,
) -> FittedModel:
    """Refit every member at another π′, on its own rows, starting from its own parameters.

    Parameters
    ----------
    fitted : FittedModel
        The members.
    table : EncodedTable
        The table that was fitted.
    pi : tuple of float
        π′ of each column.
    fit : FitConfig
        Options of training.
    seed : int
        That of the fit, so that the members see the same resamples.

    Returns
    -------
    FittedModel
        With as many members and the same structure.
    """
    n_members = fitted.model.n_members
    spec = replace(fitted.spec, pi=pi)
    start = PatternSetMixtureVAE(spec, n_members).to(fitted.device)
    copy_shared(fitted.model, start, list(range(n_members)))
    with torch.no_grad():
        start.prior.get_buffer("active").copy_(fitted.model.prior.get_buffer("active"))
    structure = replace(fitted.structure, spec=spec, start=start)
    store = store_rows(table, spec.layout, device=fitted.device)
    store = inform_store(store, fitted.structure.start, seed=seed)
    resamples = resample_rows(
        store.n_rows, members=range(n_members), seed=seed, resample=fit.resample
    )
    trained = train_members(structure, store, resamples, fit=fit, seed=seed, first=0, on_step=None)
    alignment = align(trained.model, store, seed=seed)
    return replace(fitted, model=trained.model, structure=structure, alignment=alignment)
