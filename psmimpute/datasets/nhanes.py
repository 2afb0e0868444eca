"""A small extract of the National Health and Nutrition Examination Survey."""

from __future__ import annotations

from importlib.resources import files

import pandas as pd
from pandas.api.extensions import ExtensionDtype

DTYPES: dict[str, str | ExtensionDtype] = {
    "age": pd.CategoricalDtype(["20-39", "40-59", "60-99"]),
    "hyp": pd.CategoricalDtype(["no", "yes"]),
    "chl": "float64",
}


def load_nhanes2() -> pd.DataFrame:
    """Load 25 persons of a national health survey, the smallest of the textbook examples.

    Returns
    -------
    DataFrame, shape (25, 4)
        Age group ``age`` in years (20-39, 40-59, 60-99; unordered, as in R, with the levels
        in this order); body mass index ``bmi`` in kg/m²; hypertension ``hyp`` (no, yes);
        serum cholesterol ``chl`` in mg/dl. 27 cells are missing.

    References
    ----------
    .. [1] Schafer, J. L. (1997). Analysis of Incomplete Multivariate Data. Chapman & Hall.
       Table 6.14; these rows come with R's mice.

    Examples
    --------
    >>> load_nhanes2().isna().sum().to_dict()
    {'age': 0, 'bmi': 9, 'hyp': 8, 'chl': 10}
    """
    source = files("psmimpute.datasets") / "nhanes2.csv"
    with source.open() as text:
        return pd.read_csv(text, dtype=DTYPES)
