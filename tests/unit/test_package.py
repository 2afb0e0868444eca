"""The front door: what `import psmimpute` gives, and what it costs."""

from __future__ import annotations

import ast
import fnmatch
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest

import psmimpute as psm

ROOT = Path(__file__).parents[2]
PACKAGE = Path(psm.__file__).parent
HEAVY = ["torch", "statsmodels", "scipy", "matplotlib", "tqdm", "typer"]


def _run(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, check=True
    )


def test_every_public_name_is_there():
    assert len(set(psm.__all__)) == len(psm.__all__)
    for name in psm.__all__:
        assert getattr(psm, name) is not None
    assert set(psm.__all__) <= set(dir(psm))
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", psm.__version__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'psmimpute' has no attribute 'imput'"):
        psm.imput  # noqa: B018


def test_type_checkers_are_told_the_same_as_the_lazy_table():
    """The imports under TYPE_CHECKING name the same modules as the table."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    told = {
        alias.name: node.module.removeprefix("psmimpute.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("psmimpute.")
        for alias in node.names
    }
    assert told == psm._HOME_OF
    assert set(psm.__all__) == {*told, "accessor", "datasets", "exceptions"}


def test_importing_loads_nothing_heavy_and_registers_the_accessor():
    code = (
        "import sys, pandas as pd, psmimpute\n"
        f"print([name for name in {HEAVY} if name in sys.modules], hasattr(pd.DataFrame, 'psm'))"
    )
    assert _run(code).stdout.split("\n")[0] == "[] True"


def test_importing_takes_less_than_half_a_second_more_than_pandas():
    """Own time of all modules that pandas has not loaded already, as CPython reports it."""
    report = _run("import pandas; import psmimpute", "-X", "importtime").stderr
    lines = report.splitlines()
    start = next(i for i, line in enumerate(lines) if re.search(r"\| pandas$", line))
    own = [int(line.split(":")[1].split("|")[0]) for line in lines[start + 1 :]]
    assert sum(own) < 500_000


def test_looking_at_a_table_needs_no_torch():
    code = (
        "import sys, psmimpute as psm\n"
        "df = psm.load_nhanes2(); df.psm.schema(); df.psm.missing_pattern(); df.psm.flux()\n"
        "psm.pool_scalar([1.0, 2.0], [0.5, 0.5])\n"
        "print('torch' in sys.modules)"
    )
    assert _run(code).stdout.strip() == "False"


def test_the_accessor_does_what_its_function_twins_do():
    df = psm.load_nhanes2()
    pd.testing.assert_frame_equal(df.psm.missing_pattern(), psm.missing_pattern(df))
    pd.testing.assert_frame_equal(df.psm.flux(), psm.flux(df))
    assert df.psm.schema(exclude=["age"]) == psm.infer_schema(df, exclude=["age"])
    for ours, theirs in zip(df.psm.missing_pairs(), psm.missing_pairs(df), strict=True):
        pd.testing.assert_frame_equal(ours, theirs)


def test_all_files_that_are_not_python_are_packaged():
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text())
    globs = packaged["tool"]["setuptools"]["package-data"]
    for path in PACKAGE.rglob("*"):
        if path.is_dir() or "__pycache__" in path.parts or path.suffix == ".py":
            continue
        folder = ".".join(path.relative_to(PACKAGE.parent).parts[:-1])
        assert any(fnmatch.fnmatch(path.name, glob) for glob in globs.get(folder, [])), path


def test_the_page_on_statistics_names_functions_that_exist():
    text = (ROOT / "docs" / "statistics.rst").read_text()
    modules = "imputed|inference|likelihoods|model|pooling|random|selection_effects|table"
    names = set(re.findall(rf"``((?:{modules})\.[\w.]+)``", text))
    names |= {f"model.objective.{name}" for name in re.findall(r"\\texttt\{(\w+\\_term)\}", text)}
    assert len(names) > 30
    for name in names:
        _find(f"psmimpute.{name}".replace("\\", ""))


def _find(path: str) -> object:
    """Import the longest module of a dotted path and take attributes from there."""
    parts = path.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        for part in parts[n:]:
            found = getattr(found, part)
        return found
    raise AssertionError(path)


def test_versions_agree():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert psm.__version__ == version
    assert f"version: {version}" in (ROOT / "CITATION.cff").read_text()
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_public_name_has_a_place_in_the_reference():
    listed = re.findall(r"^   ([\w.]+)$", (ROOT / "docs" / "api.rst").read_text(), flags=re.M)
    listed = {name.rpartition(".")[2] for name in listed}
    modules = {"accessor", "datasets", "exceptions"}
    assert set(psm.__all__) - modules <= listed
