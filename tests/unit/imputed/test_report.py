"""Reports state the facts, in three forms, and nothing that was not done."""

from __future__ import annotations

import json

import numpy as np
import pytest
import statsmodels.formula.api as smf

from psmimpute.imputed.report import NOT_GIVEN
from psmimpute.imputed.sensitivity import tipping_point

SECTIONS = ["Missing data", "Assumptions", "Imputation", "Quality", "Analysis", "Sensitivity"]


def test_amounts(imp, frame):
    facts = imp.report().to_dict()["Missing data"]
    assert facts["Rows"] == 40
    complete = frame.notna().all(axis=1).sum()
    assert facts["Complete rows"].startswith(f"{complete} of 40")
    assert facts["Missing by column"]["height"].startswith(f"{frame['height'].isna().sum()} of 40")
    assert facts["Patterns"] == len(frame.isna().drop_duplicates())
    assert "done" not in facts["Missing by column"]


def test_how_imputations_were_made(imp):
    facts = imp.assign(ratio=lambda d: d["weight"] / d["height"]).report().to_dict()
    made = facts["Imputation"]
    assert made["Imputations"] == 4
    assert made["Seed"] == 2
    assert made["Columns in the model"]["visits"] == "count"
    assert made["Derived columns"] == ["ratio"]
    assert made["Pattern sets"] == "2 (asked for)"
    assert "not at random" in facts["Assumptions"]["Mechanism"]
    assert facts["Quality"]["Training"] == "4 members, up to step 4"


@pytest.mark.parametrize("form", ["to_text", "to_markdown"])
def test_all_sections_in_all_forms(imp, form):
    text = getattr(imp.report(), form)()
    for section in SECTIONS:
        assert section in text
    assert text.startswith("## " if form == "to_markdown" else "Missing data")
    json.dumps(imp.report().to_dict())


def test_it_claims_no_analysis_that_it_was_not_given(imp):
    facts = imp.report().to_dict()
    assert facts["Analysis"] == {"Pooled results": NOT_GIVEN}
    assert facts["Sensitivity"]["Sensitivity analyses"] == NOT_GIVEN
    assert facts["Sensitivity"]["Imputed values adjusted"] == []


def test_analysis_and_sensitivity_are_reported_when_given(imp):
    pooled = imp.pool("weight ~ height", model=smf.ols)
    tipping = tipping_point(imp, "weight ~ height", "weight", [0.0, 5.0], model=smf.ols)
    facts = imp.delta({"height": 1.0}).report(pooled=pooled, sensitivity=[tipping]).to_dict()
    assert f"information {pooled.fmi['height']:.2f}" in facts["Analysis"]["Estimates"]["height"]
    assert facts["Sensitivity"]["Sensitivity analyses"] == [tipping.summary()]
    assert facts["Sensitivity"]["Imputed values adjusted"] == ["'height' shifted by 1.0"]


def test_unknown_origin_is_said_to_be_unknown(imp, frame):
    bare = type(imp)(
        data=frame, schema=imp.schema, where=imp.where, values=imp.values, member_of=np.arange(4)
    )
    facts = bare.report().to_dict()
    assert facts["Assumptions"]["Mechanism"].startswith("unknown")
    assert facts["Imputation"]["Software"] == "unknown"
    assert facts["Imputation"]["Seed"] == "none given"
    assert facts["Quality"]["Effective sample size"] == "unknown"
