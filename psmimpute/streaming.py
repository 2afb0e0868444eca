"""Parquet too large for memory: planned, imputed piece by piece, resumed, checked."""

from __future__ import annotations

import multiprocessing
import secrets
from collections.abc import Callable, Hashable
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from os import PathLike
from typing import Any

from psmimpute.assembly import Unseen
from psmimpute.bounded_json import dump_object, parse_object
from psmimpute.exceptions import (
    ConfigError,
    OtherJobError,
    SchemaError,
    StorageError,
)
from psmimpute.imputed.multiply_imputed import MultiplyImputed
from psmimpute.imputed.stored import read_imputed
from psmimpute.imputer import PSMImputer
from psmimpute.inference.progress import Progress
from psmimpute.options import Engine
from psmimpute.pieces import (
    Job,
    UnitWorker,
    added_positions,
    declared_by,
    imputed_positions,
)
from psmimpute.storage.files import Folder
from psmimpute.storage.manifest import NAME as MANIFEST
from psmimpute.storage.manifest import Manifest
from psmimpute.storage.source import ParquetSource, Source
from psmimpute.storage.unique_keys import check_unique
from psmimpute.storage.writing import JOB, Layout, record_name

_MODEL, _REQUEST = "_model.psm", f"{JOB}/request.json"
_CHECKED = f"{JOB}/row-keys-checked"
_MOST_MODEL_BYTES, _MOST_RECORD_BYTES = 8 * 2**30, 2**26

Model = PSMImputer | str | PathLike[str]


def impute_parquet(
    source: Source,
    target: str | PathLike[str],
    m: int = 20,
    *,
    model: Model | None = None,
    seed: int | None = None,
    batch_rows: int = 2**16,
    row_key: Hashable | None = None,
    layout: Layout = "long",
    engine: Engine = "local",
    workers: int | None = None,
    resume: bool = True,
    progress: bool | None = None,
    unseen: Unseen = "error",
    filesystem: object = None,
) -> MultiplyImputed:
    """Impute Parquet of any size, batch by batch.

    A row's imputations depend on (model, seed, row key) alone: not on the size of a batch, the
    files the rows are in, the number of workers, or the engine. The output has the schema,
    metadata, dictionaries and row groups of the input. Every file is written aside and moved to
    its place; a job that was killed at any moment is finished by the same call, and the result
    is the same to the byte. The model's ``derived`` and ``applicable_if`` are applied to each
    batch; columns that they add are stored after those of the input, numbers as double.

    Parameters
    ----------
    source : str, path-like, list of them, or pyarrow.dataset.Dataset
        Parquet file, files, folder or hive-partitioned data set; or a URI.
    target : str or path-like
        Folder to write; new, empty, or of the same job.
    m : int, default 20
        Number of imputations.
    model : PSMImputer or path, optional
        Fitted, or saved. By default ``PSMImputer(m, seed=seed)`` is fitted to a sample; see
        :meth:`PSMImputer.fit`.
    seed : int, optional
        Of the draws, and of the fit if there is one; by default that of the model.
    batch_rows : int, default 65536
        Rows that are encoded and drawn at once: memory, not the result.
    row_key : hashable, optional
        Column that identifies a row, for draws that do not depend on where it is stored; it is
        read once beforehand, and a value that is there twice is refused. By default a row's
        key is its position, files in the order of their sorted paths.
    layout : {"long", "cells"}, default "long"
        The data and m completed tables, in hive partitions ``.imp``; or the data once, and
        tables of the imputed cells.
    engine : {"local", "ray"}, default "local"
        This machine, or actors of Ray Data; Ray also trains the members where no model is given.
    workers : int, optional
        Processes, or actors. By default one; it is this process if the engine is local.
    resume : bool, default True
        Whether to finish a job that was begun. Otherwise what there is of it is removed first.
    progress : bool, optional
        Whether to show a progress bar; by default on a terminal.
    unseen : {"error", "missing"}, default "error"
        What becomes of levels that the model was not taught; see :meth:`PSMImputer.impute`.
    filesystem : object or pair of object, optional
        Of pyarrow or fsspec: one for `source` and `target`, or one for each.

    Returns
    -------
    MultiplyImputed
        On the stored data: completed tables are read when they are asked for.

    Raises
    ------
    StorageError
        If something cannot be read or written; what is complete is kept for the next run.
    OtherJobError
        If the target holds something else.
    SchemaError, SupportError
        If the rows do not fit the model.
    ConfigError
        If an option is out of its range.

    Examples
    --------
    >>> import psmimpute as psm, tempfile, pathlib
    >>> df, folder = psm.datasets.load_nhanes2(), pathlib.Path(tempfile.mkdtemp())
    >>> df.to_parquet(folder / "nhanes.parquet")
    >>> imputer = psm.PSMImputer(m=2, seed=1).fit(df)
    >>> imp = psm.impute_parquet(folder / "nhanes.parquet", folder / "imputed", m=2, model=imputer)
    >>> imp.m, int(imp.complete(2).isna().sum().sum())
    (2, 0)
    """
    _check(m=m, batch_rows=batch_rows, layout=layout, engine=engine, workers=workers)
    here, there = filesystem if isinstance(filesystem, tuple) else (filesystem, filesystem)
    data, folder = ParquetSource(source, here), Folder.at(target, there)
    given = None if model is None else _given(model)
    request = {
        "source": data.signature(),
        "m": int(m),
        "seed": seed,
        "row_key": None if row_key is None else str(row_key),
        "layout": layout,
        "unseen": unseen,
        "model": None if given is None else _digest(given),
    }
    if _begin(folder, request, resume=resume):
        return read_imputed(target, filesystem=there)
    shown = Progress(progress)
    if given is None:
        given = _fitted(folder, data, m, row_key, progress, engine, workers)
    device = str(model.fitted_.device) if isinstance(model, PSMImputer) else "auto"
    imputer = PSMImputer.from_bytes(given, device=device)
    if not folder.exists(_MODEL):
        folder.write(_MODEL, given)
    used = imputer.seed_ if seed is None else int(seed)
    job = Job(
        given, data.dataset, folder, int(m), used, batch_rows, row_key, layout, unseen, device
    )
    _check_columns(data, imputer, row_key)
    if row_key is not None and not folder.exists(_CHECKED):
        check_unique(data, str(row_key))
        folder.write(_CHECKED, b"")
    left = [u for u in data.units if not folder.exists(record_name(u.number))]
    with shown.stage("imputing rows", total=sum(unit.n_rows for unit in left)) as on_rows:
        _run(job, [unit.number for unit in left], engine, workers, on_rows)
    _finish(folder, data, imputer, job, request)
    return read_imputed(target, filesystem=there)


def _check(*, m: int, batch_rows: int, layout: str, engine: str, workers: int | None) -> None:
    for name, value in (("m", m), ("batch_rows", batch_rows), ("workers", workers or 1)):
        if isinstance(value, bool) or value != int(value) or not 1 <= value <= 2**31:
            raise ConfigError(f"{name} must be a whole number of at least 1, got {value!r}")
    if layout not in ("long", "cells"):
        raise ConfigError(f"layout must be 'long' or 'cells', got {layout!r}")
    if engine not in ("local", "ray"):
        raise ConfigError(f"engine must be 'local' or 'ray', got {engine!r}")


def _given(model: Model) -> bytes:
    if isinstance(model, PSMImputer):
        return model.to_bytes()
    return PSMImputer.load(model, device="cpu").to_bytes()


def _digest(data: bytes) -> str:
    import hashlib  # noqa: PLC0415

    return hashlib.sha256(data).hexdigest()


def _begin(folder: Folder, request: dict[str, Any], *, resume: bool) -> bool:
    """Compare what is there with what is asked for; tell whether the job is done already."""
    begun, done = folder.exists(_REQUEST), folder.exists(MANIFEST)
    if not begun and not done and [n for n in folder.names() if not n.startswith(f"{JOB}/")]:
        raise OtherJobError(f"{folder} holds files that are no imputations: choose a new folder")
    if (begun or done) and not resume:
        _remove(folder)
        begun = done = False
    if done:
        found = Manifest.read(folder).request
    elif begun:
        found = parse_object(folder.read(_REQUEST, most_bytes=_MOST_RECORD_BYTES), what=_REQUEST)
    else:
        folder.delete(JOB)
        folder.write(_REQUEST, dump_object(request))
        found = request
    changed = sorted(k for k in request.keys() | found.keys() if request.get(k) != found.get(k))
    if changed:
        raise OtherJobError(
            f"{folder} holds the job of another {', '.join(changed)}: choose another folder, or "
            "give resume=False to start anew"
        )
    folder.delete(JOB if done else f"{JOB}/tmp")
    return done


def _remove(folder: Folder) -> None:
    """Remove the output of a job, and nothing else."""
    own = (MANIFEST, _MODEL)
    for name in folder.names():
        top = name.partition("/")[0]
        if name in own or top in (JOB, "data", "cells", "rows") or top.startswith(".imp="):
            folder.delete(name)
    folder.delete(JOB)


def _fitted(
    folder: Folder,
    data: ParquetSource,
    m: int,
    row_key: Hashable | None,
    progress: bool | None,
    engine: Engine,
    workers: int | None,
) -> bytes:
    if folder.exists(_MODEL):
        return folder.read(_MODEL, most_bytes=_MOST_MODEL_BYTES)
    request = parse_object(folder.read(_REQUEST, most_bytes=_MOST_RECORD_BYTES), what=_REQUEST)
    seed = request["seed"]
    # Drawn once: the model is stored before the first piece is, and read when the job goes on.
    seed = secrets.randbits(32) if seed is None else seed
    exclude = [] if row_key is None else [row_key]
    imputer = PSMImputer(m, seed=seed, exclude=exclude, progress=progress)
    imputer.fit(
        data.dataset,
        row_key=row_key,
        engine=engine,
        workers=workers if engine == "ray" else None,
    )
    model = imputer.to_bytes()
    folder.write(_MODEL, model)
    return model


def _check_columns(data: ParquetSource, imputer: PSMImputer, row_key: Hashable | None) -> None:
    wanted = [*imputer.schema_.column_names, *([] if row_key is None else [row_key])]
    absent = [name for name in wanted if name not in data.schema.names]
    if absent:
        raise SchemaError(f"{data.name} lacks columns: {', '.join(map(repr, absent))}")


def _run(
    job: Job,
    numbers: list[int],
    engine: Engine,
    workers: int | None,
    on_rows: Callable[[int], None],
) -> None:
    if engine == "ray":
        from psmimpute.streaming_ray import run_on_ray  # noqa: PLC0415 (an extra)

        run_on_ray(job, numbers, workers=workers, on_rows=on_rows)
    elif workers is None or workers == 1:
        worker = UnitWorker(job) if numbers else None
        for number in numbers:
            assert worker is not None
            worker.run(number, on_rows)
    else:
        _run_processes(job, numbers, workers, on_rows)


_WORKER: list[UnitWorker] = []  # of a process of the pool


def _start_process(job: Job) -> None:
    _WORKER[:] = [UnitWorker(job)]


def _run_in_process(number: int) -> int:
    return _WORKER[0].run(number)


def _run_processes(
    job: Job, numbers: list[int], workers: int, on_rows: Callable[[int], None]
) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_process, initargs=(job,)
    ) as pool:
        running = [pool.submit(_run_in_process, number) for number in numbers]
        try:
            for done in as_completed(running):
                on_rows(done.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _finish(
    folder: Folder,
    data: ParquetSource,
    imputer: PSMImputer,
    job: Job,
    request: dict[str, Any],
) -> None:
    """Check that every row is there, and say so in the manifest."""
    names = [record_name(unit.number) for unit in data.units]
    parts = [
        parse_object(folder.read(name, most_bytes=_MOST_RECORD_BYTES), what=name) for name in names
    ]
    if [part["n_rows"] for part in parts] != [unit.n_rows for unit in data.units]:
        raise StorageError(f"{folder} does not hold the rows of {data.name}: start anew")
    fitted, declared = imputer.fitted_, declared_by(imputer)
    Manifest(
        layout=job.layout,
        m=job.m,
        member_of=[k % fitted.model.n_members for k in range(job.m)],
        schema=imputer.schema_.to_dict(),
        info={
            "seed": job.seed,
            "missingness": imputer.missingness,
            "n_sets": imputer.n_sets_,
            "n_sets_reason": fitted.reason,
            "members": fitted.model.n_members,
            "device": str(fitted.device),
            "software": f"psmimpute {version('psmimpute')}",
            "history": [dict(row) for row in fitted.history],
            "warnings": [*fitted.warnings],
            "declared": imputer.declared(),
        },
        parts=parts,
        imputed=[*imputed_positions(data.file_schema, declared)],
        request=request,
        added=[*added_positions(data.file_schema, declared)],
    ).write(folder)
    folder.delete(JOB)
