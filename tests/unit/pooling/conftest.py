"""Imputations made by mice, and what R's packages make of them."""

from __future__ import annotations

import pandas as pd
import pytest

FACTORS = {
    "nhanes2_m5": {"age": ["20-39", "40-59", "60-99"]},
    "nhanes2_m20": {"age": ["20-39", "40-59", "60-99"]},
    "quine_m8": {
        "Eth": ["A", "N"],
        "Sex": ["F", "M"],
        "Lrn": ["AL", "SL"],
        "Age": ["F0", "F1", "F2", "F3"],
    },
    "lung_m10": {"sex": ["male", "female"]},
}


@pytest.fixture(scope="session")
def completed(reference_dir):
    """Completed frames of a case, in the order of the imputations."""

    def read(case: str) -> list[pd.DataFrame]:
        table = pd.read_csv(reference_dir / "pooling" / f"{case}.csv")
        for name, levels in FACTORS[case].items():
            table[name] = pd.Categorical(table[name], categories=levels)
        if "hyp" in table.columns:
            table["hyp"] = (table["hyp"] == "yes").astype(float)
        if "sex" in table.columns:
            table["sexfemale"] = (table["sex"] == "female").astype(float)
        return [block.drop(columns=".imp") for _, block in table.groupby(".imp")]

    return read


@pytest.fixture(scope="session")
def r_values(reference_dir):
    """Values of one quantity of one model, a Series indexed by term."""
    table = pd.read_csv(reference_dir / "pooling" / "values.csv", comment="#")
    table = table.set_index(["case", "model", "quantity"]).sort_index()

    def look_up(case: str, model: str, quantity: str) -> pd.Series:
        found = table.loc[[(case, model, quantity)]]
        return found.set_index("term")["value"].astype(float)

    return look_up
