"""The kinds of column that psmimpute can model, and the families of their features."""

from __future__ import annotations

from enum import StrEnum


class ColumnKind(StrEnum):
    """What a column measures, which decides its features, their families and its encoding.

    Examples
    --------
    >>> ColumnKind("ordinal") is ColumnKind.ORDINAL
    True
    >>> len(ColumnKind)
    9
    """

    CONTINUOUS = "continuous"
    POSITIVE = "positive"
    COUNT = "count"
    SEMICONTINUOUS = "semicontinuous"
    BINARY = "binary"
    NOMINAL = "nominal"
    ORDINAL = "ordinal"
    DATETIME = "datetime"
    TIMEDELTA = "timedelta"


class Family(StrEnum):
    """The likelihood of one feature; a column is one feature, or two if semicontinuous."""

    GAUSSIAN = "gaussian"
    COUNT = "count"
    BERNOULLI = "bernoulli"
    ORDINAL = "ordinal"
    CATEGORICAL = "categorical"

    @property
    def is_number(self) -> bool:
        """Whether its latent values are numbers that a transform takes back to raw ones."""
        return self in (Family.GAUSSIAN, Family.COUNT)
