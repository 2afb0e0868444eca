"""The simulated designs of protocol P3: data with gaps, the analysis, and the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from scipy.special import expit


@dataclass(frozen=True)
class Design:
    """A simulated design.

    Attributes
    ----------
    draw : callable
        From a generator and a number of rows to the complete frame and where it is missing.
    analyse : callable
        From a completed frame to a table with index term and columns estimate, std_error, df.
    truth : dict of str to float
        True value of each term.
    """

    draw: Callable[[np.random.Generator, int], tuple[pd.DataFrame, pd.DataFrame]]
    analyse: Callable[[pd.DataFrame], pd.DataFrame]
    truth: dict[str, float]


def make_gaps(
    frame: pd.DataFrame, rng: np.random.Generator, **p: np.ndarray | float
) -> pd.DataFrame:
    """Tell where cells are missing: in the named columns, with these probabilities."""
    where = pd.DataFrame(False, index=frame.index, columns=frame.columns)
    for name, probability in p.items():
        where[name] = rng.random(len(frame)) < probability
    return where


def _base(rng: np.random.Generator, n: int) -> pd.DataFrame:
    x1 = rng.normal(size=n)
    x2 = 0.5 * x1 + np.sqrt(0.75) * rng.normal(size=n)
    return pd.DataFrame({"x1": x1, "x2": x2, "y": 1 + x1 - 0.5 * x2 + rng.normal(size=n)})


def _a1(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    frame = _base(rng, n)
    return frame, make_gaps(frame, rng, x1=0.3, y=0.3)


def _a2(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    frame = _base(rng, n)
    return frame, make_gaps(frame, rng, x1=expit(-0.45 + frame.x2), y=expit(-1 + frame.x2))


def _a2_much(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A2 with 60 % of x1 and of y missing."""
    frame = _base(rng, n)
    return frame, make_gaps(frame, rng, x1=expit(0.48 + frame.x2), y=expit(0.48 + frame.x2))


def _a3(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    frame = _base(rng, n)
    return frame, make_gaps(frame, rng, x1=expit(-1 + 2 * frame.x1))


def _b(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    age = rng.normal(size=n)
    logits = np.column_stack([np.zeros(n), 0.2 + 0.5 * age, -0.3 + age])
    g = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    x = 0.3 * age + np.array([0, 0.4, 0.8])[g] + rng.normal(size=n)
    d = rng.random(n) < expit(-0.5 + 0.7 * x + 0.4 * age + np.array([0, 0.5, -0.6])[g])
    c = rng.poisson(np.exp(0.5 + 0.3 * x + 0.2 * age))
    frame = pd.DataFrame(
        {
            "age": age,
            "g": pd.Categorical.from_codes(g, ["a", "b", "c"]),
            "x": x,
            "d": d.astype(int),
            "c": c.astype(float),
        }
    )
    return frame, make_gaps(
        frame,
        rng,
        x=expit(-1.4 + 0.6 * age + 0.9 * d),
        g=expit(-0.6 - 0.6 * age - 0.7 * d),
        c=expit(-1.3 + 0.5 * age + 0.7 * d),
    )


def _c(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    x1, x2 = rng.normal(size=(2, n))
    frame = pd.DataFrame({"x1": x1, "x2": x2, "y": x1 + x2 + x1 * x2 + rng.normal(size=n)})
    return frame, make_gaps(frame, rng, x1=expit(-0.6 + 0.5 * frame.y - 0.5 * x2))


def _d(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    frame = _base(rng, n)
    second = rng.random(n) < 0.5
    frame += np.outer(second, [1.5, 1.5, 0.75])
    return frame, make_gaps(
        frame, rng, x1=np.where(second, expit(1.5 * (frame.x1 - 1.5) - 0.5), 0.15)
    )


def _e(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """C in a wider table: five more columns, each with a tenth of its cells missing."""
    frame, where = _c(rng, n)
    slopes = np.array([[0.5, 0.5, 0, 0, 0.3], [0, 0.5, 0.5, 0, 0.3], [0, 0, 0.4, 0.8, 0.4]])
    hidden = np.column_stack([frame[["x1", "x2"]], rng.normal(size=n)])
    more = pd.DataFrame(hidden @ slopes + rng.normal(size=(n, 5))).add_prefix("w")
    return frame.join(more), where.join(make_gaps(more, rng, **dict.fromkeys(more, 0.1)))


def _f(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw a skewed predictor whose line to the outcome is straight."""
    x2 = rng.normal(size=n)
    x1 = rng.gamma(1.5, np.exp(0.25 * x2))
    frame = pd.DataFrame({"x1": x1, "x2": x2, "y": x1 - 0.5 * x2 + 1.5 * rng.normal(size=n)})
    return frame, make_gaps(frame, rng, x1=expit(-1.3 + 0.5 * frame.y), x2=np.full(n, 0.1))


def _g(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw a skewed predictor that is complete, and an outcome that is skewed by it alone."""
    x2 = rng.normal(size=n)
    x1 = rng.gamma(1.2, 1.0, n)
    frame = pd.DataFrame({"x1": x1, "x2": x2, "y": 5 + 1.5 * x1 - 0.5 * x2 + rng.normal(size=n)})
    return frame, make_gaps(frame, rng, y=expit(-1.3 + 0.6 * x1), x2=np.full(n, 0.1))


def _h(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """G about its means, so that no column is positive, and more skewed."""
    x2 = rng.normal(size=n)
    x1 = rng.gamma(0.8, 1.0, n) - 0.8
    frame = pd.DataFrame({"x1": x1, "x2": x2, "y": 1.5 * x1 - 0.5 * x2 + rng.normal(size=n)})
    return frame, make_gaps(frame, rng, y=expit(-0.6 + 0.6 * x1), x2=np.full(n, 0.1))


def _i(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw a number and a factor that hang on three complete columns in ways that bend."""
    x1, x2 = rng.normal(size=(2, n))
    x3 = rng.uniform(-1, 1, n)
    w = 2 * np.exp(-(x1**2)) + np.maximum(x2, 0) * np.sign(x3) + 0.7 * rng.normal(size=n)
    logits = np.column_stack([np.zeros(n), 2 * np.abs(x3) - 1, 0.8 * x1 * x2])
    g = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    y = w - 0.5 * x1 + np.array([0, 0.5, -0.5])[g] + 1.5 * rng.normal(size=n)
    frame = pd.DataFrame(
        {"x1": x1, "x2": x2, "x3": x3, "w": w, "g": pd.Categorical.from_codes(g, ["a", "b", "c"])}
    ).assign(y=y)
    return frame, make_gaps(frame, rng, w=expit(-1.2 + 0.4 * y + 0.5 * x3), g=expit(-1 - 0.4 * y))


def _j(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Take x1 and y away together, by what is seen of x2, which has a few gaps."""
    frame = _base(rng, n)
    few = rng.random(n) < 0.05
    seen = frame.x2.where(~few, 0.0)
    both = rng.random(n) < expit(-0.7 + 1.5 * seen)
    return frame, pd.DataFrame({"x1": both, "x2": few, "y": both})


def _k(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make gaps in two truth values, a factor and the outcome that they explain."""
    x = rng.normal(size=n)
    index = 0.6 * x + rng.normal(size=n)
    g = (index > -1.3).astype(int) + (index > 0.8)
    b1 = rng.random(n) < expit(-1 + 0.8 * x + 0.7 * (g == 2))
    b2 = rng.random(n) < expit(-2.5 + 1.5 * b1 + 0.5 * x)
    y = 0.5 * x + np.array([1.0, 0, -0.7])[g] + 0.8 * b1 - 0.6 * b2 + rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "x": x,
            "g": pd.Categorical.from_codes(g, ["a", "b", "c"]),
            "b1": b1.astype(int),
            "b2": b2.astype(int),
            "y": y,
        }
    )
    gaps = {"g": 0.3, "b1": -0.4, "b2": 0.5, "y": 0.4}
    return frame, make_gaps(frame, rng, **{name: expit(-1.2 + s * x) for name, s in gaps.items()})


def _regression(
    formula: str, model: Callable[..., object], means: tuple[str, ...]
) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def analyse(frame: pd.DataFrame) -> pd.DataFrame:
        fit = (
            model(formula, frame).fit(disp=0)
            if model is not smf.ols
            else smf.ols(formula, frame).fit()
        )
        table = pd.DataFrame({"estimate": fit.params, "std_error": fit.bse, "df": fit.df_resid})
        n = len(frame)
        for name in means:
            table.loc[f"mean_{name}"] = [
                frame[name].mean(),
                frame[name].std() / np.sqrt(n),
                fit.df_resid,
            ]
        return table

    return analyse


_OLS = _regression("y ~ x1 + x2", smf.ols, ("x1", "y"))
_INTERACTION = {"Intercept": 0.0, "x1": 1.0, "x2": 1.0, "x1:x2": 1.0, "mean_x1": 0.0, "mean_y": 0.0}
_TRUTH = {"Intercept": 1.0, "x1": 1.0, "x2": -0.5, "mean_x1": 0.0, "mean_y": 1.0}
_F_MEAN = 1.5 * float(np.exp(0.25**2 / 2))
DESIGNS = {
    "A1": Design(_a1, _OLS, _TRUTH),
    "A2": Design(_a2, _OLS, _TRUTH),
    "A2-60": Design(_a2_much, _OLS, _TRUTH),
    "A3": Design(_a3, _OLS, _TRUTH),
    "B": Design(
        _b,
        _regression("d ~ x + age + g", smf.logit, ()),
        {"Intercept": -0.5, "x": 0.7, "age": 0.4, "g[T.b]": 0.5, "g[T.c]": -0.6},
    ),
    "C": Design(_c, _regression("y ~ x1 * x2", smf.ols, ("x1", "y")), _INTERACTION),
    "D": Design(_d, _OLS, _TRUTH | {"mean_x1": 0.75, "mean_y": 1.375}),
    "E": Design(_e, _regression("y ~ x1 * x2", smf.ols, ("x1", "y")), _INTERACTION),
    "F": Design(
        _f,
        _OLS,
        {"Intercept": 0.0, "x1": 1.0, "x2": -0.5, "mean_x1": _F_MEAN, "mean_y": _F_MEAN},
    ),
    "G": Design(_g, _OLS, {"Intercept": 5.0, "x1": 1.5, "x2": -0.5, "mean_x1": 1.2, "mean_y": 6.8}),
    "H": Design(_h, _OLS, {"Intercept": 0.0, "x1": 1.5, "x2": -0.5, "mean_x1": 0.0, "mean_y": 0.0}),
    "I": Design(
        _i,
        _regression("y ~ w + x1 + g", smf.ols, ("w", "y")),
        {"Intercept": 0.0, "w": 1.0, "x1": -0.5, "g[T.b]": 0.5, "g[T.c]": -0.5}
        | {"mean_w": 2 / np.sqrt(3)},
    ),
    "J": Design(_j, _OLS, _TRUTH),
    "K": Design(
        _k,
        _regression("y ~ x + g + b1 + b2", smf.ols, ()),
        {"Intercept": 1.0, "x": 0.5, "g[T.b]": -1.0, "g[T.c]": -1.7, "b1": 0.8, "b2": -0.6},
    ),
}
