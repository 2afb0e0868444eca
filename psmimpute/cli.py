"""The command ``psmimpute``: the package at work without a line of Python."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from psmimpute.exceptions import ConfigError, PSMError, StorageError, TrainingInterruptedError
from psmimpute.inference.config import FitConfig

FAILED, INTERRUPTED = 1, 130

app = typer.Typer(
    help="Multiple imputation of mixed-type tables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Source = Annotated[Path, typer.Argument(help="CSV or Parquet file.", show_default=False)]
Imputations = Annotated[int, typer.Option("--m", min=1, help="Number of imputations.")]
MaxSteps = Annotated[
    int | None, typer.Option(min=1, help="Most training steps; adapts to the data by default.")
]


class Mechanism(StrEnum):
    """What the missingness of a cell may depend on; see ``psmimpute.impute``."""

    SHARED = "shared"
    SELECTION = "selection"
    IGNORABLE = "ignorable"


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
def patterns(source: Source) -> None:
    """Show what each column is taken to be, and the missing-data patterns."""
    with _one_line_each():
        from psmimpute.table.infer import infer_schema
        from psmimpute.table.patterns import missing_pattern

        frame = _read(source)
        typer.echo(infer_schema(frame))
        typer.echo(f"\n{missing_pattern(frame).to_string()}")


@app.command()
def impute(
    source: Source,
    target: Annotated[Path, typer.Argument(help="CSV or Parquet file to write, in long format.")],
    m: Imputations = 20,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    missingness: Annotated[
        Mechanism, typer.Option(help="Model of which cells were observed.")
    ] = Mechanism.SHARED,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Column to leave out; repeat for more.")
    ] = None,
    max_steps: MaxSteps = None,
) -> None:
    """Impute the gaps of a table, and write the data and all imputations below each other."""
    with _one_line_each():
        _check_format(target)
        _check_folder(target)
        frame = _read(source)
        from psmimpute.imputer import impute as impute_frame

        imp = impute_frame(
            frame,
            m,
            seed=seed,
            missingness=missingness.value,
            exclude=exclude or (),
            fit=_training(max_steps),
        )
        _write(imp.complete("long", include=True), target)
        typer.echo(f"{m} imputations of {int(imp.where.sum().sum())} cells: {target}")


@app.command()
def pool(
    source: Annotated[
        Path, typer.Argument(help="What `psmimpute impute` wrote.", show_default=False)
    ],
    formula: Annotated[str, typer.Argument(help='Such as "bmi ~ age".', show_default=False)],
    model: Annotated[Model, typer.Option(help="Regression model.")] = Model.OLS,
) -> None:
    """Fit a regression to each imputation, and pool them by Rubin's rules."""
    with _one_line_each():
        from statsmodels.formula import api

        from psmimpute.imputed.from_long import from_long

        imp = from_long(_read(source))
        typer.echo(imp.pool(formula, model=getattr(api, model.value)).summary())


def _training(max_steps: int | None) -> FitConfig:
    return FitConfig() if max_steps is None else FitConfig(max_steps=max_steps)


def _check_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise StorageError(f"cannot write {path}: there is no folder {path.parent}")


def _check_format(path: Path) -> None:
    if path.suffix.lower() not in {".csv", ".parquet"}:
        raise ConfigError(f"{path}: the name must end in .csv or .parquet")


def _read(path: Path) -> pd.DataFrame:
    _check_format(path)
    try:
        return pd.read_csv(path) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise StorageError(f"cannot read {path}: {reason}") from error


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
