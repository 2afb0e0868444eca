"""
From mice to psmimpute, line by line, and back
==============================================

Whoever knows R's mice :cite:p:`vanbuuren2011` knows most names here. Left what one writes in R,
right the same in Python.

============================================== ==================================================
mice                                           psmimpute
============================================== ==================================================
``md.pattern(d)``                              ``d.psm.missing_pattern()``
``md.pairs(d)``                                ``d.psm.missing_pairs()``
``flux(d)``, ``fico(d)``                       ``d.psm.flux()``, ``psm.fico(d)``
``ampute(d, prop, mech=)``                     ``psm.ampute(d, prop=, mechanism=)``
``mice(d, m = 20, seed = 1)``                  ``d.psm.impute(m=20, seed=1)``
``method = c(x = "~ I(a / b)")``               ``derived={"x": "a / b"}``
``method =``, one for each column              ``kinds=``: what a column *is*
``predictorMatrix``                            none: all columns are modelled jointly;
                                               ``exclude=`` leaves columns out
``where =``                                    ``where=``
``complete(imp, 1)``                           ``imp.complete(1)``
``complete(imp, "long")``                      ``imp.complete("long")``
``with(imp, lm(y ~ x))``                       ``imp.fit("y ~ x", model=smf.ols)``
``pool(fit)``, ``summary(pool(fit))``          ``fit.pool()``, ``.summary()``, ``.tidy()``
``D1(fit1, fit0)``, ``D2``, ``D3``             ``fit1.compare(fit0, method="D1")``; D4 too
``pool.scalar(Q, U)``                          ``psm.pool_scalar(q, u)``
``rbind``, ``cbind``, ``ibind``                ``psm.rbind``, ``psm.cbind``, ``psm.ibind``
``densityplot(imp, ~ x)``, ``stripplot``       ``imp.plot.density("x")``, ``imp.plot.strip("x")``
``as.mids(long)``                              ``psm.from_long(long)``
============================================== ==================================================

What differs: mice draws each column given the others, in turns, until the chain has mixed. Here
one joint model is trained, and refitted to a bootstrap sample for each imputation; there is no
chain and nothing to mix, but there is training to look at.
"""

# %%
# ``md.pattern(nhanes2)``
# -----------------------
import tempfile
from pathlib import Path

import pandas as pd
import statsmodels.formula.api as smf

import psmimpute as psm

nhanes2 = psm.load_nhanes2()
nhanes2.psm.missing_pattern()

# %%
# ``imp <- mice(nhanes2, m = 5, seed = 1)``
# -----------------------------------------
# One set and few steps, to be quick; leave them out.
imp = nhanes2.psm.impute(m=5, seed=1, n_sets=1, fit=psm.FitConfig(max_steps=60))
imp

# %%
# ``complete(imp, 2)``
# --------------------
# Numbers start at 1, and 0 is the incomplete table, as in mice.
imp.complete(2).head()

# %%
# ``fit <- with(imp, lm(bmi ~ age + chl))``
# -----------------------------------------
fit = imp.fit("bmi ~ age + chl", model=smf.ols)
fit

# %%
# ``summary(pool(fit), conf.int = TRUE)``
# ---------------------------------------
fit.pool().tidy().round(3)

# %%
# The ten columns of ``pool(fit)``:
fit.pool().to_frame()[["estimate", "ubar", "b", "t", "dfcom", "df", "riv", "lambda_", "fmi"]].round(
    3
)

# %%
# ``D1(fit, with(imp, lm(bmi ~ chl)))``
# -------------------------------------
fit.compare(imp.fit("bmi ~ chl", model=smf.ols))

# %%
# To R: ``as.mids``
# -----------------
# ``to_mice`` writes the long table and an R script that reads it, with levels in their order.
folder = Path(tempfile.mkdtemp())
imp.to_mice(folder / "nhanes.csv")
print((folder / "nhanes.R").read_text())

# %%
# In R, ``source("nhanes.R", chdir = TRUE)`` then makes ``imp`` an object of class ``mids``, on
# which all of mice works.
#
# From R
# ------
# In R: ``write.csv(complete(imp, "long", include = TRUE), "from_r.csv", row.names = FALSE)``. The
# incomplete data must be in it, as ``.imp`` 0: they say which cells were missing. The file that
# we wrote has that form,
long = pd.read_csv(folder / "nhanes.csv", dtype={"age": "category", "hyp": "category"})
back = psm.from_long(long)
back

# %%
# and everything but drawing more imputations goes on from there: pooling, tests, shifts, plots.
# torch is not needed for that.
back.pool("bmi ~ age + chl", model=smf.ols).bse.round(3)
