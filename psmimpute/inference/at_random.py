"""How well gaps are explained as missing at random: what pattern sets have to beat.

A model whose gaps are independent given the columns without gaps takes a block of columns that
are missing together, or gaps that hang on what is seen of a column with a few of its own, for
evidence of a set. That says nothing of what is missing there. The rival here is a factorisation
of the law of all gaps: those of each column are regressed on what is seen of the columns with
fewer, and on whether it is seen. All of it is missing at random, so that one set suffices.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from psmimpute.inference.mask_regressions import MaskRegressions
from psmimpute.inference.members import Resamples
from psmimpute.model.layout import FeatureLayout
from psmimpute.model.missingness import SharedParameter
from psmimpute.model.psm_vae import PatternSetMixtureVAE
from psmimpute.model.rows import Rows, RowStore

# Products that a step of the regressions may sum; of more rows, every so many are taken.
_MOST_PRODUCTS = 5 * 10**9


class GapsAtRandom:
    """Regressions of the gaps of each column on columns with fewer, by fold.

    Parameters
    ----------
    store : RowStore
        Rows of the table.
    layout : FeatureLayout
        Order of the features.
    gappy : tuple of int
        Columns with gaps.
    folds : Resamples
        Rows that the regressions learn from, and those held out.
    """

    def __init__(
        self, store: RowStore, layout: FeatureLayout, gappy: tuple[int, ...], folds: Resamples
    ) -> None:
        self.rows_of_model, self.folds = store, folds
        if store.packed.device.type == "mps":  # no doubles
            store = RowStore(store.packed.cpu(), store.widths)
        self.store, device = store, store.packed.device
        self.gappy = torch.tensor(gappy, dtype=torch.long, device=device)
        n_gaps = (store.all().cells[0] != 1).sum(0).cpu()
        rank = torch.full((layout.n_columns,), -1)
        rank[list(gappy)] = n_gaps[list(gappy)].argsort(stable=True).argsort()
        owners = torch.tensor([*layout.columns_of_inputs(), *gappy])
        self.allowed = (rank[owners][:, None] < rank[list(gappy)]).double().to(device)
        self.regressors = torch.arange(len(owners), device=device)
        size = (1 + len(owners)) ** 2 * len(gappy) * len(folds.counts)
        step = max(1, store.n_rows * size // _MOST_PRODUCTS)
        part = torch.arange(0, store.n_rows, step, device=device)
        rows = self._with_gaps(store.take(part))
        counts = folds.counts[:, part.cpu().numpy()]
        regressions = MaskRegressions(rows, counts, self.gappy, self.regressors, self.allowed)
        start = torch.zeros(len(counts), 1 + len(owners), len(gappy), device=device)
        self.coefficients = regressions.fit(start).coefficients

    def _with_gaps(self, rows: Rows) -> Rows:
        """Rows whose network inputs are followed by which columns they show."""
        shown = 2 * rows.cells[..., self.gappy] - 1  # -1 where it is missing, 1 where not
        return rows._replace(inputs=torch.cat([rows.inputs, shown], -1))

    @torch.no_grad()
    def gain(self, model: PatternSetMixtureVAE) -> Tensor:
        """Log probability of the gaps of rows held out, less what a model of one set gives them.

        Parameters
        ----------
        model : PatternSetMixtureVAE
            One member for each fold.

        Returns
        -------
        Tensor, shape (folds, held-out rows)
            Zero where that is the better explanation.
        """
        mask = model.missingness
        assert isinstance(mask, SharedParameter)
        device, held_out = self.gappy.device, torch.from_numpy(self.folds.held_out)
        rows = self.rows_of_model.take(held_out.to(model.device))
        z = rows.values.new_zeros(*rows.values.shape[:2], model.spec.latent_dim)
        by_model = mask.log_prob_at(rows, z)[:, 0].to(device)
        rows = self._with_gaps(self.store.take(held_out.to(device)))
        x = F.pad(rows.inputs.double(), (1, 0), value=1.0)
        sign = 2 * rows.cells[..., self.gappy].double() - 1
        at_random = F.logsigmoid(sign * (x @ self.coefficients)).sum(-1)
        gain = at_random.float() - by_model
        weight = torch.from_numpy(self.folds.held_out_weight).to(gain)
        return gain if float((gain * weight).sum()) > 0 else torch.zeros_like(gain)
