"""A fitted model as one safetensors file with a JSON header, and back, trusting nothing.

The file is data alone: reading it runs no code from it. Its header holds the tensors' names,
types and shapes as safetensors defines them, and one text, ``psmimpute``: the SHA-256 of what
follows it and of the tensors, a space, and JSON with all that is not a tensor.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from psmimpute.bounded_json import dump_object, parse_object
from psmimpute.exceptions import CorruptFileError, NewerFormatError, PSMError, StorageError
from psmimpute.inference.config import FitConfig
from psmimpute.inference.fitted import FittedModel
from psmimpute.inference.products import MOST_PRODUCTS
from psmimpute.inference.structure import Structure
from psmimpute.model.config import ModelConfig
from psmimpute.model.layout import lay_out
from psmimpute.model.psm_vae import PatternSetMixtureVAE
from psmimpute.model.spec import ModelSpec
from psmimpute.table.kinds import Family
from psmimpute.table.schema import ColumnSchema, TableSchema

# 1: counts had logistic noise; 2: the prior of residual variances was the same for all columns.
FORMAT, _NORMAL_COUNTS, _LATER = 4, 2, ".prior_variance"
_MOST_FILE_BYTES = 8 * 2**30
_MOST_HEADER_BYTES = 64 * 2**20
_MOST_SETS, _MOST_MEMBERS, _MOST_LAYERS, _MOST_WIDTH = 100, 10_000, 64, 2**16
_ENTRY = "psmimpute"
_MODEL, _START, _RANGE, _ALIGNMENT = "model.", "start.", "latent_range", "alignment"
_ZONE = re.compile(r"(?!dateutil|tzlocal)[A-Za-z][A-Za-z0-9_+\-]*(/[A-Za-z0-9_+\-]+)*(:\d\d)?")
_UNITS = ("s", "ms", "us", "ns")
# What reading a damaged description can raise; all of it means the same to the caller.
_DAMAGE = (
    ArithmeticError, AttributeError, LookupError, RecursionError, RuntimeError, TypeError,
    ValueError, PSMError, AssertionError, NotImplementedError,
)  # fmt: skip
T = TypeVar("T")


def pack_model(fitted: FittedModel, schema: TableSchema, extra: Mapping[str, Any]) -> bytes:
    """Return a fitted model as the bytes of a file.

    Parameters
    ----------
    fitted : FittedModel
        The model; its structure with the start of further members comes along.
    schema : TableSchema
        Of the table that was fitted.
    extra : mapping
        What the imputer adds, JSON values.

    Returns
    -------
    bytes
        The same for the same model.

    Raises
    ------
    SchemaError
        If a column name or a level is of a type that JSON cannot describe.
    """
    tensors = _tensors(_MODEL, fitted.model) | _tensors(_START, fitted.structure.start)
    tensors[_RANGE] = torch.from_numpy(np.ascontiguousarray(fitted.latent_range, np.float64))
    tensors[_ALIGNMENT] = torch.from_numpy(np.ascontiguousarray(fitted.alignment, np.int64))
    described = {
        "format": FORMAT,
        "software": {"psmimpute": version("psmimpute"), "torch": version("torch")},
        "schema": schema.to_dict(),
        "spec": _describe_spec(fitted.spec),
        "members": fitted.model.n_members,
        "start": {
            "spec": _describe_spec(fitted.structure.start.spec),
            "members": fitted.structure.start.n_members,
        },
        "reason": fitted.structure.reason,
        "comparisons": [dict(row) for row in fitted.structure.comparisons],
        "history": [dict(row) for row in fitted.history],
        "fingerprint": fitted.fingerprint,
        "warnings": [*fitted.warnings],
        "trained_on": str(fitted.device),
        "imputer": dict(extra),
    }
    text = dump_object(described)
    # One entry: safetensors writes several in any order.
    return safetensors.torch.save(
        tensors, {_ENTRY: f"{checksum_of(text, tensors)} {text.decode()}"}
    )


def unpack_model(
    data: bytes, *, device: torch.device, what: str
) -> tuple[FittedModel, TableSchema, dict[str, Any]]:
    """Return the model that :func:`pack_model` wrote.

    Parameters
    ----------
    data : bytes
        Of the file.
    device : torch.device
        Where the model is to live, whatever it was trained on.
    what : str
        Name of the file, for messages.

    Returns
    -------
    fitted : FittedModel
    schema : TableSchema
    extra : dict
        What the imputer added.

    Raises
    ------
    CorruptFileError
        If the file is truncated, was tampered with, or is no model.
    NewerFormatError
        If a later version of the package wrote it.
    StorageError
        If an earlier version wrote it whose likelihood of a column was another.
    """
    text, checksum = _read_header(data, what)
    try:
        tensors = safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError, OverflowError) as error:
        raise CorruptFileError(f"{what} is damaged: {error}") from None
    state = parse_object(text, what=what)
    found = state.get("format")
    if not isinstance(found, int) or found < 1:
        raise CorruptFileError(f"{what} is no model of psmimpute: it has no format number")
    if found > FORMAT:
        raise NewerFormatError(
            f"{what} has format {found}, this version reads up to {FORMAT}: update psmimpute"
        )
    if checksum_of(text, tensors) != checksum:
        raise CorruptFileError(f"{what} was changed after it was written: its checksum differs")
    try:
        fitted, schema, extra = _rebuild(state, tensors, device)
    except NewerFormatError:
        raise
    except _DAMAGE as error:
        raise CorruptFileError(f"{what} describes no model: {error!r}") from None
    if found < _NORMAL_COUNTS and fitted.spec.layout.block(Family.COUNT) is not None:
        raise StorageError(
            f"{what} has counts and is of an earlier version, whose counts had another noise: "
            "fit the model again"
        )
    return fitted, schema, extra


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file all at once: whoever reads finds the old one or the new one.

    Parameters
    ----------
    path : str or path-like
    data : bytes

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageError(f"cannot write {target}: {error.strerror or error}") from error


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Read a model file of a bounded size.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    bytes

    Raises
    ------
    StorageError
        If it cannot be read.
    CorruptFileError
        If it is larger than any model.
    """
    try:
        size = Path(path).stat().st_size
        if size > _MOST_FILE_BYTES:
            raise CorruptFileError(f"{path} has {size} bytes: no model is that large")
        return Path(path).read_bytes()
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error


def _tensors(prefix: str, model: PatternSetMixtureVAE) -> dict[str, torch.Tensor]:
    state = model.state_dict()
    return {prefix + name: value.detach().cpu().contiguous() for name, value in state.items()}


def checksum_of(text: bytes, tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of a description and its tensors, in hexadecimal."""
    found = hashlib.sha256(struct.pack("<Q", len(text)) + text)
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        found.update(repr((name, str(value.dtype), tuple(value.shape))).encode())
        found.update(value.flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def _read_header(data: bytes, what: str) -> tuple[bytes, str]:
    """Return the JSON text and the checksum, before anything else is believed."""
    size = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else 0
    if not 2 <= size <= min(_MOST_HEADER_BYTES, len(data) - 8):
        raise CorruptFileError(f"{what} is no safetensors file, or was cut short")
    header = parse_object(data[8 : 8 + size], what=what, most_bytes=_MOST_HEADER_BYTES)
    metadata = header.get("__metadata__")
    entry = metadata.get(_ENTRY) if isinstance(metadata, dict) else None
    if not isinstance(entry, str):
        raise CorruptFileError(f"{what} is no model of psmimpute")
    checksum, _, text = entry.partition(" ")
    return text.encode("utf-8", "surrogatepass"), checksum


def _describe_spec(spec: ModelSpec) -> dict[str, Any]:
    return {
        "gappy": [*spec.gappy],
        "n_sets": spec.n_sets,
        "missingness": spec.missingness,
        "pi": [*spec.pi],
        "config": asdict(spec.config),
        "selection_effects": [[output, [*by_set]] for output, by_set in spec.selection_effects],
        "products": [[*pair] for pair in spec.products],
    }


def _rebuild(
    state: dict[str, Any], tensors: dict[str, torch.Tensor], device: torch.device
) -> tuple[FittedModel, TableSchema, dict[str, Any]]:
    schema = TableSchema.from_dict(state["schema"])
    _check_schema(schema)
    spec, start_spec = (_read_spec(s["spec"], schema) for s in (state, state["start"]))
    n_members = _whole(state["members"], 1, _MOST_MEMBERS)
    n_starts = _whole(state["start"]["members"], 1, _MOST_MEMBERS)
    expected = {_RANGE, _ALIGNMENT}
    models = []
    for prefix, own, n in ((_MODEL, spec, n_members), (_START, start_spec, n_starts)):
        given = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        expected |= {prefix + name for name in given}
        models.append(_load_model(own, n, given).to(device))
    _require(tensors.keys() == expected, "the tensors are not those of the model")
    latent_range, alignment = tensors[_RANGE].numpy(), tensors[_ALIGNMENT].numpy()
    _require(latent_range.shape == (len(schema.features), 2), "latent_range has another shape")
    _require(latent_range.dtype == np.float64, "latent_range is not of float64")
    _require(not np.isnan(latent_range).any(), "latent_range has NaN")
    _require(alignment.dtype == np.int64, "alignment is not of int64")
    labels = np.broadcast_to(np.arange(spec.n_sets), (n_members, spec.n_sets))
    _require(alignment.shape == labels.shape, "alignment has another shape")
    _require(np.array_equal(np.sort(alignment, 1), labels), "alignment is no permutation")
    comparisons = tuple(_numbers(row) for row in _list(state["comparisons"]))
    history = tuple(_numbers(row) for row in _list(state["history"]))
    fitted = FittedModel(
        model=models[0],
        structure=Structure(spec, _text(state["reason"]), models[1], comparisons),
        device=device,
        history=history,
        latent_range=latent_range.copy(),
        alignment=alignment.copy(),
        fingerprint=_text(state["fingerprint"]),
        warnings=tuple(_text(line) for line in _list(state["warnings"])),
    )
    extra = state["imputer"]
    _require(isinstance(extra, dict), "the imputer is not described")
    return fitted, schema, extra


def _load_model(
    spec: ModelSpec, n_members: int, given: dict[str, torch.Tensor]
) -> PatternSetMixtureVAE:
    # Shapes are compared on a device without memory before anything is allocated.
    with torch.device("meta"):
        shapes = PatternSetMixtureVAE(spec, n_members).state_dict()
    # Tensors of no numbers are those of options that came later, and were not taken.
    none = {name: torch.empty(shape.shape) for name, shape in shapes.items() if not shape.numel()}
    given = none | given
    later = {name for name in shapes if name.endswith(_LATER)} - given.keys()
    _require(shapes.keys() == given.keys() | later, "the tensors are not those of the model")
    for name, found in given.items():
        expected = shapes[name]
        alike = found.shape == expected.shape and found.dtype == expected.dtype
        _require(alike, f"tensor {name} is {tuple(found.shape)}, not {tuple(expected.shape)}")
        finite = not found.is_floating_point() or bool(torch.isfinite(found).all())
        _require(finite, f"tensor {name} is not finite")
        _require(not name.endswith(_LATER) or bool((found > 0).all()), "a variance is no variance")
    model = PatternSetMixtureVAE(spec, n_members)
    model.load_state_dict(model.state_dict() | given, strict=True)
    return model.eval().requires_grad_(False)


def _read_spec(state: dict[str, Any], schema: TableSchema) -> ModelSpec:
    n_columns = len(schema.columns)
    gappy = tuple(_whole(j, 0, n_columns - 1) for j in _list(state["gappy"]))
    _require(list(gappy) == sorted(set(gappy)), "columns with gaps are not in order")
    pi = tuple(_number(p) for p in _list(state["pi"]))
    _require(len(pi) == n_columns and all(0 <= p <= 1 for p in pi), "pi is not a share a column")
    missingness = state["missingness"]
    _require(missingness in ("shared", "selection", "ignorable"), "missingness is unknown")
    config = read_config(ModelConfig, state["config"])
    _whole(config.hidden_dim, 0, _MOST_WIDTH)
    _whole(config.n_layers, 1, _MOST_LAYERS)
    if config.covariate_dim != "auto":
        _whole(config.covariate_dim, 0, _MOST_WIDTH)
    if config.latent_dim != "auto":
        _whole(config.latent_dim, 1, _MOST_WIDTH)
    layout = lay_out(schema.features, n_columns=n_columns)
    n_sets = _whole(state["n_sets"], 1, _MOST_SETS)
    effects = _read_effects(state["selection_effects"], layout.n_outputs, n_sets)
    _require(not effects or missingness == "selection", "effects of selection without selection")
    spec = ModelSpec(layout, gappy, n_sets, missingness, pi, config, effects)
    return replace(spec, products=_read_products(state.get("products", []), spec))


def _read_products(state: object, spec: ModelSpec) -> tuple[tuple[int, int], ...]:
    pairs: list[tuple[int, int]] = []
    for pair in _list(state):
        i, j = (_whole(k, 0, spec.layout.n_outputs - 1) for k in _list(pair))
        _require(i <= j and {i, j} <= {*spec.complete_inputs}, "a product is of columns with gaps")
        pairs.append((i, j))
    _require(pairs == sorted(set(pairs)), "products are not in order")
    _require(len(pairs) <= MOST_PRODUCTS, "there are too many products")
    return tuple(pairs)


def _read_effects(
    state: object, n_outputs: int, n_sets: int
) -> tuple[tuple[int, tuple[float, ...]], ...]:
    effects: list[tuple[int, tuple[float, ...]]] = []
    for pair in _list(state):
        output, given = _list(pair)
        by_set = tuple(_number(value) for value in _list(given))
        _require(len(by_set) in (1, n_sets), "an effect is not one for each set")
        _require(all(map(math.isfinite, by_set)), "an effect is not finite")
        effects.append((_whole(output, 0, n_outputs - 1), by_set))
    return tuple(effects)


Config = TypeVar("Config", ModelConfig, FitConfig)


def read_config(kind: type[Config], state: Mapping[str, Any]) -> Config:
    """Return the configuration of which `state` holds the fields.

    Parameters
    ----------
    kind : type
        ``ModelConfig`` or ``FitConfig``.
    state : mapping
        From a file.

    Returns
    -------
    ModelConfig or FitConfig

    Raises
    ------
    ValueError
        If a field is unknown.
    ConfigError
        If a value is of another type or out of its range.
    """
    known = {field.name for field in fields(kind)}
    _require(state.keys() <= known, f"unknown fields in {kind.__name__}")
    return kind(**state)


def _check_schema(schema: TableSchema) -> None:
    """Refuse values that inference never gives, of whichever type."""
    _require(len(schema.columns) > 0, "the schema has no column")
    names = [*schema.column_names, *schema.excluded]
    _require(len(set(names)) == len(names), "a column is there twice")
    _require(len(schema.excluded) == len(schema.excluded_reasons), "a reason is missing")
    for reason in schema.excluded_reasons:
        _text(reason)
    for column in schema.columns:
        _check_column(column)


def _check_column(column: ColumnSchema) -> None:
    _require(len(_text(column.dtype)) < 1000, "a dtype has too long a name")
    _text(column.reason)
    for count in (column.n_observed, column.n_missing):
        _whole(count, 0, 2**63)
    _require(isinstance(column.is_integer, bool), "is_integer is no truth value")
    _require(isinstance(column.is_rounded, bool), "is_rounded is no truth value")
    _require(not column.is_rounded or column.is_integer, "what is rounded is not whole")
    described = column.is_constant + (column.levels is not None) + (column.transform is not None)
    _require(described == 1, f"column {column.name!r} is not described in one way")
    if column.levels is not None:
        _require(column.has_levels, f"column {column.name!r} has levels")
        n_levels = len(column.levels)
        _require(2 <= len(set(column.levels)) == n_levels, "levels are repeated")
        _require(n_levels == 2 or column.kind != "binary", "a binary column has many levels")
    elif column.has_levels and not column.is_constant:
        _refuse(f"column {column.name!r} has no levels")
    if column.transform is not None:
        transform = column.transform
        values = [_number(v) for v in (transform.loc, transform.scale)]
        finite = bool(np.isfinite(values).all())
        _require(transform.scale > 0 and finite, "a transform is degenerate")
        knots = np.array([transform.knots_x, transform.knots_g], dtype=np.float64)
        _require(bool(np.isfinite(knots).all()), "a knot is not finite")
        _require(bool((np.diff(knots) > 0).all()), "knots are not in order")
        _require((knots.shape[1] >= 2) == (transform.kind == "normal_scores"), "knots are missing")
        _require(column.support is not None, f"column {column.name!r} has no support")
    for ends in (column.support, column.bounds):
        if ends is not None:
            low, high = (_number(end) for end in ends)
            _require(low <= high, f"column {column.name!r} has an empty range")
    _check_time(column)


def _check_time(column: ColumnSchema) -> None:
    axis = column.time
    _require((axis is not None) == (column.kind in ("datetime", "timedelta")), "a time axis")
    if axis is None:
        return
    _require(axis.unit in _UNITS, "a time has no unit")
    _require(isinstance(axis.is_duration, bool), "is_duration is no truth value")
    _require(axis.is_duration == (column.kind == "timedelta"), "is_duration")
    _whole(axis.origin, -(10**24), 10**24)
    _require(bool(axis.step_name), "a step")
    # Some names would make pandas open a file of that name.
    zone = axis.zone
    _require(zone is None or bool(_ZONE.fullmatch(_text(zone))), "a time zone has no name")


def _refuse(problem: str) -> NoReturn:
    raise ValueError(problem)


def _require(holds: bool, problem: str) -> None:
    if not holds:
        _refuse(problem)


def _typed(kind: type[T]) -> Callable[[object], T]:
    def check(value: object) -> T:
        if type(value) is not kind:
            _refuse(f"{value!r:.60} is no {kind.__name__}")
        return value

    return check


_text, _list = _typed(str), _typed(list)


def _number(value: object) -> float:
    if type(value) not in (int, float):
        _refuse(f"{value!r:.60} is no number")
    number = float(value)  # type: ignore[arg-type]
    _require(not math.isnan(number), "a number is NaN")
    return number


def _whole(value: object, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        _refuse(f"{value!r:.60} is no whole number from {low} to {high}")
    return value


def _numbers(row: object) -> dict[str, Any]:
    if not isinstance(row, dict):
        _refuse("a record is no object")
    for value in row.values():
        _require(type(value) in (int, float, bool), "a record holds something else than numbers")
    return row
