"""
Check the coverage yourself
===========================

A 95 % interval should hold the truth in 95 of 100 samples, with gaps or without. Whether it does
for data like yours is a question that a small simulation answers, and this is how one is made:
take a large complete table as the population, draw samples, make gaps in them, impute, and count.
"""

# %%
# Population and truth
# --------------------
# 6366 wives of a survey of 1974 :cite:p:`fair1978`. What is wanted: years of marriage, regressed
# on age and education. In the whole table that is known.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf

import psmimpute as psm

columns = ["yrs_married", "age", "educ", "children"]
population = sm.datasets.fair.load_pandas().data[columns]
formula = "yrs_married ~ age + educ"
truth = smf.ols(formula, population).fit().params["age"]
truth.round(4)

# %%
# One replication
# ---------------
# A sample of 150; ages of wives with many children and long marriages are missing more often, and
# so is education. That is missing at random: the reason is observed.
patterns = [
    psm.AmputationPattern(["age"], weights={"yrs_married": 1, "children": 1}),
    psm.AmputationPattern(["educ"], weights={"yrs_married": 1, "children": 1}),
]
quick = {"m": 5, "n_sets": 1, "fit": psm.FitConfig(max_steps=60)}


def interval(pooled):
    low, high = pooled.conf_int().loc["age"]
    return {"estimate": pooled.params["age"], "low": low, "high": high}


def replicate(seed):
    rng = np.random.default_rng(seed)
    sample = population.iloc[rng.choice(len(population), 150, replace=False)]
    gaps = psm.ampute(sample.reset_index(drop=True), patterns=patterns, prop=0.5, seed=rng)
    imp = gaps.psm.impute(seed=seed, kinds=dict.fromkeys(columns, "continuous"), **quick)
    return {
        "nothing hidden": interval(smf.ols(formula, sample).fit()),
        "complete rows": interval(smf.ols(formula, gaps.dropna()).fit()),
        "imputed": interval(imp.pool(formula, model=smf.ols)),
    }


pd.DataFrame(replicate(0)).T.round(3)

# %%
# Many
# ----
# Ten are as many as the build of this page has time for.
results = pd.concat(
    {seed: pd.DataFrame(replicate(seed)).T for seed in range(10)}, names=["seed", "method"]
)
covers = results["low"].le(truth) & results["high"].ge(truth)
n = results.index.get_level_values("seed").nunique()
table = pd.DataFrame(
    {
        "bias": results["estimate"].groupby("method").mean() - truth,
        "its MC error": results["estimate"].groupby("method").std() / np.sqrt(n),
        "width": (results["high"] - results["low"]).groupby("method").mean(),
        "covered": covers.groupby("method").sum(),
        "of": n,
    }
)
table.round(3)

# %%
fig, axes = plt.subplots(1, 3, sharex=True, sharey=True, figsize=(7, 2.8), layout="constrained")
for ax, (name, part) in zip(axes, results.groupby("method"), strict=True):
    order = part.sort_values("estimate")
    ax.hlines(range(n), order["low"], order["high"], color="#006cc2")
    ax.plot(order["estimate"], range(n), "o", markersize=3, color="#006cc2")
    ax.axvline(truth, linestyle="--", color="0.5")
    ax.set(title=name, yticks=[], xlabel="slope of age")

# %%
# How many are enough?
# --------------------
# With R replications the Monte Carlo error of a coverage of 95 % is √(.95 · .05 / R): seven
# points for 10, one and a half for 200, half a point for 2,000. From the table above, then,
# follows that nothing is badly broken, and no more. The benchmarks of this repository run 200
# replications of each design, several designs, and mice on the same gaps::
#
#     python -m benchmarks coverage
#
# What a simulation cannot say
# ----------------------------
# Its gaps have the reason that you gave them. Coverage under gaps at random says nothing about
# yours if they are not, and a population of four columns little about one of four hundred. Make
# the design as much like your data as you can: rows, columns, shares of gaps, and the analysis
# that will be published.
