"""The facts on missing data that reporting guidelines ask for, and nothing that was not done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from psmimpute.imputed.diagnostics import Diagnostics, extrapolated_cells
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.plots.weights import PARETO_K_LIMIT

if TYPE_CHECKING:
    from psmimpute.pooling.results import PooledResults

NOT_GIVEN = "not given to this report"
MECHANISMS = {
    "shared": "not at random, where there are several pattern sets: values and missingness "
    "depend on them",
    "selection": "not at random: the probability of being observed depends on the value itself",
    "ignorable": "at random given the observed values (missingness is ignored)",
}


class Summarized(Protocol):
    """A sensitivity analysis that can say in a sentence what it found."""

    def summary(self) -> str:
        """Return the finding.

        Returns
        -------
        str
            One sentence.
        """
        ...


@dataclass(frozen=True)
class Report:
    """Facts by section.

    Attributes
    ----------
    sections : mapping
        Titles of sections to mappings of facts.

    Examples
    --------
    `imp` and `pooled` are those of the examples of :class:`psmimpute.MultiplyImputed` and
    :class:`psmimpute.PooledResults`.

    >>> report = imp.report(pooled=pooled)
    >>> list(report.to_dict())
    ['Missing data', 'Assumptions', 'Imputation', 'Quality', 'Analysis', 'Sensitivity']
    """

    sections: Mapping[str, Mapping[str, Any]]

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return the facts as nested dictionaries.

        Returns
        -------
        dict
            A copy, of Python's own types.

        Examples
        --------
        `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

        >>> imp.report().to_dict()["Missing data"]["Missing cells"]
        '27 of 100 (27.0 %)'
        """
        return {title: dict(facts) for title, facts in self.sections.items()}

    def to_markdown(self) -> str:
        """Return the facts as Markdown.

        Returns
        -------
        str
            A heading for each section, an item for each fact.

        Examples
        --------
        `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

        >>> print(imp.report().to_markdown()[:45])
        ## Missing data
        <BLANKLINE>
        - **Rows**: 25
        - **Columns**
        """
        return self._lines(heading="## {}", item="- **{}**: {}")

    def to_text(self) -> str:
        """Return the facts as plain text.

        Returns
        -------
        str
            A heading for each section, a line for each fact.

        Examples
        --------
        `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

        >>> print(imp.report().to_text()[:37])
        Missing data
          Rows: 25
          Columns: 4
        """
        return self._lines(heading="{}", item="  {}: {}")

    def _lines(self, *, heading: str, item: str) -> str:
        blocks = []
        for title, facts in self.sections.items():
            lines = [heading.format(title), ""] if heading != "{}" else [title]
            lines += [item.format(name, _words(fact)) for name, fact in facts.items()]
            blocks.append("\n".join(lines))
        return "\n\n".join(blocks)

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_markdown_(self) -> str:
        return self.to_markdown()


def make_report(
    imp: ImputedTable,
    *,
    pooled: PooledResults | None = None,
    sensitivity: Sequence[Summarized] = (),
    diagnostics: Diagnostics | None = None,
) -> Report:
    """Collect what TARMOS and STROBE ask to be reported on missing data.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.
    pooled : PooledResults, optional
        The main analysis.
    sensitivity : sequence of TippingPoint or PiSensitivity, optional
        Sensitivity analyses that were made.
    diagnostics : Diagnostics, optional
        Diagnostics that were looked at.

    Returns
    -------
    Report
        What is not known here is said to be so.

    References
    ----------
    .. [1] Lee, K. J. et al. (2021). Framework for the treatment and reporting of missing data
       in observational studies: the TARMOS framework. Journal of Clinical Epidemiology 134,
       79-88.
    .. [2] von Elm, E. et al. (2007). The STROBE statement. Annals of Internal Medicine 147(8),
       573-577. Items 12c and 14b.
    """
    return Report(
        {
            "Missing data": _amounts(imp),
            "Assumptions": _assumptions(imp),
            "Imputation": _imputation(imp),
            "Quality": {**_quality(imp), "Checks": _checks(diagnostics)},
            "Analysis": _analysis(pooled),
            "Sensitivity": _sensitivity(imp, sensitivity),
        }
    )


def _amounts(imp: ImputedTable) -> dict[str, Any]:
    missing = imp.complete_columns(0, [*imp.where.columns]).isna()
    cells = missing.to_numpy(dtype=bool)
    patterns, counts = np.unique(cells, axis=0, return_counts=True)
    complete = int((~cells.any(axis=1)).sum())
    by_column = {
        str(name): _share(int(count), len(cells))
        for name, count in missing.sum().items()
        if count > 0
    }
    frequent = [
        f"{int(counts[i])} rows: {_pattern(patterns[i], [*missing.columns])}"
        for i in np.argsort(-counts, kind="stable")[:3]
    ]
    return {
        "Rows": len(cells),
        "Columns": cells.shape[1],
        "Complete rows": _share(complete, len(cells)),
        "Missing cells": _share(int(cells.sum()), cells.size),
        "Missing by column": by_column,
        "Patterns": len(patterns),
        "Most frequent patterns": frequent,
    }


def _assumptions(imp: ImputedTable) -> dict[str, Any]:
    mechanism = MECHANISMS.get(imp.info.missingness, "unknown")
    return {
        "Mechanism": f"{imp.info.missingness}: {mechanism}"
        if mechanism != "unknown"
        else "unknown: the imputations do not tell",
        "Reasons for missingness": "for the authors to state",
    }


def _imputation(imp: ImputedTable) -> dict[str, Any]:
    info = imp.info
    where = imp.where
    bounded = {
        str(column.name): column.bounds_in_words
        for column in imp.schema.columns
        if column.bounds is not None
    }
    return {
        "Software": info.software or "unknown",
        "Imputations": imp.m,
        "Members": info.members or "unknown",
        "Seed": "none given" if info.seed is None else info.seed,
        "Device": info.device or "unknown",
        "Columns imputed": [str(name) for name in where.columns if where[name].any()],
        "Columns in the model": {str(c.name): str(c.kind) for c in imp.schema.columns},
        "Columns left out": dict(
            zip(map(str, imp.schema.excluded), imp.schema.excluded_reasons, strict=True)
        ),
        "Bounds": bounded,
        "Derived columns": [str(name) for name in imp.assigned],
        **info.declared,
        "Pattern sets": f"{imp.n_sets}" + (f" ({info.n_sets_reason})" if info.n_sets_reason else "")
        if imp.n_sets
        else "none",
    }


def _quality(imp: ImputedTable) -> dict[str, Any]:
    info = imp.info
    steps = [record["step"] for record in info.history if "step" in record]
    trained = len({record.get("member") for record in info.history})
    flags = extrapolated_cells(imp)
    return {
        "Training": f"{trained} members, up to step {max(steps)}" if steps else "unknown",
        "Effective sample size": "unknown"
        if info.ess is None
        else f"median {np.nanmedian(info.ess):.1f}, smallest {np.nanmin(info.ess):.1f}",
        "Rows with Pareto k above 0.7": "unknown"
        if info.pareto_k is None
        else _share(int((info.pareto_k > PARETO_K_LIMIT).sum()), imp.n_rows),
        "Extrapolated": [
            f"column {row.column} in pattern set {row.pattern_set}: imputed but never observed"
            for row in flags.itertuples()
        ],
        "Warnings": list(info.warnings),
    }


def _checks(diagnostics: Diagnostics | None) -> list[str] | str:
    if diagnostics is None or not len(diagnostics.checks):
        return NOT_GIVEN
    return [f"{row.check}: {row.result} ({row.detail})" for row in diagnostics.checks.itertuples()]


def _analysis(pooled: PooledResults | None) -> dict[str, Any]:
    if pooled is None:
        return {"Pooled results": NOT_GIVEN}
    interval = pooled.conf_int()
    terms = {
        str(term): (
            f"{pooled.params[term]:.4g} (95 % interval {interval.loc[term].iloc[0]:.4g} to "
            f"{interval.loc[term].iloc[1]:.4g}), fraction of missing information "
            f"{pooled.fmi[term]:.2f}"
        )
        for term in pooled.params.index
    }
    return {"Imputations pooled": int(pooled.m), "Estimates": terms}


def _sensitivity(imp: ImputedTable, made: Sequence[Summarized]) -> dict[str, Any]:
    return {
        "Imputed values adjusted": list(imp.info.adjustments),
        "Sensitivity analyses": [one.summary() for one in made] or NOT_GIVEN,
    }


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.1f} %)" if whole else "0"


def _pattern(missing: Sequence[bool], names: Sequence[Any]) -> str:
    absent = [str(name) for name, gone in zip(names, missing, strict=True) if gone]
    return "missing " + ", ".join(absent) if absent else "complete"


def _words(fact: object) -> str:
    if isinstance(fact, Mapping):
        return "; ".join(f"{name}: {value}" for name, value in fact.items()) or "none"
    if isinstance(fact, list):
        return "; ".join(map(str, fact)) or "none"
    return str(fact)
