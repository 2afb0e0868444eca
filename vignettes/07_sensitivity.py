"""
How far would the answer move? Sensitivity to what cannot be seen
=================================================================

No data tell how missing values differ from observed ones that look alike in everything else. What
can be told is how far a conclusion rests on it. Four ways, from the bluntest to the most
specific.
"""

# %%
import numpy as np
import pandas as pd
import statsmodels.formula.api as smf

import psmimpute as psm

boys = psm.load_boys()
boys = boys.loc[boys["age"] >= 8, ["age", "hgt", "wgt", "tv", "reg"]]
quick = {"m": 5, "seed": 1, "fit": psm.FitConfig(max_steps=60)}
options = quick | {"kinds": {"tv": "positive"}}
formula = {"analysis": "hgt ~ age + tv", "model": smf.ols, "term": "tv"}
imp = boys.psm.impute(n_sets=2, **options)

# %%
# Shift what was imputed
# ----------------------
# Had the volumes that were not measured been larger or smaller than imputed by so much: when
# would the conclusion change? In all rows, or in those of one pattern set:
psm.tipping_point(imp, column="tv", deltas=[-6.0, -3.0, 0.0, 3.0, 6.0], **formula)

# %%
psm.tipping_point(imp, column="tv", deltas=[-6.0, 0.0, 6.0], pattern_set=1, **formula)

# %%
# Vary the weight of what was seen
# --------------------------------
# 1 − π′ is the weight with which observed cells teach the law of missing ones: at 0 missing values
# follow it as observed ones do, at 1 only the prior ties them. Each refit starts from the members
# as they are.
psm.pi_sensitivity(imp, grid=(0.0, 0.5, 1.0), **formula)

# %%
# Let a value decide whether it is seen
# -------------------------------------
# Under ``missingness="selection"`` the log odds of being observed depend on the value itself. How
# strongly is learned, from the shape of what is left; or it is given, in log odds for a standard
# deviation. Volumes that are rarely measured when large:
rows = []
for effect in (-1.0, 0.0, 1.0):
    given = boys.psm.impute(
        missingness="selection", n_sets=1, selection_effect={"tv": effect}, **options
    )
    pooled = given.pool("hgt ~ age + tv", model=smf.ols)
    mean = given.imputed_values("tv").to_numpy().mean()
    rows.append({"effect": effect, "mean imputed tv": mean, "slope": pooled.params["tv"]})
pd.DataFrame(rows).round(3)

# %%
# Borrow from another arm
# -----------------------
# In a trial, those who leave a treatment may from then on fare like the reference arm. ``"jump"``
# keeps a patient's deviation from the mean of their own arm, ``"copy"`` counts the whole history as
# one in the reference arm.
rng = np.random.default_rng(3)
n, visits = 300, ["week 4", "week 8", "week 12"]
arm = rng.choice(["placebo", "drug"], n)
gain = np.where(arm == "drug", 1.0, 0.2)[:, None] * np.arange(1, 4)
scores = gain + rng.multivariate_normal(np.zeros(3), 1.0 + np.eye(3), n)
last = rng.choice([1, 2, 3], n, p=[0.2, 0.2, 0.6])
scores[np.arange(3) >= last[:, None]] = np.nan
trial = pd.DataFrame(scores, columns=visits)
trial.insert(0, "arm", pd.Categorical(arm, ["placebo", "drug"]))

tried = trial.psm.impute(n_sets=1, missingness="ignorable", **quick)


def effect(frame):
    return smf.ols("Q('week 12') ~ arm", frame).fit()


rows = {"as in their own arm": tried}
rows |= {
    f"{method} reference": tried.under_reference("arm", "placebo", visits, method=method)
    for method in ("jump", "copy")
}
pd.DataFrame(
    {name: found.pool(effect).to_frame().loc["arm[T.drug]"] for name, found in rows.items()}
).T.iloc[:, :3].round(3)

# %%
# Report
# ------
# What was varied belongs in the paper. The report lists what was done, and nothing that was not.
tipping = psm.tipping_point(imp, column="tv", deltas=[-6.0, 0.0, 6.0], **formula)
imp.report(sensitivity=[tipping]).to_dict()["Sensitivity"]
