"""The Spark example, in Spark's local mode."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bulk import Scorer
from tests.bulk.commands import ROOT, reviews, write_parquet

pytestmark = pytest.mark.skipif(
    shutil.which("java") is None, reason="Spark needs a Java runtime (17 or newer)"
)


@pytest.fixture
def spark(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    from pyspark.sql import SparkSession

    settings = {"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "2"}
    builder = SparkSession.builder.master("local[2]")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    yield session
    session.stop()


@pytest.mark.slow
def test_a_pandas_udf_gives_the_scorer_s_answers(
    spark: Any, published_repository: Path, scorer: Scorer, tmp_path: Path
) -> None:
    from bulk.examples.with_spark import with_answers

    texts = [*reviews(60), None]
    table = spark.read.parquet(str(write_parquet(tmp_path / "in.parquet", texts)))
    rows = with_answers(table, "review", str(published_repository), "sentiment").collect()
    answers = scorer(texts)
    found = {row["review"]: row["answer"] for row in rows}
    assert [found[text]["label"] for text in texts] == list(answers.label)
    assert np.allclose([found[text]["score"] for text in texts], answers.score, atol=1e-5)
    assert found[None]["error"] == "the text is null"
