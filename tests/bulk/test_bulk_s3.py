"""Inputs and outputs on S3: moto's server, a process of its own."""

import io
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.bulk.commands import ROOT, SERVER_PYTHON, bulk, command, reviews

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
BUCKET = "reviews"

pytestmark = pytest.mark.skipif(
    not list(ROOT.glob(".venv/server/lib/python*/site-packages/s3fs")),
    reason="s3fs is not installed (make bulk)",
)


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """Of a process that takes the fake S3 for the real one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    line = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(
        line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **KEYS}
    )
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield {**os.environ, **KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def s3(environment: dict[str, str]) -> Any:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=BUCKET)
    return client


def rows(s3: Any, prefix: str) -> dict[str, list[str]]:
    """The reviews of each part that is there."""
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    keys = sorted(each["Key"] for each in listed if each["Key"].endswith(".parquet"))
    bodies = {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}
    return {key: pq.read_table(io.BytesIO(body))["review"].to_pylist() for key, body in bodies.items()}


@pytest.mark.slow
def test_partitions_on_s3_are_scored_and_a_killed_run_goes_on(
    s3: Any, environment: dict[str, str], published_repository: Path
) -> None:
    texts = {f"day={day}/a.{form}": reviews(300, seed=day) for day, form in ((1, "parquet"), (2, "csv.gz"))}
    body = io.BytesIO()
    pq.write_table(pa.table({"review": texts["day=1/a.parquet"]}), body)
    s3.put_object(Bucket=BUCKET, Key="in/day=1/a.parquet", Body=body.getvalue())
    lines = "\n".join(["review", *texts["day=2/a.csv.gz"]])
    s3.put_object(
        Bucket=BUCKET, Key="in/day=2/a.csv.gz", Body=pa.compress(lines.encode(), "gzip", asbytes=True)
    )
    arguments = (f"s3://{BUCKET}/in", "--output", f"s3://{BUCKET}/out", "--unit-rows", 50)
    line = command(published_repository, *arguments, python=SERVER_PYTHON)
    killed = subprocess.Popen(line, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not rows(s3, "out") and time.monotonic() < deadline:
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    before = rows(s3, "out")
    assert before
    done = bulk(published_repository, *arguments, python=SERVER_PYTHON, env=environment)
    assert done.returncode == 0, done.stderr
    assert "rows are done already" in done.stderr
    after = rows(s3, "out")
    for name, expected in texts.items():
        parts = [part for key, part in after.items() if key.startswith(f"out/{name}-")]
        assert len(parts) == 6
        assert [text for part in parts for text in part] == expected
    s3.put_object(
        Bucket=BUCKET, Key="in/day=2/a.csv.gz", Body=pa.compress(b"review\nx", "gzip", asbytes=True)
    )
    changed = bulk(published_repository, *arguments, python=SERVER_PYTHON, env=environment)
    assert changed.returncode == 1
    assert "has changed since this run began" in changed.stderr
