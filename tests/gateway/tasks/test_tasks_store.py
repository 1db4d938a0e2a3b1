"""The tasks' files: cut, scored out of order, put together; whole or not there at all."""

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.problem import Problem
from gateway.settings import Settings
from gateway.tasks.backlog import check_backlog
from gateway.tasks.files import read_json, write_json, written
from gateway.tasks.intake import Upload
from gateway.tasks.results import byte_range, parse_range
from gateway.tasks.store import Order, Store
from gateway.tasks.task import DONE, Task

TEXTS = [f"text {number}\n with a second line" for number in range(23)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.checked({"GATEWAY_DATA": tmp_path, "TASK_CHUNK": 5, "TASK_LANES": 2})


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings.task_folder)


def accepted(store: Store, settings: Settings, texts: list[str], key: str | None = None) -> Task:
    async def body() -> AsyncIterator[bytes]:
        yield json.dumps(texts).encode()

    order = Order("somebody", "sentiment", "json", None, key)
    with Upload(store, settings) as upload:
        asyncio.run(upload.receive(body()))
        return upload.accept(order)


def answers(task: Task, chunk: int) -> list[dict]:
    return [
        {"index": index, "label": f"é{index}"} for index in range(task.starts[chunk], task.starts[chunk + 1])
    ]


def test_upload_is_cut_into_chunks_that_hold_every_text_once(store, settings):
    task = accepted(store, settings, TEXTS)
    assert task.starts == [0, 5, 10, 15, 20, 23]
    assert [text for chunk in range(task.chunks) for text in task.texts(chunk)] == TEXTS
    assert store.unfinished()[0].id == task.id
    assert not list((store.folder / "incoming").iterdir())


def test_large_texts_make_chunks_of_fewer(store, settings):
    task = accepted(store, settings, ["x" * (3 << 20)] * 3 + ["small"])
    assert task.starts == [0, 1, 2, 4]


@pytest.mark.parametrize("seed", range(5))
def test_results_come_out_in_order_however_the_chunks_end(store, settings, seed):
    task = accepted(store, settings, TEXTS)
    order = list(range(task.chunks))
    random.Random(seed).shuffle(order)
    for ended, chunk in enumerate(order):
        task.write_result(chunk, answers(task, chunk))
        task.write_result(chunk, answers(task, chunk))
        ready = next((n for n in range(task.chunks) if n not in order[: ended + 1]), task.chunks)
        found = [json.loads(line)["index"] for line in task.result_lines()]
        assert found == list(range(task.starts[ready]))
    before = list(task.result_lines())
    assert task.assemble()
    assert task.assemble()
    assert list(task.result_lines()) == before == task.assembled.read_bytes().splitlines(keepends=True)


def test_any_range_is_that_part_of_the_whole_before_and_after_assembly(store, settings):
    task = accepted(store, settings, TEXTS)
    for chunk in range(task.chunks):
        task.write_result(chunk, answers(task, chunk))
    whole = b"".join(task.result_lines())
    for _ in range(2):
        for first in range(0, len(whole), 7):
            for last in (first, first + 3, first + 200, len(whole) + 5):
                asked = parse_range(f"bytes={first}-{last}", task)
                assert asked is not None
                assert b"".join(byte_range(task, asked)) == whole[first : last + 1]
        task.assemble()


def test_reader_goes_on_when_the_task_is_assembled_meanwhile(store, settings):
    task = accepted(store, settings, TEXTS)
    for chunk in range(task.chunks):
        task.write_result(chunk, answers(task, chunk))
    lines = task.result_lines()
    first = [next(lines) for _ in range(7)]
    task.assemble()
    assert [json.loads(line)["index"] for line in [*first, *lines]] == list(range(len(TEXTS)))


def test_chunk_with_an_answer_too_few_is_not_assembled(store, settings):
    task = accepted(store, settings, TEXTS)
    for chunk in range(task.chunks):
        task.write_result(chunk, answers(task, chunk)[: 4 if chunk == 2 else None])
    with pytest.raises(ValueError, match="chunk 2 has 4 answers to 5 texts"):
        task.assemble()
    assert not task.assembled.exists()


def test_work_goes_on_with_the_first_missing_chunk_of_each_lane(store, settings):
    task = accepted(store, settings, TEXTS)
    assert task.first_of_lanes() == [0, 1]
    for chunk in (0, 2, 1):
        task.write_result(chunk, answers(task, chunk))
    assert sorted(task.first_of_lanes()) == [3, 4]
    for chunk in (3, 4):
        task.write_result(chunk, answers(task, chunk))
    assert task.first_of_lanes() == [4]


def test_first_end_stays(store, settings):
    task = accepted(store, settings, TEXTS)
    task.finish("cancelled")
    task.finish(DONE)
    assert task.end()["state"] == "cancelled"
    assert store.unfinished() == []


def test_expired_task_goes_with_its_key(store, settings):
    task = accepted(store, settings, TEXTS, key="k")
    assert accepted(store, settings, TEXTS, key="k").id == task.id
    task.finish(DONE)
    expires = task.end()["expires_at"]
    assert list(store.expired(expires - 1)) == []
    [expired] = store.expired(expires + 1)
    store.remove(expired)
    assert [path for path in store.folder.rglob("*") if task.id in path.name] == []
    assert accepted(store, settings, TEXTS, key="k").id != task.id


def test_task_of_somebody_else_is_not_listed(store, settings):
    task = accepted(store, settings, TEXTS)
    assert [each.id for each in store.owned_by("somebody")] == [task.id]
    assert list(store.owned_by("somebody else")) == []


def test_backlog_beyond_its_limit_is_refused_with_a_time(store, settings):
    small = settings.model_copy(update={"task_backlog_texts": 30})
    accepted(store, small, TEXTS)
    check_backlog(store, small, 7)
    with pytest.raises(Problem) as caught:
        check_backlog(store, small, 8)
    assert caught.value.status == 429
    assert int(caught.value.headers["Retry-After"]) >= 1


def test_file_that_fails_half_way_leaves_the_old_one(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, "old")

    def fail_half_way() -> None:
        with written(path) as file:
            file.write(b"half of the n")
            raise OSError(28, os.strerror(28))

    with pytest.raises(OSError, match="No space"):
        fail_half_way()
    assert read_json(path) == "old"
    assert list(tmp_path.iterdir()) == [path]
