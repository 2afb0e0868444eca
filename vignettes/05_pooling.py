"""
Pooling any model
=================

Rubin's rules need from each analysis its estimates, their covariance, and the degrees of freedom
the complete data would have. Whatever gives these can be pooled. Once for a linear model in all
detail, then Cox regression, a mixed model, and things that are no models at all.
"""

# %%
import numpy as np
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf

import psmimpute as psm

boys = psm.load_boys()
boys = boys.loc[boys["age"] >= 8, ["age", "hgt", "wgt", "tv", "reg"]]
quick = {"m": 5, "seed": 1, "n_sets": 1, "fit": psm.FitConfig(max_steps=60)}
imp = boys.psm.impute(bounds={"tv": (1, 25)}, **quick)
pooled = imp.pool("hgt ~ age + tv + reg", model=smf.ols)
pooled.to_frame()[["estimate", "std_error", "df", "fmi"]].round(3)

# %%
# ``df`` are the degrees of freedom of Barnard and Rubin :cite:p:`barnard1999`, each term its own.
# ``fmi`` is the fraction of missing information. Five imputations keep this page short; how many
# would make the standard errors replicable to five per cent?
pooled.m_needed(cv=0.05)

# %%
# Contrasts
# ---------
# Names, strings and matrices, as in statsmodels. Each contrast has degrees of freedom of its own,
# from its own variance between imputations.
pooled.t_test("reg[T.south] - reg[T.west] = 0").summary_frame().round(3)

# %%
# All coefficients of a term at once, by D1:
pooled.wald_test_terms().table.round(4)

# %%
# Functions that are not linear go by the delta method. Does a year of age count for as much as
# two millilitres?
pooled.test_constraints(lambda b: b["age"] / b["tv"] - 2)

# %%
# D1 to D4
# --------
# Two nested models, fitted to the same imputations. D1 needs covariance matrices, D2 only the
# test statistics, D3 and D4 likelihoods. D2 is the least powerful and the most erratic with few
# imputations.
full = imp.fit("hgt ~ age + tv + reg", model=smf.ols)
null = imp.fit("hgt ~ age + tv", model=smf.ols)
tests = {method: full.compare(null, method=method) for method in ("D1", "D2", "D3", "D4")}
pd.DataFrame(
    {
        name: {"F": t.statistic, "df1": t.df1, "df2": t.df2, "p": t.p_value, "riv": t.riv}
        for name, t in tests.items()
    }
).T.round(3)

# %%
# Predictions
# -----------
# Predicted means and their variances are pooled by Rubin's rules as they are; the interval of a
# model with a link is made on the scale of the linear predictor, by the delta method, so that it
# stays in the range of the mean.
ages = pd.DataFrame({"age": [10.0, 14.0, 18.0], "tv": [3.0, 12.0, 20.0], "reg": "west"})
pooled.get_prediction(ages).summary_frame().round(1)

# %%
# Cox regression
# --------------
# Survival after heart transplantation :cite:p:`miller1976`, with a third of the ages hidden at
# random. The event and the time belong in the model of imputation, as every outcome does.
heart = sm.datasets.heart.load_pandas().data
gaps = psm.ampute(
    heart, mechanism="mcar", prop=0.3, patterns=[psm.AmputationPattern(["age"])], seed=1
)
transplants = gaps.psm.impute(**quick)


def cox(frame):
    return smf.phreg("survival ~ age", frame, status=frame["censors"]).fit()


rows = {
    "all ages": cox(heart).params[0],
    "imputed": transplants.pool(cox).params.iloc[0],
    "complete rows": cox(gaps.dropna()).params[0],
}
pd.Series(rows, name="log hazard ratio of a year").round(4)

# %%
# ``to_frame`` and ``tidy`` give the rest; ``exponentiate=True`` shows the hazard ratio. The
# complete-data degrees of freedom are events less coefficients.
transplants.pool(cox).tidy(exponentiate=True).round(3)

# %%
# A mixed model
# -------------
# A random intercept for each region. Fixed effects are pooled; variance components are not, since
# on their own scale they are no normal estimates.
mixed = imp.pool(
    lambda frame: smf.mixedlm("hgt ~ age", frame, groups=frame["reg"]).fit(method="powell")
)
mixed.params.round(3)

# %%
# No model at all
# ---------------
# Statistics with a transformation to a scale on which they are nearly normal,
psm.pool_correlation(imp, "age", "tv", method="spearman").to_frame().round(3)

# %%
psm.pool_quantiles(imp, "tv", [0.25, 0.5, 0.75]).to_frame().round(2)

# %%
# numbers from anywhere, as :func:`psmimpute.pool_scalar` takes them,
means = np.array([frame["tv"].mean() for frame in imp])
variances = np.array([frame["tv"].var() / len(frame) for frame in imp])
psm.pool_scalar(means, variances, dfcom=len(boys) - 1)


# %%
# and an estimator of one's own, wrapped in a :class:`psmimpute.PoolItem`: here a slope through
# medians of thirds.
def resistant_line(frame):
    ordered = frame.sort_values("age")
    thirds = [ordered.iloc[part] for part in np.array_split(np.arange(len(ordered)), 3)]
    x, y = np.array([[third["age"].median(), third["hgt"].median()] for third in thirds]).T
    return (y[2] - y[0]) / (x[2] - x[0])


def with_bootstrap(frame):
    rng = np.random.default_rng(1)
    again = [resistant_line(frame.iloc[rng.integers(0, len(frame), len(frame))]) for _ in range(50)]
    slope = pd.Series({"slope": resistant_line(frame)})
    return psm.PoolItem(slope, np.array([[np.var(again, ddof=1)]]), df=len(frame) - 2)


imp.pool(with_bootstrap).to_frame()[["estimate", "std_error", "df", "fmi"]].round(3)
