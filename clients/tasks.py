"""Background tasks of the gateway: send a file of any size, wait, read the results.

from mobilebert_triton_client import TaskClient

task = TaskClient("http://127.0.0.1:8080").submit("reviews.csv")
task.wait(progress=True)
for result in task.results():
    print(result.index, result.label)
"""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .errors import SentimentError
from .gateway_http import GatewayHttp
from .limits import Limits
from .uploads import Texts, open_upload

ENDED = ("done", "failed", "cancelled")
POLL_SECONDS = (0.1, 2.0)  # from the first one, doubling, to the last


class TaskFailed(SentimentError):
    """The task failed or was cancelled; what it has can be read, and a failed one can be resumed."""


@dataclass(frozen=True)
class TaskStatus:
    """state: queued, running, done, failed or cancelled. done: texts with an answer, of `total`; errors: how
    many of them were refused. place: in the backlog, from 1, while it waits. seconds_left: an estimate.
    detail: why it failed."""

    id: str
    state: str
    total: int
    done: int
    errors: int
    place: int | None = None
    seconds_left: float | None = None
    detail: str | None = None

    @property
    def ended(self) -> bool:
        """Whether the state is final."""
        return self.state in ENDED


@dataclass(frozen=True)
class TaskResult:
    """The answer to text `index`; of a refused text only the error.

    probabilities: by label. labels: of a multi-label model, those above its threshold. values: of a
    regression, by target.
    """

    index: int
    label: str | None = None
    score: float | None = None
    probabilities: dict[str, float] | None = None
    labels: list[str] | None = None
    values: dict[str, float] | None = None
    num_tokens: int | None = None
    truncated: bool | None = None
    num_windows: int | None = None
    error: str | None = None


class TaskClient:
    """The gateway's tasks. url: such as http://127.0.0.1:8080. api_key: where the gateway asks for one.

    Methods raise ServerUnavailable (ServerBusy for a full backlog) when retries did not help within
    `Limits.deadline`, and ServerError or another SentimentError for what repetition can't help.
    """

    def __init__(
        self, url: str | None = None, api_key: str | None = None, limits: Limits | None = None
    ) -> None:
        self._http = GatewayHttp(url, api_key, limits or Limits())

    def submit(
        self,
        texts_or_file: Texts,
        model: str = "sentiment",
        text_column: str | None = None,
        key: str | None = None,
    ) -> "Task":
        """Sends a file (by its path: .csv, .tsv, .json, .jsonl, .txt, .parquet) or an iterable of texts.

        key: two calls with the same key and upload give one task. Without it, only the retries of this call
        share one. Raises ValueError for a file of an unknown kind.
        """
        headers = {"Idempotency-Key": key or secrets.token_hex(16)}
        query = {"model": model, "text_column": text_column}
        upload = open_upload(texts_or_file)
        return Task(self._http, self._http.upload("/v1/tasks", upload, query, headers)["id"])

    def task(self, name: str) -> "Task":
        """A task that was submitted before, by its id."""
        return Task(self._http, name)

    def tasks(self) -> list[TaskStatus]:
        """The caller's tasks, the newest first."""
        return [_status(each) for each in self._http.json("GET", "/v1/tasks")["tasks"]]


class Task:
    """A handle; the task itself lives on the server."""

    def __init__(self, http: GatewayHttp, name: str) -> None:
        self.id = name
        self._http = http
        self._path = f"/v1/tasks/{name}"

    def status(self) -> TaskStatus:
        """The task's state now."""
        return _status(self._http.json("GET", self._path))

    def wait(self, progress: bool = False, timeout: float | None = None) -> TaskStatus:
        """Returns when the task is done. progress: with a bar on standard error's terminal.

        Raises TaskFailed when it failed or was cancelled, TimeoutError after `timeout` seconds.
        """
        give_up_at = None if timeout is None else time.monotonic() + timeout
        with _Bar(progress) as bar:
            pause = POLL_SECONDS[0]
            while not (found := self.status()).ended:
                bar.show(found)
                if give_up_at is not None and time.monotonic() > give_up_at:
                    raise TimeoutError(
                        f"task {self.id} has {found.done} of {found.total} texts after {timeout:g} s"
                    )
                time.sleep(pause)
                pause = min(2 * pause, POLL_SECONDS[1])
            bar.show(found)
        if found.state != "done":
            raise TaskFailed(f"task {self.id} {found.state}: {found.detail or 'it was cancelled'}")
        return found

    def results(self, after: int = -1) -> Iterator[TaskResult]:
        """The results behind index `after`, in the order of the texts. A running task gives those so far.

        If the connection breaks, reading goes on where it broke.
        """
        for value in self._http.lines(f"{self._path}/results", after):
            yield TaskResult(
                **{name: value[name] for name in TaskResult.__dataclass_fields__ if name in value}
            )

    def cancel(self) -> None:
        """Stops it; of a task that has ended, deletes it with its results."""
        self._http.json("DELETE", self._path)

    def resume(self) -> None:
        """Goes on with a task that failed or was cancelled."""
        self._http.json("POST", f"{self._path}/resume")


class _Bar:
    def __init__(self, shown: bool) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True), disable=not shown)
        self._bar = self._progress.add_task("waiting", total=None)

    def show(self, status: TaskStatus) -> None:
        place = f", number {status.place} in line" if status.place else ""
        description = f"{status.state}{place}"
        self._progress.update(self._bar, description=description, total=status.total, completed=status.done)

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._progress.stop()


def _status(value: dict[str, Any]) -> TaskStatus:
    return TaskStatus(**{name: value[name] for name in TaskStatus.__dataclass_fields__ if name in value})
