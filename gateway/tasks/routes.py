"""/v1/tasks: background tasks over REST."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from gateway.callers import CurrentCaller
from gateway.problem import Problem
from gateway.schemas import problems
from gateway.services import CurrentServices, Services
from gateway.tasks import results as sent
from gateway.tasks.backlog import check_backlog
from gateway.tasks.intake import Upload, check_room
from gateway.tasks.readers import FORMATS
from gateway.tasks.service import TaskService
from gateway.tasks.status import TaskList, TaskStatus, status
from gateway.tasks.store import Order
from gateway.tasks.task import CANCELLED, DONE, Task

router = APIRouter(prefix="/v1/tasks", tags=["tasks"])
KEY = re.compile(r"[\x20-\x7e]{1,255}")
EVENT_SECONDS = 0.5
# Proxies close connections on which nothing moves.
COMMENT_EVERY = 30
UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {name: {"schema": {"type": "string", "format": "binary"}} for name in FORMATS},
    }
}
Format = Literal["json", "jsonl", "csv", "tsv", "txt", "parquet"]


@router.post(
    "",
    status_code=202,
    response_model=TaskStatus,
    responses=problems(400, 401, 403, 404, 413, 415, 422, 429, 507),
    openapi_extra=UPLOAD_BODY,
)
async def submit(
    request: Request,
    caller: CurrentCaller,
    services: CurrentServices,
    model: Annotated[str | None, Query(description="sentiment (the default) or sentiment_fast.")] = None,
    form: Annotated[Format | None, Query(alias="format", description="In place of Content-Type.")] = None,
    text_column: Annotated[str | None, Query(description="Found where it has a usual name.")] = None,
    idempotency_key: Annotated[str | None, Header(description="A retry with it gets the same task.")] = None,
) -> Response:
    """Accepts a file of texts: a JSON list, JSON lines, CSV or parquet.

    The body is the file itself, such as `curl --data-binary @reviews.csv -H 'Content-Type: text/csv'`. The
    answer has the task's address in `Location`. Where as much work waits as the service accepts, it is 429
    with `Retry-After`, and nothing was kept.
    """
    tasks = services.tasks
    _refuse_other_sites(request, services)
    if idempotency_key is not None and not KEY.fullmatch(idempotency_key):
        raise Problem(400, "Idempotency-Key must be 1 to 255 printable ASCII characters.")
    name = services.models.get(model or services.models.default).name
    order = Order(caller.id, name, _form(request, form), text_column, idempotency_key)
    task = await asyncio.to_thread(tasks.store.of_key, order)
    if task is None:
        await asyncio.to_thread(check_backlog, tasks.store, services.settings, 1)
        check_room(services.settings, int(request.headers.get("content-length") or 0))
    with Upload(tasks.store, services.settings) as upload:
        await upload.receive(request.stream())
        if task is None:
            task = await asyncio.to_thread(upload.accept, order)
            await asyncio.to_thread(tasks.publish, task)
        if task.fingerprint != upload.fingerprint(order):
            raise Problem(422, "This Idempotency-Key was used for another upload.", kind="invalid")
    request.state.texts, request.state.model = task.total, task.model
    return await _answer(tasks, task, 202)


@router.get("", response_model=TaskList, responses=problems(401))
async def list_tasks(
    caller: CurrentCaller, services: CurrentServices, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Response:
    """The caller's own tasks, the newest first."""

    def read() -> list[dict[str, Any]]:
        store = services.tasks.store
        found = [task for task, _ in zip(store.owned_by(caller.id), range(limit), strict=False)]
        return [status(store, task).model_dump(mode="json") for task in found]

    return JSONResponse({"tasks": await asyncio.to_thread(read)})


@router.get("/{task_id}", response_model=TaskStatus, responses=problems(401, 404))
async def get_task(task_id: str, caller: CurrentCaller, services: CurrentServices) -> Response:
    """State and progress of a task."""
    return await _answer(services.tasks, await _own(services, caller.id, task_id))


@router.delete("/{task_id}", response_model=TaskStatus, responses=problems(401, 404))
async def delete_task(task_id: str, caller: CurrentCaller, services: CurrentServices) -> Response:
    """Cancels a task; what is done so far can still be fetched. A task that has ended is deleted (204)."""
    task = await _own(services, caller.id, task_id)
    if task.end() is not None:
        await asyncio.to_thread(services.tasks.store.remove, task)
        return Response(status_code=204)
    await asyncio.to_thread(services.tasks.end, task, CANCELLED)
    return await _answer(services.tasks, task)


@router.post(
    "/{task_id}/resume", status_code=202, response_model=TaskStatus, responses=problems(401, 404, 409)
)
async def resume_task(task_id: str, caller: CurrentCaller, services: CurrentServices) -> Response:
    """Goes on with a task that failed or was cancelled, from the answers that it has."""
    task = await _own(services, caller.id, task_id)
    end = task.end()
    if end is None or end["state"] == DONE:
        raise Problem(409, "Only a task that failed or was cancelled can be resumed.", kind="conflict")
    await asyncio.to_thread(services.tasks.resume, task)
    return await _answer(services.tasks, task, 202)


@router.get("/{task_id}/results", responses=problems(401, 404, 416))
async def get_results(
    request: Request,
    task_id: str,
    caller: CurrentCaller,
    services: CurrentServices,
    after: Annotated[int, Query(ge=-1, description="Only texts after this index.")] = -1,
    form: Annotated[Literal["jsonl", "csv"], Query(alias="format")] = "jsonl",
    texts: Annotated[bool, Query(description="With the text in each result.")] = False,
    byte_range: Annotated[str | None, Header(alias="Range", description="Bytes of the JSON lines.")] = None,
) -> Response:
    """The results in the order of the upload, of a running task those so far.

    `Task-State` and `Task-Ready` (texts from the first on that have answers) tell whether that is all.
    """
    task = await _own(services, caller.id, task_id)
    first = min(after + 1, task.total)
    state = (await asyncio.to_thread(status, services.tasks.store, task)).state
    ready = await asyncio.to_thread(task.ready_chunks)
    headers = {"Task-State": state, "Task-Ready": str(task.starts[ready])}
    headers["Content-Disposition"] = "attachment"  # no name: it would override the one that the page gives
    if form == "csv":
        return StreamingResponse(
            sent.csv_lines(task, first, texts, ready), media_type="text/csv", headers=headers
        )
    headers["Accept-Ranges"] = "bytes"
    asked = sent.parse_range(byte_range, task) if byte_range and not first and not texts else None
    if asked is not None:
        headers |= {"Content-Range": asked.header, "Content-Length": str(asked.last + 1 - asked.first)}
        body = sent.byte_range(task, asked)
        return StreamingResponse(body, 206, headers, media_type="application/x-ndjson")
    return StreamingResponse(sent.json_lines(task, first, texts, ready), 200, headers, "application/x-ndjson")


@router.get("/{task_id}/events", responses=problems(401, 404))
async def get_events(
    request: Request, task_id: str, caller: CurrentCaller, services: CurrentServices
) -> Response:
    """Progress as server-sent events: `progress` with the task's state, at last `end`."""
    task = await _own(services, caller.id, task_id)
    return StreamingResponse(_events(services.tasks, task), media_type="text/event-stream")


async def _events(tasks: TaskService, task: Task) -> AsyncIterator[str]:
    last, silent = "", 0
    while True:
        found = await asyncio.to_thread(status, tasks.store, task)
        data = found.model_dump_json()
        ended = found.finished_at is not None
        if data != last:
            yield f"event: {'end' if ended else 'progress'}\ndata: {data}\n\n"
            last, silent = data, 0
        elif (silent := silent + 1) % COMMENT_EVERY == 0:
            yield ": still here\n\n"
        if ended or tasks.closing:
            return
        await asyncio.sleep(EVENT_SECONDS)


async def _own(services: Services, caller: str, name: str) -> Task:
    task = await asyncio.to_thread(services.tasks.store.get, name)
    if task is None or task.owner != caller:
        raise Problem(404, "There is no such task of yours, or it has expired.")
    return task


async def _answer(tasks: TaskService, task: Task, code: int = 200) -> Response:
    found = await asyncio.to_thread(status, tasks.store, task)
    return JSONResponse(found.model_dump(mode="json"), code, {"Location": f"/v1/tasks/{task.id}"})


def _refuse_other_sites(request: Request, services: Services) -> None:
    # A browser lets any page send a body of type text/plain, or of none, without asking first.
    origin = request.headers.get("origin")
    own = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    if not own and origin not in services.settings.cors_origins:
        raise Problem(403, f"Pages of {str(origin)[:100]} may not send tasks here.")


def _form(request: Request, given: str | None) -> str:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    form = given or FORMATS.get(media_type)
    if form is None:
        known = ", ".join(FORMATS)
        raise Problem(415, f"Name the file's type: as Content-Type, of {known}, or as ?format=csv.")
    return form
