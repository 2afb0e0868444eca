"""Growth of Dutch boys."""

from __future__ import annotations

from importlib.resources import files

import pandas as pd
from pandas.api.extensions import ExtensionDtype

DTYPES: dict[str, str | ExtensionDtype] = {
    "hc": "float64",
    "tv": "float64",
    "gen": pd.CategoricalDtype(["G1", "G2", "G3", "G4", "G5"], ordered=True),
    "phb": pd.CategoricalDtype(["P1", "P2", "P3", "P4", "P5", "P6"], ordered=True),
    "reg": pd.CategoricalDtype(["north", "east", "west", "south", "city"]),
}


def load_boys() -> pd.DataFrame:
    """Load the growth and puberty of 748 Dutch boys, a tenth of a national sample of 1997.

    Returns
    -------
    DataFrame, shape (748, 9)
        ``age`` in years (0 to 21); height ``hgt`` in cm; weight ``wgt`` in kg; body mass
        index ``bmi`` in kg/m²; head circumference ``hc`` in cm; Tanner stage of genital
        development ``gen`` (G1 to G5, ordered) and of pubic hair ``phb`` (P1 to P6, ordered);
        testicular volume ``tv`` in ml; region of living ``reg`` (north, east, west, south,
        city; unordered). 1622 cells are missing: puberty was seldom assessed in young
        children.

    References
    ----------
    .. [1] Fredriks, A. M., van Buuren, S., Burgmeijer, R. J. F., Meulmeester, J. F., Beuker,
       R. J., Brugman, E., Roede, M. J., Verloove-Vanhorick, S. P. and Wit, J. M. (2000).
       Continuing positive secular growth change in The Netherlands 1955-1997. Pediatric
       Research 47, 316-323. The Fourth Dutch Growth Study; these rows come with R's mice.

    Examples
    --------
    >>> boys = load_boys()
    >>> boys.shape, int(boys["tv"].isna().sum())
    ((748, 9), 522)
    """
    source = files("psmimpute.datasets") / "boys.csv"
    with source.open() as text:
        return pd.read_csv(text, dtype=DTYPES)
