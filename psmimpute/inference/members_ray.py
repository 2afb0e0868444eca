"""The members on a Ray cluster: groups of them, each trained by one task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from psmimpute.exceptions import ConfigError
from psmimpute.inference.config import FitConfig
from psmimpute.inference.groups import join_trained, resamples_of, split_members
from psmimpute.inference.members import Resamples
from psmimpute.inference.structure import Structure, train_members
from psmimpute.inference.trainer import Trained
from psmimpute.model.rows import RowStore

_CPU = torch.device("cpu")
NEEDS_RAY = "engine='ray' needs Ray Data: pip install 'psmimpute[ray]', or use engine='local'"


@dataclass(frozen=True)
class RayTraining:
    """Trains members as tasks of the Ray cluster that Ray finds or is connected to.

    A member's resample, start and noise depend on its number alone, so the groups do not
    decide what it learns: only the last bits of single precision may differ. A task whose worker
    dies is done again.

    Attributes
    ----------
    workers : int, optional
        Tasks to split the members over; by default as many as the cluster has processors (or
        GPUs, if the model lives on one). No task has fewer than two members.
    """

    workers: int | None = None

    def __call__(
        self,
        structure: Structure,
        store: RowStore,
        resamples: Resamples,
        *,
        fit: FitConfig,
        seed: int,
        first: int,
        on_step: Callable[[int], None] | None,
    ) -> Trained:
        """Train one member on each resample; see :func:`train_members`.

        Raises
        ------
        ConfigError
            If Ray is not installed.
        """
        ray = import_ray()
        if not ray.is_initialized():
            ray.init(log_to_driver=False)
        device = store.packed.device
        on_gpu = device.type == "cuda"
        most = self.workers or max(
            1, int(ray.cluster_resources().get("GPU" if on_gpu else "CPU", 1))
        )
        groups = split_members(resamples.counts.shape[0], most)
        start = structure.start.to(_CPU)
        common = ray.put(
            (replace(structure, start=start), replace(store, packed=store.packed.cpu()))
        )
        structure.start.to(device)
        task = ray.remote(num_cpus=1, num_gpus=int(on_gpu))(_train_group)
        running = [
            task.remote(
                common, resamples_of(resamples, group), fit, seed, first + group.start, device.type
            )
            for group in groups
        ]
        parts = []
        for result in running:
            parts.append(ray.get(result))
            if on_step is not None:
                on_step(parts[-1].steps[-1])
        return join_trained(parts, device)


def import_ray() -> Any:  # noqa: ANN401 (a module)
    """Return the module ``ray``.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    try:
        import ray  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise ConfigError(NEEDS_RAY) from error
    return ray


def _train_group(
    common: tuple[Structure, RowStore],
    resamples: Resamples,
    fit: FitConfig,
    seed: int,
    first: int,
    device: str,
) -> Trained:
    """Train some members; runs in a worker."""
    structure, store = common
    resamples = Resamples(*(np.array(a) for a in vars(resamples).values()))  # Ray's are read-only
    here = torch.device(device)
    structure = replace(structure, start=structure.start.to(here))
    store = replace(store, packed=store.packed.to(here))
    trained = train_members(
        structure, store, resamples, fit=fit, seed=seed, first=first, on_step=None
    )
    return replace(trained, model=trained.model.to(_CPU))
