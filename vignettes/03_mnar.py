"""
Could it be MNAR? What can and what cannot be learned
=====================================================

Data are *missing at random* (MAR) if, among rows that agree in all that was observed, those with
a gap do not differ from those without; otherwise they are *missing not at random* (MNAR). This
page makes gaps whose reason is known in real data, and looks at what three models of missingness
make of them.
"""

# %%
# Gaps with a known reason
# ------------------------
# Engel's 235 Belgian working-class households of 1857 :cite:p:`koenker1982`: income and
# expenditure on food. We hide about a third of the incomes, the high ones more often: MNAR by
# design.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf

import psmimpute as psm

whole = np.log(sm.datasets.engel.load_pandas().data)  # logarithms of Belgian francs
pattern = psm.AmputationPattern(["income"], shape="RIGHT")
gaps = psm.ampute(whole, mechanism="mnar", prop=0.35, patterns=[pattern], seed=1)
gaps.psm.missing_pattern()

# %%
# Can a test tell? Little's test compares the means of what is observed over the patterns of gaps. A
# small p-value speaks against gaps that are *completely* at random. It says nothing on MAR against
# MNAR, and no other test on these data could: that comparison is about values nobody has.
gaps.psm.little_test()

# %%
# Three models of missingness
# ---------------------------
# ``"ignorable"`` leaves the gaps out of the model: right under MAR. ``"shared"`` lets a latent
# class of rows, the pattern set, bear on both values and gaps. ``"selection"`` lets the value
# itself bear on whether it is seen.
options = {"m": 5, "seed": 1, "n_sets": 1, "fit": psm.FitConfig(max_steps=100)}
imputed = {
    name: gaps.psm.impute(missingness=name, **options)
    for name in ("ignorable", "shared", "selection")
}


def mean_income(frame):
    return smf.ols("income ~ 1", frame).fit()


found = {name: imp.pool(mean_income) for name, imp in imputed.items()}
rows = {"nothing hidden": mean_income(whole), "complete rows": mean_income(gaps), **found}
table = pd.DataFrame(
    {
        name: {
            "mean": fit.params["Intercept"],
            "low": fit.conf_int().loc["Intercept", 0],
            "high": fit.conf_int().loc["Intercept", 1],
        }
        for name, fit in rows.items()
    }
).T
table.round(3)

# %%
fig, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
ax.errorbar(
    table["mean"],
    table.index,
    xerr=[table["mean"] - table["low"], table["high"] - table["mean"]],
    fmt="o",
    color="#006cc2",
)
ax.axvline(table.loc["nothing hidden", "mean"], linestyle="--", color="0.5")
ax.invert_yaxis()
_ = ax.set(xlabel="mean of log income, with 95 % interval")

# %%
# The complete rows are too poor: that is what was done to them. Under ``"ignorable"``,
# expenditure on food, which is seen in every household, makes good a part of it, and the rest of
# the bias stays: no imputation that assumes MAR can remove it.
#
# Whether ``"selection"`` comes nearer depends on more than the data. It learns how strongly a
# value decides on being seen from one source only: what is left of the distribution is lopsided
# where the model expects it not to be. Were the true distribution lopsided by itself, the same
# traces would be taken for selection. Its result is a claim under the assumption on the
# distribution, and has no more right than that.
#
# It also takes the value for the only reason of the gaps. Did a column that is seen in every row
# bear on them as well, its part would be laid to the value:
# ``model=psm.ModelConfig(mask_covariates=True)`` lets such columns explain what they can. The
# shape of the distribution has then still less to go by, and intervals say so by their width.
#
# The same data, another truth
# ----------------------------
# Instead of being learned, the effect of a value on the log odds of being seen, per standard
# deviation, can be given:
rows = []
for effect in (-2.0, -1.0, 0.0, 1.0):
    given = gaps.psm.impute(missingness="selection", selection_effect={"income": effect}, **options)
    pooled = given.pool(mean_income)
    rows.append(
        {"effect": effect, "mean": pooled.params["Intercept"], "se": pooled.bse["Intercept"]}
    )
pd.DataFrame(rows).round(3)

# %%
# Each of these rows is compatible with what was observed, the shape of a distribution aside. The
# data do not choose between them; somebody who knows how the survey was made may. The spread of
# the column ``mean`` is the uncertainty that no standard error above contains.
#
# What pattern sets add
# ---------------------
# Several columns with gaps tell more than one does. Rows that lack the same columns may be alike
# in other ways too, and *that* can be learned, since it shows in what they do have.
boys = psm.load_boys()
boys = boys.loc[boys["age"] >= 8, ["age", "hgt", "wgt", "tv", "gen", "phb"]]
sets = boys.psm.impute(
    m=5, seed=1, n_sets=2, bounds={"tv": (1, 25)}, fit=psm.FitConfig(max_steps=60)
)
sets.plot.pattern_sets()

# %%
# One set lacks the measures of puberty, the other has them. Sets describe; they do not prove.
# That a boy belongs to the set with gaps says in which company he was found, not that his volume
# differs from that of a boy of the same age and size in the other set. The model lets it differ
# as far as the weight 1 − π′ allows, which is an assumption too: see :doc:`07_sensitivity`.
#
# In short
# --------
# * *Can be learned:* how columns hang together, which rows lack which columns, how the two are
#   related in what is seen.
# * *Learned only with the help of a shape:* whether a value decides on its own being seen.
# * *Cannot be learned:* how missing values differ from observed ones in rows that agree in all
#   the rest. Assume, say so, and vary it.
