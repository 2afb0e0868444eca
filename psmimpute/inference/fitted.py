"""A fitted model: its members, the table's layout, and how it came about."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from psmimpute.exceptions import ConvergenceWarning, TrainingInterruptedError
from psmimpute.inference.config import FitConfig
from psmimpute.inference.covariates import inform_store
from psmimpute.inference.device import choose_device
from psmimpute.inference.draws import Drawer
from psmimpute.inference.members import resample_rows
from psmimpute.inference.progress import Progress
from psmimpute.inference.structure import Structure, choose_structure, train_members
from psmimpute.inference.trainer import Trained
from psmimpute.model.config import Missingness, ModelConfig
from psmimpute.model.layout import lay_out
from psmimpute.model.psm_vae import PatternSetMixtureVAE
from psmimpute.model.rows import RowStore, store_rows
from psmimpute.model.spec import ModelSpec
from psmimpute.table.encoded import EncodedTable
from psmimpute.telling import warn

Training = Callable[..., Trained]


@dataclass(frozen=True)
class FittedModel:
    """Trained members.

    Attributes
    ----------
    model : PatternSetMixtureVAE
        All members, without gradients.
    structure : Structure
        What the common fit decided; the start of further members.
    device : torch.device
        Where the model lives.
    history : tuple of dict
        One record for each look at the rows held out: ``member``, ``step``, ``loss`` of the
        member's own rows since the last look (not at step 0) and ``oob_loss`` of rows out of
        its bag, which the common fit that started it has seen (nats per row).
    latent_range : ndarray, shape (n_features, 2)
        Smallest and largest encoded value that was observed of each feature.
    alignment : ndarray of int, shape (n_members, n_sets)
        Common label of each pattern set of each member, by where the fitted rows belong.
    fingerprint : str
        SHA-256 of the encoded table that was fitted.
    warnings : tuple of str
        What the user was warned of.
    """

    model: PatternSetMixtureVAE
    structure: Structure
    device: torch.device
    history: tuple[dict[str, float | int], ...]
    latent_range: npt.NDArray[np.float64]
    alignment: npt.NDArray[np.intp]
    fingerprint: str
    warnings: tuple[str, ...] = ()

    @property
    def spec(self) -> ModelSpec:
        """Shapes and choices of the model."""
        return self.model.spec

    @property
    def reason(self) -> str:
        """Why the model has this structure."""
        return self.structure.reason

    def with_members(
        self, table: EncodedTable, n_members: int, *, fit: FitConfig, seed: int, progress: Progress
    ) -> FittedModel:
        """Train further members; those there are stay as they are.

        Parameters
        ----------
        table : EncodedTable
            The table that was fitted.
        n_members : int
            Members wanted in all.
        fit : FitConfig
        seed : int
            That of the fit.
        progress : Progress

        Returns
        -------
        FittedModel
        """
        store = store_rows(table, self.spec.layout, device=self.device)
        store = inform_store(store, self.structure.start, seed=seed)
        numbers = range(self.model.n_members, n_members)
        trained = _train(self.structure, store, numbers, fit=fit, seed=seed, progress=progress)
        model = PatternSetMixtureVAE.join([self.model, trained.model])
        history = self.history + _records(trained, numbers)
        alignment = align(model, store, seed=seed)
        return replace(self, model=model, history=history, alignment=alignment)


def fit_model(
    table: EncodedTable,
    *,
    n_columns: int,
    pi: tuple[float, ...],
    n_members: int,
    n_sets: int | None,
    missingness: Missingness,
    model: ModelConfig,
    fit: FitConfig,
    seed: int,
    device: str,
    progress: Progress,
    selection_effects: tuple[tuple[int, tuple[float, ...]], ...] = (),
    train: Training = train_members,
) -> FittedModel:
    """Fit the model to an encoded table: the common fit, then the members.

    Parameters
    ----------
    table : EncodedTable
    n_columns : int
        Modelled columns.
    pi : tuple of float
        pi' of each column.
    n_members : int
        Members to train.
    n_sets : int or None
        Number of pattern sets; None chooses it.
    missingness : str
        Model of missingness.
    model, fit : ModelConfig, FitConfig
        Options.
    seed : int
    device : str
        Name of a device or ``"auto"``.
    progress : Progress
    selection_effects : tuple of (int, tuple of float)
        Given effects of self-masking; see :class:`psmimpute.model.psm_vae.ModelSpec`.
    train : callable
        What trains the members, as :func:`psmimpute.inference.structure.train_members` does.

    Returns
    -------
    FittedModel

    Raises
    ------
    ConfigError
        If the device is not there.
    TrainingInterruptedError
        If training was interrupted from the keyboard.

    Warns
    -----
    ConvergenceWarning
        If a member's loss or derivatives were not finite.
    """
    where = choose_device(device)
    layout = lay_out(table.features, n_columns=n_columns)
    store = store_rows(table, layout, device=where)
    gappy = tuple(int(j) for j in np.flatnonzero(~table.observed_cells.all(0)))
    if model.hidden_dim == "auto":
        model = replace(model, hidden_dim=_hidden_dim(store.n_rows))
    spec = ModelSpec(layout, gappy, n_sets or 1, missingness, pi, model, selection_effects)
    with _interruptible(), progress.stage("choosing the structure") as on_step:
        structure, store = choose_structure(
            spec, store, fit=fit, seed=seed, on_step=lambda _: on_step(1), sets=n_sets
        )
    numbers = range(n_members)
    trained = _train(structure, store, numbers, fit=fit, seed=seed, progress=progress, train=train)
    told = _warn_of_convergence(trained)
    history = _records(trained, numbers)
    return FittedModel(
        trained.model,
        structure,
        where,
        history,
        _range(table),
        align(trained.model, store, seed=seed),
        fingerprint(table),
        told,
    )


def align(model: PatternSetMixtureVAE, store: RowStore, *, seed: int) -> npt.NDArray[np.intp]:
    """Match the labels of the pattern sets over members; see :meth:`Drawer.align`.

    Parameters
    ----------
    model : PatternSetMixtureVAE
    store : RowStore
        The rows that were fitted.
    seed : int

    Returns
    -------
    ndarray of int, shape (members, sets)
    """
    keys = np.arange(store.n_rows, dtype=np.uint64)
    return Drawer(model, store, row_keys=keys, seed=seed, n_samples=1).align()


def fingerprint(table: EncodedTable) -> str:
    """Tell encoded tables apart.

    Parameters
    ----------
    table : EncodedTable

    Returns
    -------
    str
        SHA-256 of its values and gaps, in hexadecimal.
    """
    found = hashlib.sha256(repr(table.values.shape).encode())
    arrays = [table.values, table.observed, table.observed_cells]
    for array in arrays if table.applicable is None else [*arrays, table.applicable]:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Turn an interrupt from the keyboard into an error that says what it means."""
    try:
        yield
    except KeyboardInterrupt:
        raise TrainingInterruptedError(
            "training was interrupted from the keyboard; nothing was imputed"
        ) from None


def _range(table: EncodedTable) -> npt.NDArray[np.float64]:
    """Smallest and largest observed value of each feature, shape (n_features, 2)."""
    low = np.where(table.observed, table.values, np.inf).min(0)
    high = np.where(table.observed, table.values, -np.inf).max(0)
    return np.column_stack([low, high])


def _hidden_dim(n_rows: int) -> int:
    return 32 if n_rows < 2_000 else 64 if n_rows < 10_000 else 128


def _train(
    structure: Structure,
    store: RowStore,
    numbers: range,
    *,
    fit: FitConfig,
    seed: int,
    progress: Progress,
    train: Training = train_members,
) -> Trained:
    resamples = resample_rows(store.n_rows, members=numbers, seed=seed, resample=fit.resample)
    with _interruptible(), progress.stage(f"training {len(numbers)} members") as on_step:
        return train(
            structure,
            store,
            resamples,
            fit=fit,
            seed=seed,
            first=numbers.start,
            on_step=lambda _: on_step(1),
        )


def _records(trained: Trained, numbers: range) -> tuple[dict[str, float | int], ...]:
    looks = zip(trained.steps, trained.training_losses, trained.losses, strict=True)
    return tuple(
        {"member": number, "step": step, "oob_loss": float(held_out)}
        | ({"loss": float(loss)} if step else {})
        for step, own, others in looks
        for number, loss, held_out in zip(numbers, own, others, strict=True)
    )


def _warn_of_convergence(trained: Trained) -> tuple[str, ...]:
    losses, told = trained.losses, []
    remedy = "look for extreme values, or lower FitConfig(learning_rate=...)"
    if not (np.isfinite(losses).all() and (losses < 1e20).all()):
        bad = np.flatnonzero(~(losses[-1] < 1e20)).tolist()
        told.append(
            f"the loss of members {bad} is not finite: their imputations cannot be trusted; "
            + remedy
        )
    elif trained.bad_gradients:
        told.append(
            f"{trained.bad_gradients} derivatives were not finite while the members were trained, "
            f"and were taken as zero: some parameters may have learned too little; {remedy}"
        )
    for message in told:
        warn(message, ConvergenceWarning)
    return tuple(told)
