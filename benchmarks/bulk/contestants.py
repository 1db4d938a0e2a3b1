"""Ways to score a list of reviews: each is a context that gives a function of texts."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure.machine import usable_cores
from benchmarks.paths import SHIPPED_CHECKPOINT
from benchmarks.servers.arena import quiet_triton

Contestant = Callable[[Sequence[str]], None]
LOCAL, BATCH = "bulk, local", 32


def write(path: Path, texts: Sequence[str]) -> Path:
    """A parquet file with the column `text`."""
    pq.write_table(pa.table({"text": texts}), path)
    return path


@contextmanager
def local(repository: Path) -> Iterator[Contestant]:
    """What `python -m bulk score` does between its start and its end, from parquet to parquet."""
    from bulk.engines.local import LocalEngine
    from bulk.job import Job, resume, what_is_left
    from bulk.model import find_model
    from bulk.places import open_place
    from bulk.run import score_tasks

    model = find_model(repository, "sentiment_fast")
    with LocalEngine(model, usable_cores()) as engine, tempfile.TemporaryDirectory() as home:

        def run(texts: Sequence[str]) -> None:
            folder = Path(tempfile.mkdtemp(dir=home))
            source = write(folder / "in.parquet", texts)
            job = Job(
                open_place(str(folder / "out")), "text", "parquet", 16_384, model.answer, model.identity()
            )
            left = what_is_left(job, resume(job, [str(source)], False, lambda _: None))
            list(score_tasks(job, left.tasks, engine, lambda _: None))

        yield run


@contextmanager
def best_loop(repository: Path) -> Iterator[Contestant]:
    """Nothing but the computation: all texts tokenized at once, sorted, cut into runs; a session a core."""
    from bulk.model import find_model
    from export.graph.running import row_inputs
    from model_repository.mobilebert_tokenizer.tokenization import TextLimits, encode, load_tokenizer
    from serving.onnxruntime_backend.plan import LARGEST
    from serving.onnxruntime_backend.session import open_session

    model = find_model(repository, "sentiment_fast")
    tokenizer = load_tokenizer(model.tokenizer / "tokenizer.json")
    sessions = [open_session(model.path, model.settings(), threads=1) for _ in range(usable_cores())]

    def run(texts: Sequence[str]) -> None:
        rows = sorted((row.ids for row in encode(texts, tokenizer, TextLimits())), key=len, reverse=True)
        runs, at = [], 0
        while at < len(rows):
            size = max(1, LARGEST // len(rows[at]))
            runs.append(rows[at : at + size])
            at += size
        left = SimpleQueue[list[list[int]]]()
        for each in runs:
            left.put(each)

        def work(session) -> None:  # type: ignore[no-untyped-def]
            while not left.empty():
                try:
                    members = left.get_nowait()
                except Empty:
                    return
                session.run(["label", "score", "probabilities"], row_inputs(members))

        with ThreadPoolExecutor(len(sessions)) as pool:
            list(pool.map(work, sessions))

    yield run


@contextmanager
def through_server(repository: Path) -> Iterator[Contestant]:
    """`clients` over HTTP, as `python -m clients -` streams a file."""
    from clients import SentimentClient

    with (
        quiet_triton(repository) as server,
        SentimentClient(server.http_url, model="sentiment_fast") as client,
    ):
        client.wait_until_ready()

        def run(texts: Sequence[str]) -> None:
            for _ in client.stream(iter(texts)):
                pass

        yield run


@contextmanager
def pipeline(repository: Path) -> Iterator[Contestant]:
    """transformers' pipeline over a sorted dataset, in batches; torch in fp32 on all cores."""
    import torch
    from datasets import Dataset
    from transformers import pipeline as make
    from transformers.pipelines.pt_utils import KeyDataset

    torch.set_num_threads(usable_cores())
    classify = make(
        "text-classification", str(SHIPPED_CHECKPOINT), truncation=True, batch_size=BATCH, device="cpu"
    )

    def run(texts: Sequence[str]) -> None:
        rows = KeyDataset(Dataset.from_dict({"text": sorted(texts, key=len)}), "text")
        for _ in classify(rows):  # type: ignore[arg-type]
            pass

    yield run


@contextmanager
def sorted_loop(repository: Path) -> Iterator[Contestant]:
    """What sentence-transformers' `encode` does: sorted by length, padded batches, `inference_mode`."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.set_num_threads(usable_cores())
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_CHECKPOINT)
    model = AutoModelForSequenceClassification.from_pretrained(SHIPPED_CHECKPOINT).eval()

    def run(texts: Sequence[str]) -> None:
        longest_first = sorted(texts, key=len, reverse=True)
        with torch.inference_mode():
            for at in range(0, len(texts), BATCH):
                batch = longest_first[at : at + BATCH]
                model(**tokenizer(batch, padding=True, truncation=True, return_tensors="pt")).logits.softmax(
                    1
                )

    yield run


CONTESTANTS = {
    LOCAL: local,
    "best in-process loop": best_loop,
    "clients through the server": through_server,
    "transformers pipeline, sorted": pipeline,
    "sentence-transformers-style loop": sorted_loop,
}
SLOW = {
    "transformers pipeline, sorted": 8,
    "sentence-transformers-style loop": 8,
}  # these get one review of so many
