"""Background tasks with the embedded broker: real gateway, real worker, real Triton."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clients import SentimentClient
from serving.launcher import TritonServer
from tests.gateway.running import gateway_process
from tests.gateway.tasks.workers import finished, results, submit, worker_process

TEXTS = [f"film number {number} was {'great' if number % 3 else 'dull'}" for number in range(150)]
CHUNK = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tasks")


@pytest.fixture(scope="module")
def api(server: TritonServer, folder: Path) -> Iterator[httpx.Client]:
    """A gateway and a worker that share a folder."""
    settings = {"GATEWAY_DATA": str(folder), "TASK_CHUNK": str(CHUNK)}
    with (
        gateway_process(server.grpc_url, **settings) as gateway,
        worker_process(server.grpc_url, folder),
    ):
        yield gateway.client


@pytest.fixture(scope="module")
def direct(server: TritonServer) -> list[tuple[str, float]]:
    with SentimentClient(server.grpc_url, "grpc") as client:
        return [(found.label, found.score) for found in client.classify(TEXTS)]


def as_pairs(found: list[dict]) -> list[tuple[str, float]]:
    return [(each["label"], pytest.approx(each["score"], abs=1e-4)) for each in found]


def test_task_answers_as_the_direct_calls_do(api, direct):
    answer = api.post("/v1/tasks", json=TEXTS)
    task = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/tasks/{task['id']}"
    assert task["state"] in ("queued", "running", "done")
    assert task["total"] == len(TEXTS)
    end = finished(api, task)
    assert (end["state"], end["done"], end["errors"]) == ("done", len(TEXTS), 0)
    found = results(api, task)
    assert [each["index"] for each in found] == list(range(len(TEXTS)))
    assert direct == as_pairs(found)
    assert sum(found[0]["probabilities"].values()) == pytest.approx(1.0, abs=1e-5)


def parquet(columns: dict) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def as_csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


NUMBERS = list(range(len(TEXTS)))
UPLOADS = {
    "json lines": ("application/x-ndjson", "\n".join(map(json.dumps, TEXTS)).encode(), ""),
    "json objects": (
        "application/jsonl",
        "\n".join(json.dumps({"id": n, "review": text}) for n, text in enumerate(TEXTS)).encode(),
        "",
    ),
    "tsv": ("text/tab-separated-values", as_csv([["text"], *([text] for text in TEXTS)]), ""),
    "lines": ("text/plain", "\n".join(TEXTS).encode(), ""),
    "csv": ("text/csv", as_csv([["id", "text"], *([str(n), text] for n, text in enumerate(TEXTS))]), ""),
    "csv, named": ("text/csv", as_csv([["a", "b"], *(["x", text] for text in TEXTS)]), "?text_column=b"),
    "parquet": ("application/vnd.apache.parquet", parquet({"id": NUMBERS, "words": TEXTS}), ""),
    "parquet by parameter": ("application/octet-stream", parquet({"text": TEXTS}), "?format=parquet"),
}


@pytest.mark.parametrize("kind", UPLOADS)
def test_every_kind_of_file_gives_the_same_answers(api, direct, kind):
    media_type, body, query = UPLOADS[kind]
    answer = api.post(f"/v1/tasks{query}", content=body, headers={"Content-Type": media_type})
    assert answer.status_code == 202, answer.text
    finished(api, answer.json())
    assert direct == as_pairs(results(api, answer.json()))


def test_row_without_a_text_costs_only_itself(api):
    task = submit(api, ["good", None, 3, "x" * (1 << 20) + "x", "bad"])
    end = finished(api, task)
    assert (end["state"], end["done"], end["errors"]) == ("done", 5, 3)
    found = results(api, task)
    assert ["error" in each for each in found] == [False, True, True, True, False]
    assert found[1] == {"index": 1, "error": "There is no text in item 1."}
    assert "1048577 bytes" in found[3]["error"]


@pytest.fixture(scope="module")
def done(api) -> dict:
    task = submit(api, TEXTS)
    assert finished(api, task)["state"] == "done"
    return task


def test_results_after_a_text_are_the_rest(api, done):
    everything = results(api, done)
    for after in (-1, 0, CHUNK - 1, CHUNK, 77, len(TEXTS) - 1, len(TEXTS) + 5):
        assert results(api, done, after=after) == everything[after + 1 :]


def test_ranges_put_together_are_the_whole(api, done):
    whole = api.get(done["results"])
    assert whole.headers["accept-ranges"] == "bytes"
    size, pieces = len(whole.content), []
    for start in range(0, size, 1000):
        part = api.get(done["results"], headers={"Range": f"bytes={start}-{start + 999}"})
        assert part.status_code == 206
        assert part.headers["content-range"] == f"bytes {start}-{min(start + 999, size - 1)}/{size}"
        pieces.append(part.content)
    assert b"".join(pieces) == whole.content
    assert api.get(done["results"], headers={"Range": "bytes=-100"}).content == whole.content[-100:]
    beyond = api.get(done["results"], headers={"Range": f"bytes={size}-"})
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == f"bytes */{size}"


def test_results_as_csv_have_a_row_a_text(api, done):
    answer = api.get(done["results"], params={"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["content-type"].startswith("text/csv")
    assert [row["label"] for row in rows] == [each["label"] for each in results(api, done)]
    assert [int(row["index"]) for row in rows] == NUMBERS
    assert [int(row["num_windows"]) for row in rows] == [each["num_windows"] for each in results(api, done)]


def test_results_carry_their_texts_where_asked(api, done):
    assert [each["text"] for each in results(api, done, texts=True)] == TEXTS
    assert [each["text"] for each in results(api, done, texts=True, after=90)] == TEXTS[91:]
    answer = api.get(done["results"], params={"format": "csv", "texts": True})
    assert [row["text"] for row in csv.DictReader(io.StringIO(answer.text))] == TEXTS


def test_same_key_and_upload_give_the_same_task(api):
    key = {"Idempotency-Key": "order 66"}
    first, again = (submit(api, TEXTS[:3], headers=key) for _ in range(2))
    assert first["id"] == again["id"]
    other = api.post("/v1/tasks", json=TEXTS[:4], headers=key)
    assert other.status_code == 422
    assert submit(api, TEXTS[:3])["id"] != first["id"]


def test_events_end_with_the_end(api):
    task = submit(api, TEXTS)
    with api.stream("GET", f"/v1/tasks/{task['id']}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in stream.iter_lines() if line]
    kinds = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert kinds[-1] == "end"
    assert json.loads(lines[-1].removeprefix("data: "))["state"] == "done"


def test_list_has_the_newest_first(api):
    tasks = [submit(api, ["a text"])["id"] for _ in range(3)]
    listed = [task["id"] for task in api.get("/v1/tasks").json()["tasks"]]
    assert listed[:3] == tasks[::-1]
    assert len(api.get("/v1/tasks", params={"limit": 2}).json()["tasks"]) == 2


def test_ended_task_is_deleted_with_its_results(api, folder):
    task = submit(api, ["a text"])
    finished(api, task)
    assert api.delete(f"/v1/tasks/{task['id']}").status_code == 204
    assert api.get(f"/v1/tasks/{task['id']}").status_code == 404
    assert api.get(task["results"]).status_code == 404
    assert not list(folder.rglob(f"*{task['id']}*"))


REFUSED = {
    "no such type": ("application/pdf", b"%PDF", 415, "Content-Type"),
    "broken JSON": ("application/json", b'["a", "b', 400, "item 1"),
    "no list": ("application/json", b'{"a": 1}', 400, "JSON list"),
    "empty list": ("application/json", b"[]", 422, "no text"),
    "empty body": ("text/csv", b"", 422, "no text"),
    "bad line": ("application/x-ndjson", b'"a"\n{"text": \n', 400, "Line 2"),
    "which column": ("text/csv", b"a,b\n1,2\n", 422, "'a', 'b'"),
    "not UTF-8": ("text/csv", b"text\n\xff\xfe\n", 400, "UTF-8"),
    "no parquet": ("application/vnd.apache.parquet", b"PAR1 not really", 400, "parquet"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_upload_that_cannot_be_read_is_refused_in_words(api, folder, case):
    media_type, body, status, words = REFUSED[case]
    answer = api.post("/v1/tasks", content=body, headers={"Content-Type": media_type})
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]
    assert str(folder) not in answer.text
    assert not list((folder / "tasks" / "incoming").iterdir())


def test_page_of_another_site_may_not_send_a_task(api):
    headers = {"Content-Type": "text/plain", "Origin": "https://evil.example"}
    assert api.post("/v1/tasks", content=b"a text", headers=headers).status_code == 403
    headers["Origin"] = str(api.base_url).rstrip("/")
    assert api.post("/v1/tasks", content=b"a text", headers=headers).status_code == 202


def test_unknown_model_and_task_are_404(api):
    assert api.post("/v1/tasks?model=nosuch", json=["a"]).status_code == 404
    for name in ("nosuch", "../open", "0", "%2e%2e"):
        assert api.get(f"/v1/tasks/{name}").status_code == 404
