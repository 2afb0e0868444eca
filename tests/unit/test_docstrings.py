"""What every public name says of itself: an example, its errors, its source."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from numpydoc.validate import validate

import psmimpute as psm
from psmimpute import exceptions
from psmimpute.accessor import PSMAccessor
from psmimpute.imputed.plots.accessor import Plots

# Public names, and methods of public classes, that implement a rule of the literature.
PUBLISHED = {
    "AmputationPattern",
    "Analyses.compare",
    "LittleTest",
    "MultiplyImputed.delta",
    "MultiplyImputed.diagnostics",
    "MultiplyImputed.report",
    "MultiplyImputed.stack",
    "MultiplyImputed.under_reference",
    "PSMImputer",
    "Plots.overimpute",
    "Plots.propensity",
    "PooledResults.compare",
    "PooledResults.f_test",
    "PooledResults.fmi_ci",
    "PooledResults.m_needed",
    "PooledResults.mcse",
    "PooledResults.test_constraints",
    "PooledResults.wald_test",
    "RubinPool",
    "ampute",
    "flux",
    "impute",
    "little_test",
    "load_boys",
    "load_nhanes2",
    "pi_sensitivity",
    "pool",
    "pool_auc",
    "pool_chi_square",
    "pool_concordance",
    "pool_correlation",
    "pool_independence",
    "pool_kaplan_meier",
    "pool_quantiles",
    "pool_r_squared",
    "pool_scalar",
    "tipping_point",
}


def _public() -> Iterator[tuple[str, Any]]:
    """Yield public functions and classes, and the methods of public classes."""
    found = {name: getattr(psm, name) for name in psm.__all__}
    found |= {"PSMAccessor": PSMAccessor, "Plots": Plots}
    for name, thing in found.items():
        if inspect.ismodule(thing):
            continue
        yield name, thing
        if inspect.isclass(thing):
            for member in dir(thing):
                own = getattr(thing, member)
                if not member.startswith("_") and _is_ours(own):
                    yield f"{name}.{member}", own


def _is_ours(member: Any) -> bool:
    return inspect.isroutine(member) and str(getattr(member, "__module__", "")).startswith(
        "psmimpute"
    )


PUBLIC = dict(_public())


def _section(doc: str, title: str) -> str:
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^\w[\w ]+\n-{{3,}}$|\Z)", doc, flags=re.M | re.S)
    return found.group(1) if found else ""


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_an_example_that_runs(name):
    example = _section(inspect.getdoc(PUBLIC[name]) or "", "Examples")
    assert ">>>" in example, f"{name} has no example"


# What numpydoc finds and the house does not ask for.
LEFT_OUT = {
    "ES01", "SA01", "SA04",  # more text
    "EX01", "EX02", "EX03",  # examples: the test above, and doctest
    "GL01",  # where the text begins: ruff
    "PR04",  # several parameters that the page of another function describes
    "PR08", "SS05",  # a sentence that begins with a Greek letter, or with a plural
}  # fmt: skip


def _home(name: str) -> str:
    thing, _, _member = name.partition(".")
    module = {"PSMAccessor": "accessor", "Plots": "imputed.plots.accessor"}
    return f"psmimpute.{module.get(thing) or psm._HOME_OF[thing]}.{name}"


def _pages() -> list[str]:
    """Public names, their methods, and their properties."""
    properties = [
        f"{name}.{member}"
        for name, thing in PUBLIC.items()
        if inspect.isclass(thing)
        for member in dir(thing)
        if not member.startswith("_")
        and isinstance(inspect.getattr_static(thing, member), property)
    ]
    return [*PUBLIC, *properties]


@pytest.mark.parametrize("name", _pages())
def test_numpydoc_finds_nothing_to_mend(name):
    errors = [error for error in validate(_home(name))["errors"] if error[0] not in LEFT_OUT]
    doc = inspect.getdoc(PUBLIC[name]) or "" if inspect.isclass(PUBLIC.get(name)) else ""
    if "Attributes\n---" in doc or "Made by" in doc or name == "ColumnKind":
        # Fields of a dataclass or a named tuple stand once, under Attributes; and nobody calls
        # what a function of the package makes.
        errors = [error for error in errors if error[0] != "PR01"]
    assert not errors


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_rule_names_its_source(name):
    assert re.search(r"\(\d{4}\)", _section(inspect.getdoc(PUBLIC[name]) or "", "References")), name


def _raised(function: Any) -> set[str]:
    """Classes that a function raises itself or through private functions of its module."""
    module = sys.modules[function.__module__]
    tree = ast.parse(inspect.getsource(module))
    bodies = {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("_")
    }
    start = next(
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and node.name == function.__name__
        and node.lineno <= function.__code__.co_firstlineno + 20
        and node.end_lineno >= function.__code__.co_firstlineno + 1
    )
    todo, seen, found = [start], set(), set()
    while todo:
        current = todo.pop()
        for node in ast.walk(current):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                found.add(ast.unparse(node.exc.func))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                callee = node.func.id
                if callee in bodies and callee not in seen:
                    seen.add(callee)
                    todo.append(bodies[callee])
    return {name for name in found if name not in ("NotImplementedError", "AssertionError")}


def _named(name: str) -> type | None:
    found = getattr(exceptions, name, getattr(builtins, name, None))
    return found if inspect.isclass(found) else None


FUNCTIONS = {name: thing for name, thing in PUBLIC.items() if inspect.isroutine(thing)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_a_public_function_raises_is_listed(name):
    function = inspect.unwrap(getattr(FUNCTIONS[name], "__func__", FUNCTIONS[name]))
    section = _section(inspect.getdoc(function) or "", "Raises")
    listed = [cls for word in re.findall(r"\w+", section) if (cls := _named(word))]
    for raised in sorted(_raised(function)):
        cls = _named(raised)
        assert cls is None or issubclass(cls, tuple(listed)), f"{name} raises {raised}, unlisted"
