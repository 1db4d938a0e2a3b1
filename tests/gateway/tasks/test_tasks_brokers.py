"""Background tasks over RabbitMQ and Redis, and brokers that die in the middle of one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.launcher import TritonServer
from tests.gateway.running import gateway_process
from tests.gateway.tasks.brokers import RabbitMq, Redis
from tests.gateway.tasks.test_tasks_faults import assert_right, direct_answers, done_texts, short_texts
from tests.gateway.tasks.workers import WorkerProcess, finished, results, submit
from tests.waiting import until

BROKERS = {"rabbitmq": RabbitMq, "redis": Redis}


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RabbitMq | Redis]:
    """A broker of its own for one test."""
    folder = tmp_path / "broker"
    folder.mkdir()
    running = BROKERS[request.param](folder)
    yield running
    running.stop()


@pytest.mark.timeout(900)
def test_task_survives_kills_of_broker_and_worker(broker, server: TritonServer, tmp_path: Path):
    texts = short_texts(20_000)
    expected = direct_answers(server, texts)
    settings = {"BROKER_URL": broker.url, "TASK_STALL": "3", "TASK_CHUNK": "64"}
    with gateway_process(server.grpc_url, GATEWAY_DATA=str(tmp_path), **settings) as gateway:
        workers = [WorkerProcess(server.grpc_url, tmp_path, **settings) for _ in range(2)]
        task = submit(gateway.client, texts)
        until(lambda: done_texts(gateway, task) > 0.1 * len(texts))
        workers[0].kill()
        until(lambda: done_texts(gateway, task) > 0.3 * len(texts))
        broker.kill()
        meanwhile = submit(gateway.client, texts[:50])
        broker.start()
        for each, count in ((task, len(texts)), (meanwhile, 50)):
            end = finished(gateway.client, each, patience=400)
            assert (end["state"], end["done"], end["errors"]) == ("done", count, 0)
            assert_right(results(gateway.client, each), texts[:count], expected)
        assert workers[1].stop() == 0
