"""Parquet: columns of any type as plain Python values, and the class names that `datasets` stores there."""

from __future__ import annotations

import io
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from training.tables.table import DataError, Table


def read_parquet(data: bytes, source: str) -> Table:
    """Every column of a parquet file. Raises `DataError`."""
    try:
        content = pq.ParquetFile(io.BytesIO(data)).read()
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{source} cannot be read as parquet: {str(error).splitlines()[0]}") from error
    names = content.schema.names
    columns = [_plain(column) for column in content.columns]
    return Table(source, names, columns, class_names=class_names(content.schema))


def _plain(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.to_pylist()


def class_names(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """Names of the classes by column, where `datasets` wrote them."""
    if b"huggingface" not in (schema.metadata or {}):
        return {}
    features = datasets.Features.from_arrow_schema(schema)
    return {
        name: tuple(feature.names)
        for name, feature in features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
