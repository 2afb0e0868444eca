"""The pieces of a job on a Ray cluster: actors of Ray Data that load the model once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from psmimpute.exceptions import ConfigError, PSMError
from psmimpute.inference.members_ray import NEEDS_RAY, import_ray
from psmimpute.pieces import Job, UnitWorker

_SCHEMA = pa.schema([("number", pa.int64()), ("n_rows", pa.int64()), ("error", pa.string())])


class PieceActor:
    """Imputes the pieces whose numbers it is given; what it writes, it writes once.

    Parameters
    ----------
    job : Job
    """

    def __init__(self, job: Job) -> None:
        self.worker = UnitWorker(job)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Impute and write pieces; a piece that is written again has the same bytes."""
        rows: list[tuple[int, int, str | None]] = []
        for number in batch.column("number").to_pylist():
            try:
                rows.append((number, self.worker.run(number), None))
            except PSMError as error:  # the data's fault: another try would find the same
                rows.append((number, 0, f"{type(error).__name__}: {error}"))
        columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
        return pa.table(columns, schema=_SCHEMA)


def run_on_ray(
    job: Job,
    numbers: list[int],
    *,
    workers: int | None,
    on_rows: Callable[[int], None],
) -> None:
    """Impute pieces of a data set in stateful actors of Ray Data.

    The cluster is the one that Ray finds or is connected to; source and target must be seen
    by all of its machines. An actor that dies is replaced, and its piece done again.

    Parameters
    ----------
    job : Job
    numbers : list of int
        Of the pieces.
    workers : int, optional
        Actors; by default 1 up to as many as the cluster has room for.
    on_rows : callable
        Called with the number of rows just done.

    Raises
    ------
    ConfigError
        If Ray is not installed.
    PSMError
        If a piece cannot be imputed; other pieces are kept.
    """
    if not numbers:
        return
    ray = import_ray()
    try:
        from ray.data import ActorPoolStrategy  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise ConfigError(NEEDS_RAY) from error
    size = {"size": workers} if workers else {"min_size": 1, "max_size": len(numbers)}
    gpus = 1 if job.device == "cuda" else 0
    # One block for each piece, put rather than computed: the actors may hold every processor.
    pieces = [pa.table({"number": pa.array([number], pa.int64())}) for number in numbers]
    done = ray.data.from_arrow(pieces).map_batches(
        PieceActor,
        fn_constructor_args=(job,),
        batch_size=1,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(**size),
        num_gpus=gpus,
    )
    for row in done.iter_rows():
        if row["error"]:
            raise PSMError(row["error"])
        on_rows(int(row["n_rows"]))
