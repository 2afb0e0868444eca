"""What pooling reads from a fitted model, whichever library fitted it.

Adapters are found by the names of the class and of its library, and read attributes only: a
library is never imported here, for whoever hands over a fitted model has it loaded already.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch

import pandas as pd

from psmimpute.exceptions import PoolingError
from psmimpute.pooling.adapters.lifelines import from_lifelines
from psmimpute.pooling.adapters.linearmodels import from_linearmodels
from psmimpute.pooling.adapters.pyfixest import from_pyfixest
from psmimpute.pooling.adapters.sklearn import from_sklearn
from psmimpute.pooling.adapters.statsmodels import (
    from_gee,
    from_margins,
    from_mixedlm,
    from_mnlogit,
    from_phreg,
    from_statsmodels,
)
from psmimpute.pooling.item import OWN_ADAPTER, Fitted, PoolItem, unreadable

Adapter = Callable[[Fitted], PoolItem]

# Library and class, most particular first; "" is any class of the library.
_ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("statsmodels", "MixedLMResults"): from_mixedlm,
    ("statsmodels", "MultinomialResults"): from_mnlogit,
    ("statsmodels", "PHRegResults"): from_phreg,
    ("statsmodels", "GEEResults"): from_gee,
    ("statsmodels", "DiscreteMargins"): from_margins,
    ("statsmodels", ""): from_statsmodels,
    ("linearmodels", ""): from_linearmodels,
    ("lifelines", ""): from_lifelines,
    ("pyfixest", ""): from_pyfixest,
    ("sklearn", ""): from_sklearn,
}


@singledispatch
def to_pool_item(fit: Fitted) -> PoolItem:
    """Read estimates, covariance and degrees of freedom from a fitted model.

    Parameters
    ----------
    fit : object
        Results of statsmodels, linearmodels, lifelines or pyfixest, an estimator in the manner of
        scikit-learn that gives a covariance, a :class:`~psmimpute.PoolItem`, or any
        object with a method ``__psm_pool_item__``. Register a class of your own with
        ``@to_pool_item.register``.

    Returns
    -------
    PoolItem
        Coefficients, covariance, degrees of freedom, rows and log-likelihood.

    Raises
    ------
    PoolingError
        If nothing is known of the object's class, or it gives no covariance.

    Examples
    --------
    >>> import numpy as np
    >>> class MyFit:
    ...     def __psm_pool_item__(self):
    ...         return PoolItem(pd.Series({"slope": 2.0}), np.array([[0.01]]), df=18)
    >>> to_pool_item(MyFit()).df
    18
    """
    own = getattr(fit, "__psm_pool_item__", None)
    if own is not None:
        return _checked(own(), fit)
    inner = getattr(fit, "_results", fit)
    adapter = _adapter_of(type(inner)) or _adapter_by_shape(fit)
    if adapter is None:
        raise unreadable(fit)
    return adapter(fit)


@to_pool_item.register
def _(fit: PoolItem) -> PoolItem:
    return fit


def _adapter_of(cls: type) -> Adapter | None:
    bases = [(base.__module__.split(".")[0], base.__name__) for base in cls.__mro__]
    for library, name in bases:
        if (library, name) in _ADAPTERS:
            return _ADAPTERS[library, name]
    for library, _name in bases:
        if (library, "") in _ADAPTERS:
            return _ADAPTERS[library, ""]
    return None


def _adapter_by_shape(fit: Fitted) -> Adapter | None:
    """Tell the manner of an unknown library by its attributes."""
    if hasattr(fit, "params") and callable(getattr(fit, "cov_params", None)):
        return from_statsmodels
    if isinstance(getattr(fit, "params", None), pd.Series) and hasattr(fit, "cov"):
        return from_linearmodels
    if hasattr(fit, "coef_"):
        return from_sklearn
    return None


def _checked(item: object, fit: object) -> PoolItem:
    if isinstance(item, PoolItem):
        return item
    raise PoolingError(
        f"{type(fit).__name__}.__psm_pool_item__ returned a {type(item).__name__}: {OWN_ADAPTER}"
    )
