"""Pooled results as a file of JSON: numbers and names alone, checked when they come back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NamedTuple, get_args

import numpy as np
import pandas as pd

from psmimpute.bounded_json import dump_object, parse_object
from psmimpute.exceptions import CorruptFileError, NewerFormatError, PSMError
from psmimpute.pooling.align import StackedItems, check_estimates
from psmimpute.pooling.describe import PooledModel
from psmimpute.pooling.rubin import DfMethod, FloatArray, Rule
from psmimpute.table.json_values import from_json, to_json

FORMAT = 1
MOST_BYTES = 2**28
_KIND = "psmimpute pooled results"
# What reading a damaged file can raise; all of it means the same to the caller.
_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, OverflowError, PSMError)


class Saved(NamedTuple):
    """What pooled results are made of, without the analyses.

    Attributes
    ----------
    items : StackedItems
    model : PooledModel
    rule, df : str
    member_of : list of int or None
    scale : float
        Mean residual scale of the analyses, or NaN.
    """

    items: StackedItems
    model: PooledModel
    rule: Rule
    df: DfMethod
    member_of: list[int] | None
    scale: float


def pack_results(saved: Saved) -> bytes:
    """Return pooled results as the bytes of a file.

    Raises
    ------
    SchemaError
        If a term is named by something that JSON cannot describe.
    """
    items, model = saved.items, saved.model
    return dump_object(
        {
            "kind": _KIND,
            "format": FORMAT,
            "terms": [to_json(term) for term in items.terms],
            "term_names": [to_json(name) for name in items.terms.names],
            "qhat": items.qhat.tolist(),
            "u": items.u.tolist(),
            "dfcom": items.dfcom,
            "nobs": items.nobs,
            "n_params": items.n_params,
            "llf": None if items.llf is None else items.llf.tolist(),
            "model": asdict(model),
            "rule": saved.rule,
            "df": saved.df,
            "member_of": saved.member_of,
            "scale": saved.scale,
        }
    )


def unpack_results(data: bytes, *, what: str) -> Saved:
    """Return what :func:`pack_results` wrote.

    Parameters
    ----------
    data : bytes
        Of the file.
    what : str
        Name of the file, for messages.

    Raises
    ------
    CorruptFileError
        If it holds something else, or is damaged.
    NewerFormatError
        If a later version wrote it.
    """
    state = parse_object(data, what=what, most_bytes=MOST_BYTES)
    if state.get("kind") != _KIND or type(state.get("format")) is not int:
        raise CorruptFileError(f"{what} holds no pooled results")
    if state["format"] > FORMAT:
        raise NewerFormatError(
            f"{what} has format {state['format']}, this version reads up to {FORMAT}: update "
            "psmimpute"
        )
    try:
        return _read(state)
    except _DAMAGE as error:
        raise CorruptFileError(f"{what} is damaged: {error}") from None


def _read(state: dict[str, Any]) -> Saved:
    terms = _terms(state["terms"], state["term_names"])
    qhat, u = _numbers(state["qhat"], 2), _numbers(state["u"], 3)
    m, k = qhat.shape
    if m < 2 or len(terms) != k or u.shape != (m, k, k):
        raise ValueError("its estimates do not match its terms and covariance matrices")
    check_estimates(terms, qhat, u)
    dfcom = float(state["dfcom"])
    if not dfcom > 0:
        raise ValueError(f"dfcom is {dfcom:g}")
    items = StackedItems(
        terms=terms,
        qhat=qhat,
        u=u,
        dfcom=dfcom,
        nobs=_count(state["nobs"]),
        n_params=_count(state["n_params"]),
        sources=(),
    )
    llf = None if state["llf"] is None else _numbers(state["llf"], 1)
    if llf is not None and llf.shape != (m,):
        raise ValueError("its log-likelihoods are not one for each imputation")
    rule, df, member_of = state["rule"], state["df"], state["member_of"]
    if rule not in get_args(Rule) or df not in get_args(DfMethod):
        raise ValueError(f"rule {rule!r} or degrees of freedom {df!r} are unknown")
    if member_of is not None and (len(member_of) != m or {*map(type, member_of)} != {int}):
        raise ValueError("its members are not one for each imputation")
    return Saved(
        items.remember(llf), _model(state["model"], k), rule, df, member_of, float(state["scale"])
    )


def _terms(labels: list[Any], names: list[Any]) -> pd.Index:
    found, named = [from_json(label) for label in labels], [from_json(name) for name in names]
    index = (
        pd.Index(found, name=named[0], tupleize_cols=False)
        if len(named) == 1
        else pd.MultiIndex.from_frame(pd.DataFrame(found), names=named)
    )
    if not index.is_unique:
        raise ValueError("a term is there twice")
    return index


def _numbers(nested: list[Any], n_axes: int) -> FloatArray:
    found = np.array(nested)
    if found.ndim != n_axes or found.dtype.kind not in "if":
        raise ValueError("numbers were expected")
    return found.astype(float)


def _count(value: object) -> int | None:
    if value is None or (type(value) is int and value >= 0):
        return value
    raise ValueError(f"{value!r} is no count")


def _model(state: dict[str, Any], k: int) -> PooledModel:
    model = PooledModel(**state)
    texts = [model.name, model.endog_names, model.cov_type, *model.exog_names]
    texts += [] if model.formula is None else [model.formula]
    if {*map(type, texts)} != {str} or len(model.exog_names) != k:
        raise ValueError("the model's names are not text, one for each term")
    if model.df_model is not None and type(model.df_model) not in (int, float):
        raise ValueError(f"df_model is {model.df_model!r}")
    columns = {str(name): tuple(at) for name, at in model.term_columns.items()}
    if any(type(j) is not int or not 0 <= j < k for at in columns.values() for j in at):
        raise ValueError("a term has a coefficient that is not there")
    return PooledModel(**{**state, "term_columns": columns})
