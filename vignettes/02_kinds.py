"""
What kind is each column?
=========================

A model of a table needs to know what may stand in each column: a length, a count, a grade, a
date. What the package takes a column to be it infers from the dtype and the observed values, says
so and gives its reason. Here is how to read that and how to overrule it.
"""

# %%
# Look at the schema
# ------------------
# 1974's survey of wives by Redbook magazine :cite:p:`fair1978`, which comes with statsmodels. All
# of its columns are stored as floating-point numbers, and hardly any is one.
import pandas as pd
import statsmodels.api as sm

import psmimpute as psm

wives = sm.datasets.fair.load_pandas().data.sample(400, random_state=1)
wives.psm.schema()

# %%
# ``affairs`` is found to be *semicontinuous*: a point mass at zero, and positive numbers on some
# scale of their own. ``age`` holds the middle of classes of age, which is a number well enough.
# Two guesses are wrong. ``rate_marriage`` and ``religious`` are grades, not counts, and
# ``occupation`` is a code without any order: no rule can know that, the code book does.
#
# Overrule
# --------
# In the data, by a dtype, or in the call, by ``kinds=``. Dtypes are the better place, since all
# other programs profit from them too.
wives["occupation"] = wives["occupation"].astype("int").astype("category")
kinds = {"rate_marriage": "ordinal", "religious": "ordinal", "educ": "continuous"}
wives.psm.schema(kinds=kinds).to_frame()[["kind", "dtype", "reason"]]

# %%
# The kinds and what an imputed value can be:
#
# ================== ========================================= =================================
# kind               for                                       imputed values
# ================== ========================================= =================================
# ``continuous``     numbers                                   any; whole where all observed are
# ``positive``       incomes, sizes, concentrations            above 0
# ``count``          numbers of events                         0, 1, 2, ...
# ``semicontinuous`` amounts with many exact zeros             0 or above
# ``binary``         two values                                one of the two
# ``ordinal``        grades                                    an observed level
# ``nominal``        categories without order, text            an observed level
# ``datetime``       dates and times                           of the same resolution
# ``timedelta``      durations                                 of the same resolution
# ================== ========================================= =================================
#
# Bounds
# ------
# A kind says what is possible in principle, bounds what is possible here. Growth of Dutch boys of
# eight years and more: testicular volume was measured with beads of 1 to 25 ml. As a continuous
# column its imputations may leave that range; imputed values outside the bounds are clipped, and
# many clipped values would tell that the kind is wrong.
boys = psm.load_boys()
boys = boys.loc[boys["age"] >= 8, ["age", "hgt", "wgt", "tv", "reg"]]
quick = {"m": 5, "seed": 1, "n_sets": 2, "fit": psm.FitConfig(max_steps=60)}


def lowest(imp):
    return imp.imputed_values("tv").to_numpy().min().round(1)


pd.Series(
    {
        "continuous": lowest(boys.psm.impute(kinds={"tv": "continuous"}, **quick)),
        "positive": lowest(boys.psm.impute(kinds={"tv": "positive"}, **quick)),
        "continuous, bounded": lowest(boys.psm.impute(bounds={"tv": (1, 25)}, **quick)),
    },
    name="smallest imputed volume",
)

# %%
# (Five imputations, two sets and a limit on the steps keep the build of this page short. Leave them
# out.)
#
# Derived columns
# ---------------
# The body mass index is weight over height squared. Imputed as a column of its own it would
# contradict the other two; declared as derived it is computed in each completed table.
bmi = "wgt / (hgt / 100)**2"
imp = boys.psm.impute(derived={"bmi": bmi}, bounds={"tv": (1, 25)}, **quick)
frame = imp.complete(1)
(frame["bmi"] - frame["wgt"] / (frame["hgt"] / 100) ** 2).abs().max()

# %%
# Skip patterns
# -------------
# A question that was rightly not asked has no answer to impute. Had volumes been meant to be
# measured from ten years on only, the gaps of younger boys are no missing data. They stay gaps,
# and no model learns from them. The warning tells of volumes that were measured all the same; they
# are kept.
imp = boys.psm.impute(applicable_if={"tv": "age >= 10"}, bounds={"tv": (1, 25)}, **quick)
frame = imp.complete(1)
frame["tv"].isna().groupby(frame["age"] >= 10).sum()

# %%
# What to leave out
# -----------------
# Identifiers, free text and columns that are functions of others: ``exclude=``. A column that is
# nearly a copy of another one, or was hardly ever observed, is told in a warning of its own
# class. Columns that the analysis needs belong in the model, all of them, and so does the
# outcome: what is left out is imputed as if it had no relation to the rest.
