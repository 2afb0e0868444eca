"""Reference-based imputation of a trial: what follows if drop-outs fare like another arm."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Literal, TypeVar

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.imputed_table import ImputedTable

AnyImputed = TypeVar("AnyImputed", bound=ImputedTable)
_WORDS = {"copy": "copies", "jump": "jumps to"}


def impute_under_reference(
    imp: AnyImputed,
    arm: Hashable,
    reference: object,
    columns: Sequence[Hashable],
    *,
    method: Literal["copy", "jump"] = "jump",
) -> AnyImputed:
    r"""Impute visits after the last observed one as if the row were in the reference arm.

    Let y be the visits up to the last observed one of a row, x the other columns and a its arm.
    ``"copy"`` draws the later visits from p(later | y, x, reference). ``"jump"`` first moves y
    by the difference of the arms' means, E(y | x, reference) − E(y | x, a), so that the row's
    deviations from its own arm's means are kept. Under one multivariate normal law in each arm
    these are the methods of the same names of [1]_. Imputation k is drawn from its own member,
    given the intermittent gaps as that imputation fills them.

    Parameters
    ----------
    imp : ImputedTable
        Imputed with the column `arm` in the model.
    arm : hashable
        The column of arms, observed in every row.
    reference : object
        The arm that serves as reference; its rows stay as they are.
    columns : sequence of hashable
        The outcome at each visit, in the order of the visits.
    method : {"copy", "jump"}, default "jump"
        How the history before drop-out counts.

    Returns
    -------
    ImputedTable
        A new object of the type of `imp`, which cannot be extended.

    Raises
    ------
    ImputationError
        If the model is no longer at hand, the method is neither, a column is unknown, not
        modelled or named twice, an arm is unknown or not observed, or a visit of ``"jump"`` is
        no number.

    References
    ----------
    .. [1] Carpenter, J. R., Roger, J. H. and Kenward, M. G. (2013). Analysis of longitudinal
       trials with protocol deviation. Journal of Biopharmaceutical Statistics 23(6), 1352-1371.
    .. [2] Cro, S., Carpenter, J. R. and Kenward, M. G. (2019). Information-anchored sensitivity
       analysis. Journal of the Royal Statistical Society A 182(2), 623-645. Why Rubin's
       variance is the one to report here.
    """
    if method not in _WORDS:
        raise ImputationError(f"method={method!r}: give 'copy' or 'jump'")
    if imp.info.source is None:
        raise ImputationError(
            "these imputations have no model to draw from: they were read, bound, filtered or "
            "changed since; call under_reference on what impute() returned"
        )
    names = [arm, *columns]
    if len(set(names)) < len(names) or not len(columns):
        raise ImputationError(
            f"columns={[*columns]!r} must name visits, each once, without {arm!r}"
        )
    modelled = imp.schema.column_names
    for name in names:
        imp.position(name)
        if name not in modelled:
            raise ImputationError(f"column {name!r} is not in the model: there are {[*modelled]}")
    column = imp.schema[arm]
    if column.levels is None or column.n_missing:
        raise ImputationError(
            f"column {arm!r} must be one of arms that every row has: it is {column.kind} with "
            f"{column.n_missing} missing cells"
        )
    values = imp.info.source.under_reference(arm, reference, columns, method)
    result = copy.copy(imp)
    result._values = {**imp._values, **values}
    note = f"{_WORDS[method]} {reference!r} of {arm!r} after drop-out: {[*columns]}"
    result.info = replace(
        imp.info, adjustments=(*imp.info.adjustments, note), extend=None, source=None
    )
    return result
