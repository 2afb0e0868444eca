"""Running one analysis on each completed frame."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import pandas as pd

from psmimpute.exceptions import ImputationError, PoolingWarning
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.pooling.frame_columns import plain_columns
from psmimpute.table.expressions import names_in
from psmimpute.telling import warn

# Keywords of statsmodels' fits, which some of them hide behind ``**kwargs``.
_EVERY_FIT = ("cov_type", "cov_kwds", "use_t")
# Keywords of one value for each row, of which statsmodels takes no names of columns.
_OF_ROWS = ("weights", "freq_weights", "var_weights", "exposure", "offset")
# Keywords of a robust covariance that say to which group, or moment, a row belongs.
_GROUPS = ("groups", "time")
# Tried one after the other. Those that statsmodels would try, the last three, stop short where the
# variance between groups is near 0, and warn of it.
_OPTIMIZERS_OF_MIXED_MODELS = ("powell", "bfgs", "lbfgs", "cg")
Analysis = str | Callable[[pd.DataFrame], Any]
ModelFunction = Callable[..., Any]


def as_function(
    analysis: Analysis,
    model: ModelFunction | None = None,
    options: Mapping[str, Any] | None = None,
) -> Callable[[pd.DataFrame], Any]:
    """Return an analysis as a function of a completed frame.

    Parameters
    ----------
    analysis : str or callable
        A formula, or already such a function.
    model : callable, optional
        For a formula: what is called as ``model(formula, frame)``.
    options : mapping, optional
        Keywords that the model is called with too, or its ``fit``.

    Returns
    -------
    callable
        From a frame to a fitted model.

    Raises
    ------
    ImputationError
        If a formula comes without a model, or a function with one, or `analysis` is neither.

    Examples
    --------
    >>> as_function("y ~ x", lambda formula, frame: (formula, len(frame)))(pd.DataFrame())
    ('y ~ x', 0)
    """
    if isinstance(analysis, str):
        if not callable(model):
            raise ImputationError(
                f"the formula {analysis!r} needs a model to fit, such as "
                f"model=statsmodels.formula.api.ols; got model={model!r}"
            )
        return _FormulaAnalysis(analysis, model, options or {})
    if not callable(analysis):
        raise ImputationError(
            f"analysis={analysis!r}: give a formula with model=, or a function of a frame"
        )
    if model is not None:
        raise ImputationError("model= goes with a formula; a function fits its own model")
    if options:
        raise ImputationError(
            f"{', '.join(options)}: keywords are a model's and go with a formula; a function fits "
            "its own model"
        )
    return analysis


def fit_each(
    frame: Callable[[int], pd.DataFrame],
    analysis: Callable[[pd.DataFrame], Any],
    *,
    m: int,
    n_jobs: int = 1,
    progress: bool | None = None,
) -> list[Any]:
    """Run an analysis on the completed frames 1 to m.

    Parameters
    ----------
    frame : callable
        From an imputation's number to its completed frame.
    analysis : callable
        From a completed frame to a fitted model.
    m : int
        Number of imputations.
    n_jobs : int, default 1
        Number of threads; -1 for one for each processor.
    progress : bool, optional
        Whether to show a progress bar; by default not.

    Returns
    -------
    list
        The m results, in order.

    Raises
    ------
    ImputationError
        If the analysis fails, naming the imputation, or `n_jobs` is neither positive nor -1.
    """
    if n_jobs != -1 and n_jobs < 1:
        raise ImputationError(f"n_jobs={n_jobs}: give a number of threads, or -1 for all")

    def one(k: int) -> object:
        completed = frame(k)
        try:
            return analysis(completed)
        except ImputationError:
            raise
        except Exception as error:
            message = f"the analysis failed on imputation {k}: {error!r}"
            if "required positional argument" in str(error):
                message += "; give it as a keyword beside model=, such as groups='clinic'"
            if isinstance(error, KeyError) or "is not defined" in str(error):
                message += f"; the columns are {', '.join(map(repr, completed.columns))}"
            raise ImputationError(message) from error

    if n_jobs == 1:
        return list(_shown(map(one, range(1, m + 1)), m, progress))
    with ThreadPoolExecutor(n_jobs if n_jobs > 0 else os.cpu_count()) as pool:
        return list(_shown(pool.map(one, range(1, m + 1)), m, progress))


def _shown(results: Iterator[Any], m: int, progress: bool | None) -> Iterator[Any]:
    if not progress:
        return results
    from tqdm.auto import tqdm

    return iter(tqdm(results, total=m, desc="analyses"))


def warn_of_gaps(formula: str, options: Mapping[str, Any], imp: ImputedTable) -> None:
    """Warn where an analysis names columns whose gaps nobody fills: their rows drop out.

    Parameters
    ----------
    formula : str
    options : mapping
        Keywords beside it.
    imp : ImputedTable
        What it is fitted to.
    """
    named = names_in(formula)
    named |= {v for name, v in options.items() if name in _OF_ROWS and isinstance(v, str)}
    left_out = {*imp.schema.excluded} - {*imp.assigned}
    gaps = [name for name, n in imp.n_missing.items() if name in left_out and str(name) in named]
    stay = {name: imp.data[name].isna() & ~imp.where[name] for name in gaps}
    listed = ", ".join(f"{name!r} ({n.sum()} gaps)" for name, n in stay.items() if n.any())
    if listed:
        warn(
            f"the analysis names {listed}, left out of the imputation: rows that lack it are left "
            "out of the analyses; impute it too, or filter() on what is known",
            PoolingWarning,
        )


class _FormulaAnalysis:
    """A formula and what fits it to a frame.

    Names in the formula that are no columns are looked up where the user called, as
    statsmodels does it.
    """

    def __init__(self, formula: str, model: ModelFunction, options: Mapping[str, Any]) -> None:
        self._formula, self._model = formula, model
        self._options: dict[str, Any] = dict(options)
        self._of_fit: dict[str, Any] = {}
        self._is_of_statsmodels = getattr(model, "__name__", "") == "from_formula"
        if self._is_of_statsmodels:
            self._of_fit = {name: self._options.pop(name) for name in _of_fit(model, options)}
            self._options["eval_env"] = _callers_names()

    def __call__(self, frame: pd.DataFrame) -> object:
        plain = plain_columns(frame, outcome=self._formula.split("~")[0].strip())
        of_fit = self._of_fit
        if "cov_kwds" in of_fit:
            of_fit = of_fit | {"cov_kwds": _with_columns(of_fit["cov_kwds"], frame)}
        options = self._options | {
            name: plain[_column(name, value, frame)]
            for name, value in self._options.items()
            if name in _OF_ROWS
            and isinstance(value, str)
            and (self._is_of_statsmodels or value in plain)
        }
        if "groups" in options:  # of statsmodels' models some take them before the data
            return _fitted(self._model(self._formula, data=plain, **options), of_fit)
        return _fitted(self._model(self._formula, plain, **options), of_fit)


def _of_fit(model: Any, options: Mapping[str, Any]) -> list[str]:  # noqa: ANN401 (of any library)
    """Keywords that statsmodels takes when it fits, and not when it builds the model."""
    kind = getattr(model, "__self__", None)
    if not inspect.isclass(kind) or not hasattr(kind, "fit"):
        return []
    building = {*inspect.signature(kind).parameters, *inspect.signature(model).parameters}
    fitting = {*inspect.signature(kind.fit).parameters, *_EVERY_FIT}
    return [name for name in options if name in fitting and name not in building]


def _with_columns(of_covariance: Any, frame: pd.DataFrame) -> Any:  # noqa: ANN401 (of the user)
    """Replace the names of columns, such as ``groups="clinic"``, by codes of their values."""
    if not isinstance(of_covariance, Mapping):
        return of_covariance
    return {
        name: _codes(frame[_column(name, value, frame)], name)
        if name in _GROUPS and isinstance(value, str)
        else value
        for name, value in of_covariance.items()
    }


def _codes(column: pd.Series, keyword: str) -> Any:  # noqa: ANN401 (an array of any dtype)
    """Say by numbers to which group, or moment, a row belongs; moments in their order."""
    if keyword == "time" and pd.api.types.is_numeric_dtype(column):
        return column.to_numpy()
    return pd.factorize(column, sort=keyword == "time")[0]


def _column(keyword: str, value: str, frame: pd.DataFrame) -> str:
    if value not in frame.columns:
        listed = ", ".join(map(repr, frame.columns))
        raise ImputationError(
            f"{keyword}={value!r} is no column; the columns are {listed}: assign() makes more"
        )
    return value


def _fitted(built: Any, options: Mapping[str, Any]) -> Any:  # noqa: ANN401 (of any library)
    """Fit a model that has not been fitted yet; anything else is returned as it is."""
    fit = getattr(built, "fit", None)
    if not callable(fit) or hasattr(built, "params") or hasattr(built, "coef_"):
        return built
    if type(built).__name__ == "MixedLM":
        options = {"method": list(_OPTIMIZERS_OF_MIXED_MODELS)} | dict(options)
    # Iterative models of statsmodels print their convergence unless told not to.
    if "disp" in inspect.signature(fit).parameters:
        options = {"disp": 0} | dict(options)
    return fit(**options)


def _callers_names() -> object:
    """Return the names that are known where this package was called, as statsmodels takes them."""
    depth = 1
    while sys._getframe(depth).f_globals.get("__name__", "").split(".")[0] == "psmimpute":
        depth += 1
    caller = sys._getframe(depth)
    if find_spec("statsmodels.formula._manager"):  # statsmodels 0.15 or later
        return {**caller.f_globals, **caller.f_locals}
    from patsy import EvalEnvironment

    return EvalEnvironment([caller.f_locals, caller.f_globals])
