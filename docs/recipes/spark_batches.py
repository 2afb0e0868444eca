"""Impute a Spark data frame with a saved model."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import IntegerType, StructField, StructType

import psmimpute as psm


def impute_spark(df: DataFrame, model: str, *, m: int, row_key: str) -> DataFrame:
    """Return the m completed tables below each other, their number in the column ``imp``."""

    def impute_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        imputer = psm.PSMImputer.load(model, device="cpu")
        for batch in batches:
            imp = imputer.impute(batch.to_pandas(), m=m, row_key=row_key)
            for k, completed in enumerate(imp, start=1):
                done = pa.RecordBatch.from_pandas(
                    completed, schema=batch.schema, preserve_index=False
                )
                number = pa.array([k] * batch.num_rows, pa.int32())
                yield pa.RecordBatch.from_arrays(
                    [number, *done.columns], names=["imp", *batch.schema.names]
                )

    schema = StructType([StructField("imp", IntegerType()), *df.schema.fields])
    return df.mapInArrow(impute_batches, schema)
