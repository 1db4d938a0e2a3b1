"""`python -m benchmarks.soak --requests 1000000`: every kind of client, both ensembles, mixed texts and
lists, while processes are killed and models reloaded every so often; each answer is compared with the one
that its text gets alone."""

import itertools
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tritonclient.grpc as grpcclient
import typer
from rich.console import Console
from rich.table import Table
from tritonclient.utils import InferenceServerException

from benchmarks.errors import one_line_errors
from benchmarks.measure.processes import memory_mib
from benchmarks.paths import SHIPPED_CHECKPOINT
from benchmarks.soak.callers import Http, all_callers
from benchmarks.soak.faults import all_faults
from benchmarks.soak.questions import Answer, Question, Questions, check_against_torch, shipped_texts
from benchmarks.soak.traffic import Tally, Traffic
from serving.launcher import TritonServer
from serving.service import Service
from serving.supervision import RestartPolicy

ENSEMBLES = ("sentiment", "sentiment_fast")
MODELS = ["mobilebert_fp32", "mobilebert_int8"]
OUTCOMES = ("answered", "refused", "broken off", "wrong", "lost")
LOOK_SECONDS = 0.2
SAMPLES = 20
console = Console()


@dataclass
class Course:
    """What happened, and when: seconds since the start."""

    began: float = field(default_factory=time.monotonic)
    faults: list[tuple[float, str]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    memory: list[tuple[int, float]] = field(default_factory=list)  # after so many questions: MiB

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def note(self, line: str) -> None:
        """A line of the launcher's or the server's log."""
        self.log.append(f"{self.seconds:7.1f} s  {line}")


@contextmanager
def soaking_service(repository: Path, course: Course) -> Iterator[TritonServer]:
    """A supervised server on a copy of the repository, whose models may be loaded anew."""
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(repository, Path(folder, "models"))
        ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
        loaded = ("mobilebert_tokenizer", *MODELS, *ENSEMBLES)
        server = TritonServer(
            copy, model_control_mode="explicit", load_models=loaded, log=course.note, **ports
        )
        with Service([server], course.note, RestartPolicy(limit=20)):
            yield server


def prepare(server: TritonServer, checkpoint: Path, longest: int) -> Questions:
    """The checkpoint's texts of at most so many words, with their answers, checked against torch's."""
    logits = {text: row for text, row in shipped_texts(checkpoint).items() if len(text.split()) <= longest}
    caller = Http(server.http_url.removeprefix("http://"))

    def alone(model: str, text: str) -> Answer:
        return caller.ask(Question(model, (text,)))[0]

    questions = Questions(ENSEMBLES, list(logits), alone)
    caller.close()
    check_against_torch(questions, "sentiment", logits)
    return questions


def disturb(server: TritonServer, course: Course, every: float, ended: threading.Event) -> None:
    """One fault after the other, each so many seconds after the server was ready again, until it is over."""
    faults = all_faults(MODELS, random.Random(0))
    for name, fault in itertools.cycle(faults.items()):
        while not is_ready(server) and not ended.wait(LOOK_SECONDS):
            pass
        if ended.wait(every):
            return
        try:
            fault(server)
            course.faults.append((course.seconds, name))
        except Exception as error:  # such as a reload that meets a restart; that is a fault too
            course.note(f"{name}: {type(error).__name__}: {error}"[:200])


def is_ready(server: TritonServer) -> bool:
    """Whether the server says that it is ready."""
    with grpcclient.InferenceServerClient(server.grpc_url) as client:
        try:
            return client.is_server_ready(client_timeout=10)
        except InferenceServerException:
            return False


def watch(server: TritonServer, course: Course, traffic: Traffic, requests: int, seconds: float) -> None:
    """Sample memory and tell the progress until the traffic ends, or the time is over."""
    step, began = max(1, requests // SAMPLES), course.seconds
    while traffic.running and course.seconds - began < seconds:
        time.sleep(LOOK_SECONDS)
        if traffic.tally.ended >= step * len(course.memory):
            course.memory.append((traffic.tally.ended, memory_mib(server.pid)))
            console.print(f"{course.seconds:7.0f} s  {progress(traffic.tally, course)}", markup=False)
    course.memory.append((traffic.tally.ended, memory_mib(server.pid)))


def progress(tally: Tally, course: Course) -> str:
    """One line."""
    counted = ", ".join(f"{tally.of(outcome):,} {outcome}" for outcome in OUTCOMES)
    return f"{counted}; {len(course.faults)} faults; {course.memory[-1][1]:,.0f} MiB"


def tables(tally: Tally, course: Course) -> Iterator[Table]:
    """Outcomes by kind of client, faults, memory."""
    kinds = sorted({kind for kind, _ in tally.counts})
    table = Table("client", *OUTCOMES)
    for kind in kinds:
        table.add_row(kind, *(f"{tally.counts[kind, outcome]:,}" for outcome in OUTCOMES))
    table.add_row("all", *(f"{tally.of(outcome):,}" for outcome in OUTCOMES))
    yield table
    names = [name for _, name in course.faults]
    table = Table("fault", "times")
    for name in dict.fromkeys(names):
        table.add_row(name, str(names.count(name)))
    yield table
    table = Table("requests", "MiB")
    for requests, mib in course.memory:
        table.add_row(f"{requests:,}", f"{mib:,.0f}")
    yield table


@one_line_errors("interrupted")
def main(
    requests: Annotated[int, typer.Option(min=1, help="Questions, each of 1 to 8 texts.")] = 1_000_000,
    fault_every: Annotated[float, typer.Option(min=1, help="Seconds between two faults.")] = 30.0,
    minutes: Annotated[float, typer.Option(help="Stop after so long, whatever was asked.")] = 1e6,
    threads: Annotated[int, typer.Option(min=1, help="Clients of each of the five kinds.")] = 2,
    longest: Annotated[int, typer.Option(min=1, help="Words of the longest text.")] = 400,
    model_repository: Annotated[Path, typer.Option()] = Path("model_repository"),
    checkpoint: Annotated[Path, typer.Option(help="Its golden texts are asked.")] = SHIPPED_CHECKPOINT,
    show_log: Annotated[bool, typer.Option(help="Print the launcher's log at the end.")] = False,
) -> None:
    """Exit status 1 when an answer was wrong or lost."""
    course, ended = Course(), threading.Event()
    with soaking_service(model_repository, course) as server:
        questions = prepare(server, checkpoint, longest)
        callers = all_callers(server)
        with Traffic(callers, questions, threads, requests) as traffic:
            saboteur = threading.Thread(target=disturb, args=(server, course, fault_every, ended))
            saboteur.start()
            try:
                watch(server, course, traffic, requests, 60 * minutes)
            except KeyboardInterrupt:  # what has been counted so far is still shown
                console.print("interrupted")
            finally:
                ended.set()
                saboteur.join()
    for table in tables(traffic.tally, course):
        console.print(table)
    for line in [*traffic.tally.details, *(course.log if show_log else [])]:
        console.print(line, markup=False)
    console.print(f"{traffic.tally.ended:,} questions in {course.seconds:,.0f} s")
    raise typer.Exit(traffic.tally.of("wrong") + traffic.tally.of("lost") > 0)


if __name__ == "__main__":
    typer.run(main)
