"""Multiple imputation of mixed-type tables with deep generative pattern-set mixtures.

Importing the package registers the pandas accessor ``df.psm`` and nothing else: each public
name is loaded from its module when it is first used, and with it torch, statsmodels or scipy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from psmimpute import accessor, exceptions

if TYPE_CHECKING:
    from psmimpute import datasets
    from psmimpute.datasets import load_boys, load_nhanes2
    from psmimpute.imputed.analyses import Analyses
    from psmimpute.imputed.bind import cbind, ibind, rbind
    from psmimpute.imputed.diagnostics import Diagnostics
    from psmimpute.imputed.from_long import from_long
    from psmimpute.imputed.multiply_imputed import ImputationInfo, MultiplyImputed
    from psmimpute.imputed.pi_sensitivity import PiSensitivity, pi_sensitivity
    from psmimpute.imputed.report import Report
    from psmimpute.imputed.sensitivity import TippingPoint, tipping_point
    from psmimpute.imputed.stored import read_imputed
    from psmimpute.imputer import PSMImputer, impute
    from psmimpute.inference.config import FitConfig
    from psmimpute.model.config import ModelConfig
    from psmimpute.pooling.coefficients import to_pool_item
    from psmimpute.pooling.descriptives import (
        pool_chi_square,
        pool_correlation,
        pool_independence,
        pool_mean,
        pool_proportion,
        pool_quantiles,
    )
    from psmimpute.pooling.item import PoolItem
    from psmimpute.pooling.joint import JointTest
    from psmimpute.pooling.performance import (
        pool_auc,
        pool_concordance,
        pool_kaplan_meier,
        pool_r_squared,
    )
    from psmimpute.pooling.pool import pool, pool_scalar, pool_table
    from psmimpute.pooling.predict import PooledPrediction
    from psmimpute.pooling.results import PooledResults
    from psmimpute.pooling.rubin import RubinPool
    from psmimpute.pooling.stats import PooledStat, pool_stat
    from psmimpute.streaming import impute_parquet
    from psmimpute.table.ampute import AmputationPattern, ampute
    from psmimpute.table.infer import infer_schema
    from psmimpute.table.kinds import ColumnKind
    from psmimpute.table.mcar import LittleTest, little_test
    from psmimpute.table.patterns import (
        MissingPairs,
        complete_cases,
        fico,
        flux,
        missing_pairs,
        missing_pattern,
    )
    from psmimpute.table.schema import ColumnSchema, TableSchema

    __version__: str

__all__ = [
    "AmputationPattern",
    "Analyses",
    "ColumnKind",
    "ColumnSchema",
    "Diagnostics",
    "FitConfig",
    "ImputationInfo",
    "JointTest",
    "LittleTest",
    "MissingPairs",
    "ModelConfig",
    "MultiplyImputed",
    "PSMImputer",
    "PiSensitivity",
    "PoolItem",
    "PooledPrediction",
    "PooledResults",
    "PooledStat",
    "Report",
    "RubinPool",
    "TableSchema",
    "TippingPoint",
    "accessor",
    "ampute",
    "cbind",
    "complete_cases",
    "datasets",
    "exceptions",
    "fico",
    "flux",
    "from_long",
    "ibind",
    "impute",
    "impute_parquet",
    "infer_schema",
    "little_test",
    "load_boys",
    "load_nhanes2",
    "missing_pairs",
    "missing_pattern",
    "pi_sensitivity",
    "pool",
    "pool_auc",
    "pool_chi_square",
    "pool_concordance",
    "pool_correlation",
    "pool_independence",
    "pool_kaplan_meier",
    "pool_mean",
    "pool_proportion",
    "pool_quantiles",
    "pool_r_squared",
    "pool_scalar",
    "pool_stat",
    "pool_table",
    "rbind",
    "read_imputed",
    "tipping_point",
    "to_pool_item",
]

# Module of each name that is loaded on first use; the imports above say the same to type
# checkers, and tests/unit/test_package.py that both agree.
_HOMES = {
    "datasets": ("load_boys", "load_nhanes2"),
    "imputed.analyses": ("Analyses",),
    "imputed.bind": ("cbind", "ibind", "rbind"),
    "imputed.diagnostics": ("Diagnostics",),
    "imputed.from_long": ("from_long",),
    "imputed.multiply_imputed": ("ImputationInfo", "MultiplyImputed"),
    "imputed.pi_sensitivity": ("PiSensitivity", "pi_sensitivity"),
    "imputed.report": ("Report",),
    "imputed.sensitivity": ("TippingPoint", "tipping_point"),
    "imputed.stored": ("read_imputed",),
    "imputer": ("PSMImputer", "impute"),
    "inference.config": ("FitConfig",),
    "model.config": ("ModelConfig",),
    "pooling.coefficients": ("to_pool_item",),
    "pooling.descriptives": (
        "pool_chi_square",
        "pool_correlation",
        "pool_independence",
        "pool_mean",
        "pool_proportion",
        "pool_quantiles",
    ),
    "pooling.item": ("PoolItem",),
    "pooling.joint": ("JointTest",),
    "pooling.performance": (
        "pool_auc",
        "pool_concordance",
        "pool_kaplan_meier",
        "pool_r_squared",
    ),
    "pooling.pool": ("pool", "pool_scalar", "pool_table"),
    "pooling.predict": ("PooledPrediction",),
    "pooling.results": ("PooledResults",),
    "pooling.rubin": ("RubinPool",),
    "pooling.stats": ("PooledStat", "pool_stat"),
    "streaming": ("impute_parquet",),
    "table.ampute": ("AmputationPattern", "ampute"),
    "table.infer": ("infer_schema",),
    "table.kinds": ("ColumnKind",),
    "table.mcar": ("LittleTest", "little_test"),
    "table.patterns": (
        "MissingPairs",
        "complete_cases",
        "fico",
        "flux",
        "missing_pairs",
        "missing_pattern",
    ),
    "table.schema": ("ColumnSchema", "TableSchema"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load a public name on first use (PEP 562)."""
        if name == "__version__":
            value = import_module("importlib.metadata").version("psmimpute")
        elif name == "datasets":
            return import_module("psmimpute.datasets")
        elif name in _HOME_OF:
            value = getattr(import_module(f"psmimpute.{_HOME_OF[name]}"), name)
        else:
            raise AttributeError(f"module 'psmimpute' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
