"""
Are these imputations any good?
===============================

Nobody can compare imputed values with the truth. What can be asked is whether they are plausible,
whether the model predicts values that were seen and hidden from it, and whether training and
sampling went well. Every plot is a method of ``imp.plot``, takes ``ax=`` and returns the axes.
Observed values are blue and imputed ones red, as in R's mice; beside each plot stands what to
look for.
"""

# %%
import numpy as np
import pandas as pd
import statsmodels.formula.api as smf

import psmimpute as psm

boys = psm.load_boys()
boys = boys[boys["age"] >= 8]
options = {
    "seed": 1,
    "n_sets": 2,
    "kinds": {"tv": "positive"},
    "fit": psm.FitConfig(max_steps=60),
}
imp = boys.psm.impute(m=5, derived={"bmi": "wgt / (hgt / 100)**2"}, **options)

# %%
# In words
# --------
# ``diagnostics`` hides observed cells from members that were not trained on their rows, and
# compares them with what the model predicts. Start here; the plots below are for what it finds
# fault with.
checks = imp.diagnostics()
checks.checks

# %%
# ``coverage_90`` should lie between ``low_90`` and ``high_90``, the range that chance alone leaves
# it. ``calibration_p`` is small if the hidden values are not spread evenly among their draws. A
# column that fails is one to change: its kind, its bounds, or what predicts it.
checks.held_out.round(2)

# %%
# What is missing
# ---------------
# The patterns of gaps: how many rows have each, and how many columns it lacks.
imp.plot.pattern()

# %%
# How much each column gives to others and needs from them. Low points are columns that neither
# help nor can be helped much.
imp.plot.flux()

# %%
# What was imputed
# ----------------
# Densities need not agree: who lacks a value may differ. A difference should have a reason.
imp.plot.density("tv")

# %%
imp.plot.box("tv")

# %%
imp.plot.strip("hc")

# %%
# Shares of levels; the lines run from the smallest to the largest imputation.
imp.plot.bars("gen")

# %%
# Two columns of one imputation. Red points, in which a value is imputed, should go on where blue
# ones lead.
imp.plot.xy("age", "tv")

# %%
# A derived column is drawn like any other.
imp.plot.xy("age", "bmi", imputation=2)

# %%
# Given the propensity of being missing, observed and imputed values should be distributed alike.
imp.plot.propensity("tv")

# %%
# What the pattern sets are
# -------------------------
imp.plot.pattern_sets()

# %%
imp.plot.pattern_sets(show="mean")

# %%
# How clearly rows belong to one of them.
imp.plot.pattern_sets(show="membership")

# %%
# How the model fared
# -------------------
# The loss of each member on its own resample, and on the rows that it leaves out. Members start
# from the fit to all rows, so that the latter rises; both should level off.
imp.plot.trace()

# %%
# How even the importance weights of each row are, in samples that they are worth.
imp.plot.weights()

# %%
# Overimputation: observed cells, imputed as if their values were unknown. Nine of ten lines
# should hold the value that was seen.
chosen = pd.DataFrame(False, index=boys.index, columns=boys.columns)
seen = np.flatnonzero(boys["hc"].notna())[::5]
chosen.iloc[seen, boys.columns.get_loc("hc")] = True
over = boys.drop(columns="bmi").psm.impute(m=20, where=chosen.drop(columns="bmi"), **options)
over.plot.overimpute("hc")

# %%
# What if
# -------
# The estimate against a shift of the imputed values; the dashed lines mark where the
# conclusion changes.
tipping = psm.tipping_point(
    imp, "bmi ~ age + tv", "tv", [-4.0, -2.0, 0.0, 2.0, 4.0], model=smf.ols, term="tv"
)
tipping.plot()

# %%
# The estimate against π′: see :doc:`07_sensitivity`.
psm.pi_sensitivity(imp, "bmi ~ age + tv", (0.1, 0.5, 1.0), model=smf.ols, term="tv").plot()
