"""The scorer as a `pandas_udf`: for tables that are in Spark already. Spark retries, schedules and writes.

    spark-submit bulk/examples/with_spark.py REPOSITORY INPUT.parquet OUTPUT

Every executor needs this repository and the packages of requirements/server.txt but the server itself. A task
keeps one core busy, as Spark expects (`spark.task.cpus 1`).
"""

import sys
from collections.abc import Iterator
from functools import cache

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import pandas_udf

from bulk import Scorer, find_model

SCHEMA = "label string, score float, num_tokens int, truncated boolean, error string"


@cache
def scorer(repository: str, model: str) -> Scorer:
    """One for each Python worker of Spark, however many tables it sees."""
    return Scorer(find_model(repository, model))


def with_answers(table: DataFrame, column: str, repository: str, model: str = "sentiment_fast") -> DataFrame:
    """The table and a column `answer` with the fields of SCHEMA."""

    @pandas_udf(SCHEMA)
    def answer(batches: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
        for texts in batches:
            scores = scorer(repository, model)(texts.astype(object).where(texts.notna(), None).tolist())
            names = ("label", "score", "num_tokens", "truncated", "error")
            yield pd.DataFrame({name: getattr(scores, name) for name in names})

    return table.withColumn("answer", answer(table[column]))


def main(repository: str, source: str, output: str) -> None:
    """Scores the column `review` of a parquet table."""
    spark = SparkSession.builder.appName("sentiment").getOrCreate()
    with_answers(spark.read.parquet(source), "review", repository).write.mode("overwrite").parquet(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
