"""Through a running server: the same rows as in this process."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from bulk import Scorer
from export.checkpoint.reading import checkpoint_hash
from serving.launcher import TritonServer
from tests.bulk.commands import bulk, reviews, scored, write_parquet


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_server_s_answers_are_the_scorer_s(
    protocol: str,
    server: TritonServer,
    published_repository: Path,
    tiny_checkpoint: Path,
    scorer: Scorer,
    tmp_path: Path,
) -> None:
    texts: list[Any] = [*reviews(300), None, "good " * 300_000, *reviews(20, seed=1)]
    source = write_parquet(tmp_path / "a.parquet", texts)
    url = server.http_url if protocol == "http" else server.grpc_url
    through = ("--engine", "triton", "--url", url, "--protocol", protocol)
    done = bulk(published_repository, source, "--output", tmp_path / "out", "--unit-rows", 100, *through)
    assert done.returncode == 3, done.stderr
    rows, answers = scored(tmp_path / "out"), scorer(texts)
    assert [row["review"] for row in rows] == texts
    assert [row["label"] for row in rows] == list(answers.label)
    good = [number for number, error in enumerate(answers.error) if error is None]
    found = [rows[number]["probabilities"] for number in good]
    assert np.allclose(found, answers.probabilities[good], atol=1e-5)
    assert [row["error"] is None for row in rows] == [error is None for error in answers.error]
    footer = pq.read_schema(next((tmp_path / "out").glob("*.parquet"))).metadata
    assert footer[b"model_version"] == b"1"
    assert footer[b"checkpoint_sha256"].decode() == checkpoint_hash(tiny_checkpoint)


def test_a_server_that_is_not_there_is_a_sentence(published_repository: Path, tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "a.parquet", reviews(3))
    through = ("--engine", "triton", "--url", "127.0.0.1:1")
    done = bulk(published_repository, source, "--output", tmp_path / "out", *through)
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
