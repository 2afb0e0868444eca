"""The command ``psmimpute``: the package at work without a line of Python."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
import typer

from psmimpute.exceptions import ConfigError, PSMError, StorageError, TrainingInterruptedError
from psmimpute.inference.config import FitConfig

if TYPE_CHECKING:
    from psmimpute.table.schema import ColumnSchema, TableSchema

FAILED, INTERRUPTED = 1, 130
# Where an option of the imputer is given.
_FLAGS = {
    "exclude": "--exclude",
    "kinds": "--kind",
    "bounds": "--bounds",
    "derived": "--derived",
    "applicable_if": "--applicable-if",
    "fit": "--max-steps",
}

app = typer.Typer(
    help="Multiple imputation of mixed-type tables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Source = Annotated[
    Path, typer.Argument(help="CSV or Parquet file, or Parquet folder.", show_default=False)
]
Imputations = Annotated[int, typer.Option("--m", min=1, help="Number of imputations.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Of everything random.")]
RowKey = Annotated[
    str | None, typer.Option(help="Column that identifies a row; by default its position.")
]
Exclude = Annotated[list[str] | None, typer.Option(help="Column to leave out; repeat for more.")]
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind", metavar="COLUMN=KIND", help="Such as grade=ordinal; repeat for more columns."
    ),
]
Bounds = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=LOW..HIGH",
        help="Range of imputed values, such as age=0..110 or visit=2020-01-31.. ; repeatable.",
    ),
]
Derived = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=FORMULA",
        help='Column to compute, such as "bmi=weight / height**2"; repeatable.',
    ),
]
Conditions = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=CONDITION",
        help="When a column applies, such as \"cigarettes=smoker == 'yes'\"; repeatable.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
MaxSteps = Annotated[
    int | None, typer.Option(min=1, help="Most training steps; adapts to the data by default.")
]


class Mechanism(StrEnum):
    """What the missingness of a cell may depend on; see ``psmimpute.impute``."""

    SHARED = "shared"
    SELECTION = "selection"
    IGNORABLE = "ignorable"


Missingness = Annotated[Mechanism, typer.Option(help="Model of which cells were observed.")]


class LayoutName(StrEnum):
    """What a folder of imputations holds; see ``psmimpute.impute_parquet``."""

    LONG = "long"
    CELLS = "cells"


class Model(StrEnum):
    """Regression models of ``statsmodels.formula.api`` that a formula alone defines."""

    OLS = "ols"
    LOGIT = "logit"
    PROBIT = "probit"
    POISSON = "poisson"


@contextmanager
def _one_line_each() -> Iterator[None]:
    """Tell errors and warnings in one line each, and leave with the exit code that fits."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            try:
                yield
            finally:
                for warning in caught:
                    _tell(f"warning: {warning.message}")
    except TrainingInterruptedError as error:
        _tell(str(error))
        raise typer.Exit(INTERRUPTED) from None
    except (PSMError, OSError) as error:
        _tell(f"error: {error}")
        raise typer.Exit(FAILED) from None


def _tell(message: str) -> None:
    typer.echo(f"psmimpute: {' '.join(message.split())}", err=True)


@app.command()
def demo(
    m: Imputations = 20,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 1,
    figure: Annotated[Path, typer.Option(help="PNG file to write.")] = Path("demo.png"),
    max_steps: MaxSteps = None,
) -> None:
    """Impute a real table with gaps, pool a regression, and save a figure."""
    with _one_line_each():
        from psmimpute.demo import run_demo

        _check_folder(figure)
        run_demo(m=m, seed=seed, figure=figure, say=typer.echo, fit=_training(max_steps))


@app.command()
def patterns(
    source: Source,
    exclude: Exclude = None,
    kind: Kinds = None,
    bounds: Bounds = None,
    as_json: Json = False,
) -> None:
    """Show the missing-data patterns, and what each column is taken to be."""
    with _one_line_each():
        from psmimpute.table.infer import infer_schema
        from psmimpute.table.patterns import missing_pattern

        asked = _options(exclude=exclude, kinds=kind, bounds=bounds)
        frame = _read(source)
        table = missing_pattern(frame)
        if not as_json:
            typer.echo(f"{table.to_string()}\n")
        schema = infer_schema(frame, **asked)
        if as_json:
            _say_json({"schema": schema.to_dict(), "patterns": _records(table)})
        else:
            typer.echo(schema)


@app.command()
def fit(
    source: Source,
    target: Annotated[Path, typer.Argument(help="Model file to write.", show_default=False)],
    m: Imputations = 20,
    seed: Seed = None,
    missingness: Missingness = Mechanism.SHARED,
    exclude: Exclude = None,
    kind: Kinds = None,
    bounds: Bounds = None,
    derived: Derived = None,
    applicable_if: Conditions = None,
    sample_rows: Annotated[int, typer.Option(min=1, help="Rows of Parquet to learn.")] = 100_000,
    row_key: RowKey = None,
    max_steps: MaxSteps = None,
    as_json: Json = False,
) -> None:
    """Fit a model to a table, or to a sample of Parquet of any size, and save it."""
    with _one_line_each():
        _check_folder(target)
        from psmimpute.imputer import PSMImputer

        asked = _options(
            exclude=exclude,
            row_key=row_key,
            kinds=kind,
            bounds=bounds,
            derived=derived,
            applicable_if=applicable_if,
            max_steps=max_steps,
        )
        imputer = PSMImputer(m, seed=seed, missingness=missingness.value, **asked)
        if source.suffix.lower() == ".csv":
            imputer.fit(_read(source))
        else:
            imputer.fit(source, sample_rows=sample_rows, row_key=row_key)
        imputer.save(target)
        found = imputer.fitted_
        facts = {"model": str(target), "seed": imputer.seed_, "n_sets": imputer.n_sets_}
        facts |= {"members": found.model.n_members, "reason": found.reason}
        if as_json:
            _say_json(facts)
        else:
            typer.echo(f"{target}: {facts['members']} members; {found.reason}")


@app.command()
def impute(
    source: Source,
    target: Annotated[
        Path, typer.Argument(help="CSV or Parquet file, in long format; or a folder.")
    ],
    m: Imputations = 20,
    seed: Seed = None,
    missingness: Missingness = Mechanism.SHARED,
    exclude: Exclude = None,
    kind: Kinds = None,
    bounds: Bounds = None,
    derived: Derived = None,
    applicable_if: Conditions = None,
    max_steps: MaxSteps = None,
    model: Annotated[Path | None, typer.Option(help="Model that `psmimpute fit` saved.")] = None,
    layout: Annotated[LayoutName, typer.Option(help="Of a folder.")] = LayoutName.LONG,
    row_key: RowKey = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes, for a folder.")] = None,
    resume: Annotated[bool, typer.Option(help="Finish a job that was begun.")] = True,
    as_json: Json = False,
) -> None:
    """Impute the gaps of a table.

    A TARGET that ends in .csv or .parquet is one file, with the data and all imputations below
    each other. Any other TARGET is a folder: Parquet of any size is imputed batch by batch, and
    the same command finishes a job that was interrupted.
    """
    with _one_line_each():
        asked = _options(
            exclude=exclude,
            kinds=kind,
            bounds=bounds,
            derived=derived,
            applicable_if=applicable_if,
            max_steps=max_steps,
        )
        if model is not None and asked:
            raise ConfigError(f"{model} was fitted: give {_flags(asked)} to `psmimpute fit`")
        if target.suffix.lower() in {".csv", ".parquet"}:
            _check_folder(target)
            from psmimpute.imputer import PSMImputer

            if model is not None:
                imputer = PSMImputer.load(model)
                frame = _read(source, imputer.schema_)
            else:
                frame = _read(source)
                asked |= _options(exclude=exclude, row_key=_column(row_key, frame))
                imputer = PSMImputer(m, seed=seed, missingness=missingness.value, **asked)
                imputer.fit(frame)
            imp = imputer.impute(frame, m, seed=seed, row_key=row_key)
            _write(imp.complete("long", include=True), target)
            n_cells: int | None = int(imp.where.sum().sum())
        else:
            _check_folder_name(target)
            if source.suffix.lower() == ".csv":
                raise ConfigError(
                    f"{source}: a folder is imputed from Parquet; for CSV, name a TARGET that ends "
                    "in .csv or .parquet"
                )
            if asked:
                raise ConfigError(
                    f"for a folder, give {_flags(asked)} to `psmimpute fit`, and its model here"
                )
            from psmimpute.streaming import impute_parquet

            impute_parquet(
                source,
                target,
                m,
                model=model,
                seed=seed,
                layout=layout.value,
                row_key=row_key,
                workers=workers,
                resume=resume,
            )
            n_cells = None
        if as_json:
            _say_json({"target": str(target), "m": m, "n_imputed_cells": n_cells})
        else:
            cells = "" if n_cells is None else f" of {n_cells} cells"
            typer.echo(f"{m} imputations{cells}: {target}")


def _check_folder_name(target: Path) -> None:
    """Refuse what looks like a file of another format."""
    if target.suffix[1:].isalpha() and not target.is_dir():
        raise ConfigError(
            f"{target}: the name must end in .csv or .parquet for one file, or name a folder"
        )


def _options(
    *, row_key: str | None = None, max_steps: int | None = None, **by_column: list[str] | None
) -> dict[str, Any]:
    """Options of an imputer, those that were given."""
    exclude = [*(by_column.pop("exclude", None) or []), *([] if row_key is None else [row_key])]
    found: dict[str, Any] = {"exclude": exclude} if exclude else {}
    for name, given in by_column.items():
        if given:
            found[name] = dict(_column_and_value(name, text) for text in given)
    if "bounds" in found:
        found["bounds"] = {column: _ends(text) for column, text in found["bounds"].items()}
    return found if max_steps is None else found | {"fit": _training(max_steps)}


def _column_and_value(name: str, text: str) -> tuple[str, str]:
    column, sign, value = (part.strip() for part in text.partition("="))
    if not (column and sign and value):
        raise ConfigError(f"{_FLAGS.get(name, name)} {text!r}: give a column, =, and its value")
    return column, value


def _ends(text: str) -> tuple[str | None, str | None]:
    low, sign, high = (part.strip() for part in text.partition(".."))
    if not sign:
        raise ConfigError(f"--bounds {text!r}: give the ends as LOW..HIGH; one may be left out")
    return low or None, high or None


def _flags(asked: dict[str, Any]) -> str:
    return ", ".join(_FLAGS[name] for name in asked)


def _column(row_key: str | None, frame: pd.DataFrame) -> str | None:
    if row_key is not None and row_key not in frame:
        raise ConfigError(f"--row-key {row_key}: no such column; there are {[*frame.columns]}")
    return row_key


@app.command()
def pool(
    source: Annotated[
        Path, typer.Argument(help="What `psmimpute impute` wrote.", show_default=False)
    ],
    formula: Annotated[str, typer.Argument(help='Such as "bmi ~ age".', show_default=False)],
    model: Annotated[Model, typer.Option(help="Regression model.")] = Model.OLS,
    as_json: Json = False,
) -> None:
    """Fit a regression to each imputation, and pool them by Rubin's rules."""
    with _one_line_each():
        from statsmodels.formula import api

        from psmimpute.imputed.from_long import from_long
        from psmimpute.imputed.stored import read_imputed

        imp = read_imputed(source) if source.is_dir() else from_long(_read(source))
        pooled = imp.pool(formula, model=getattr(api, model.value))
        if as_json:
            _say_json({"m": imp.m, "terms": _records(pooled.to_frame())})
        else:
            typer.echo(pooled.summary())


def _say_json(facts: dict[str, Any]) -> None:
    typer.echo(json.dumps(facts, default=str))


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a frame with their labels, as JSON values; NaN and infinity as null."""
    found: list[dict[str, Any]] = json.loads(frame.reset_index().to_json(orient="records"))
    return found


def _training(max_steps: int | None) -> FitConfig:
    return FitConfig() if max_steps is None else FitConfig(max_steps=max_steps)


def _check_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise StorageError(f"cannot write {path}: there is no folder {path.parent}")


def _check_format(path: Path) -> None:
    if path.suffix.lower() not in {".csv", ".parquet"}:
        raise ConfigError(f"{path}: the name must end in .csv or .parquet")


def _read(path: Path, schema: TableSchema | None = None) -> pd.DataFrame:
    """Read a table; CSV as the columns were learned, if they were."""
    if path.is_file() or (path.suffix and not path.is_dir()):
        _check_format(path)
    if not path.exists():
        raise StorageError(f"cannot read {path}: No such file or directory")
    try:
        return _read_csv(path, schema) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise StorageError(f"cannot read {path}: {reason}") from error


def _read_csv(path: Path, schema: TableSchema | None) -> pd.DataFrame:
    """Read a CSV file, the columns of a model as it learned them."""
    frame, text = pd.read_csv(path), pd.read_csv(path, dtype=str)
    learned = {} if schema is None else {column.name: column for column in schema.columns}
    for name in frame:
        if name in learned:
            frame[name] = _as_learned(learned[name], frame[name], text[name])
        else:
            frame[name] = _as_it_looks(frame[name], text[name])
    return frame


def _as_learned(column: ColumnSchema, read: pd.Series, text: pd.Series) -> pd.Series:
    if column.dtype.startswith("datetime64"):
        return pd.to_datetime(text, format="ISO8601")
    labels = column.levels is not None and all(isinstance(v, str) for v in column.levels)
    return text if labels else read


def _as_it_looks(read: pd.Series, text: pd.Series) -> pd.Series:
    """Keep codes such as 00019 as text, and make times of ISO dates."""
    cells = text.dropna()
    if read.dtype.kind in "iuf":
        if not cells.str.fullmatch(r"[+-]?0\d+").any():
            return read
        _tell(f"{read.name} is read as text: values such as 007 are codes, not numbers")
        return text
    if len(cells) and cells.str.fullmatch(r"\d{4}-\d{2}-\d{2}").all():
        times = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce")
        if times.notna().sum() == len(cells):
            return times
    return read


def _write(frame: pd.DataFrame, path: Path) -> None:
    try:
        if path.suffix.lower() == ".csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path, index=False)
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot write {path}: {error}") from error


def main() -> None:
    """Run the command line."""
    app()
