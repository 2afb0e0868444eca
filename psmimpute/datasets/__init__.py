"""Small real data sets with real gaps, shipped with the package."""

from psmimpute.datasets.growth import load_boys
from psmimpute.datasets.nhanes import load_nhanes2

__all__ = ["load_boys", "load_nhanes2"]
