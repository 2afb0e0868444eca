"""
A first imputation: from gaps to a pooled table
===============================================

From a table with gaps to a pooled regression, with a look at what happened in between. The
data are real: growth and puberty of Dutch boys :cite:p:`vanbuuren2018`.
"""

# %%
# Look before you impute
# ----------------------
# Importing the package registers the accessor ``df.psm``. Puberty was rarely assessed in young
# children, so we keep boys of eight years and more. The body mass index is left out: it is
# computed from weight and height, and will be again.
import statsmodels.formula.api as smf

import psmimpute as psm

boys = psm.load_boys()
boys = boys[boys["age"] >= 8].drop(columns="bmi")
boys.psm.missing_pattern()

# %%
# One row for each pattern, 1 where a column was observed; the index counts the boys. Testicular
# volume ``tv`` is missing for nearly half of them, mostly together with the two Tanner stages.
#
# What would the columns be taken to be, and why?
schema = boys.psm.schema()
schema

# %%
# ``kinds=``, ``bounds=`` and ``exclude=`` would overrule it. Influx tells how much the other
# columns know about the gaps of one, outflux how much it knows about the gaps of others:
boys.psm.flux().round(2)

# %%
# Impute
# ------
# Five imputations, each from its own refit of the model on a bootstrap sample of the boys. Twenty
# are the default, and the number of pattern sets is chosen by default on rows held out; five, two
# sets and the limit on training steps only keep the build of this page short.
imp = boys.psm.impute(
    m=5, seed=1, n_sets=2, bounds={"tv": (1, 25)}, fit=psm.FitConfig(max_steps=60)
)
imp

# %%
# The observed cells are as they were, and the dtypes too. Completed tables are numbered from 1,
# as in R's mice.
imp.complete(1).head()

# %%
# Imputed values need not look like observed ones: here the boys without a measurement are a year
# older on average. But they should be plausible, and a reason for the difference should come to
# mind.
imp.plot.density("tv")

# %%
# Which rows lose which values?
# -----------------------------
# The model sorts the rows into pattern sets: groups that differ in what they are and in what they
# lack. Each row has its probabilities,
imp.pattern_set_probabilities.head().round(3)

# %%
# and each imputation its own draw of the set. The share of missing cells tells what the sets are:
imp.plot.pattern_sets()

# %%
# Analyse and pool
# ----------------
# Derived columns come after imputing, once in each completed table. Then any model of statsmodels
# is fitted to each, and the results are pooled by Rubin's rules.
imp = imp.assign(bmi=lambda d: d["wgt"] / (d["hgt"] / 100) ** 2)
pooled = imp.pool("bmi ~ age + tv + reg", model=smf.ols)
pooled.summary()

# %%
# ``FMI`` is the fraction of missing information: how much less is known about a coefficient
# because of the gaps. It names the price of the missing volumes, and how many imputations would
# make the standard errors replicable.
#
# The pooled results answer as a fitted model does.
pooled.wald_test("age = 0, tv = 0")

# %%
# What if the gaps are not innocent?
# ----------------------------------
# That the boys without a measured volume differ in no further way from those with one is an
# assumption. How much larger or smaller would their volumes have to be for the conclusion on
# ``tv`` to change?
tipping = psm.tipping_point(
    imp, "bmi ~ age + tv + reg", "tv", [-3.0, -1.5, 0.0, 1.5, 3.0], model=smf.ols, term="tv"
)
tipping.to_frame().round(3)

# %%
# Whether shifts of that size are believable is for those to say who know the subject. The answer
# belongs in the paper beside the analysis.
