"""The chapters of a report: what each table means and how it was measured."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.report import cost_tables, load_tables
from benchmarks.report.figures import Figures
from benchmarks.report.flask_table import flask_table
from benchmarks.rivals.published import HARDWARE, NOTE
from benchmarks.run.everything import DEEP, SHIPPED

Render = Callable[[Figures, str], str]

ONE_GENERATOR = """\
One load generator for everybody: a closed loop over HTTP, JSON, kept-alive connections where the server
keeps them.
"""
FLASK_SETTINGS = """\
Recommended is what its README says: workers twice the cores, torch's own threads, `model.half()` behind the
fast endpoints. The winners by latency and by throughput among its endpoints as described (float32, float16)
are the rivals everywhere else. float16 is slow on a CPU without AVX512-FP16; bfloat16 is not, but a change of
the app's code, so it is a contestant of its own.
"""
RIVALS = """\
Searched with the shipped checkpoint: as the documentation starts each, then ways to share the cores. A row
named "tuned" elsewhere is the setting with the highest throughput here.
"""
FLASK_TABLE = f"""\
By pytest-benchmark, rounds of the contestants alternating in blocks. The Flask app runs at its best
setting for latency; `batch` is one request to it and the bulk client to ours, `basic` is one request a
text. `Flask / this` is the Flask app's median divided by the row's. Published rows are for reference only:
{HARDWARE}; {NOTE}; 50 to 100 texts in `multiple`, the whole data set in `all`.
"""
PERF_CLOSED = """\
The real binary of Triton's client 2.51.0 with real texts (`--input-data`), three windows a row, 24 layers.
Infer is the server's own time for the runs of tokenizer and model; the rest of the latency is mostly queue.
"""
PERF_OPEN = "Poisson arrivals at shares of the throughput that the closed loop reached; 24 layers."
PERF_LENGTHS = "Short is a review's first sentence, worst case is 512 tokens; 8 clients; 24 layers."
BULK = """\
`SentimentClient.classify` on 1 to N reviews: 24 layers (1,000 with `--full`), then the shipped model.
"""
ALONE = """\
Each server alone, started on so many cores, 24 layers. Memory is the proportional set size of the whole
process tree. Start-up runs from the command to the first answered review, imports and warmup included.
"""
LAYERS = """\
From Triton's statistics while 8 clients keep it busy: 24 layers, then the shipped checkpoint. HTTP is
what Triton's clock does not see: client, socket, parsing. Outside runs is the share of all cores' time that
was not in ONNX Runtime's runs, the load generator's and the ends of the window included (from the backend's
metric `onnxruntime_run_core_us`). Runs overlap batches, so ours end up to one run after Triton's clock.
"""
LIMIT = """\
The fastest product of square matrices (512 to 2,048) that a library reaches here, and the share of it
that each contestant turns into useful work: the model's FLOPs for real tokens, padding not counted. 24
layers.
"""


@dataclass(frozen=True)
class Chapter:
    """One heading of the report; ``body`` renders its tables, empty where nothing was measured."""

    title: str
    text: str
    body: Callable[[Figures], str]
    pictures: tuple[str, ...] = ()


def _tables(render: Render, section: str, *checkpoints: str) -> Callable[[Figures], str]:
    def body(figures: Figures) -> str:
        measured = [name for name in checkpoints or (DEEP,) if figures.section(name, section)]
        return "\n\n".join(render(figures, name) for name in measured)

    return body


def _perf(section: str) -> Callable[[Figures], str]:
    return _tables(lambda figures, name: load_tables.perf_analyzer(figures, name, section), section)


def _grid(figures: Figures) -> str:
    return cost_tables.flask_grid(figures) if figures.store.get("flask_grid") else ""


def _rivals(figures: Figures) -> str:
    return cost_tables.rivals_grid(figures) if figures.store.get("rivals_grid") else ""


def _limit(figures: Figures) -> str:
    if not figures.store.get("peak") or not figures.section(DEEP, "load"):
        return ""
    return "\n\n".join([cost_tables.peaks(figures), load_tables.limits(figures, DEEP)])


CHAPTERS = (
    Chapter(
        "24 layers: the headline",
        ONE_GENERATOR,
        _tables(load_tables.headline, "load"),
        ("latency_throughput.png",),
    ),
    Chapter("24 layers: load curves", "", _tables(load_tables.load_curves, "load")),
    Chapter("The shipped checkpoint: the headline", "", _tables(load_tables.headline, "load", SHIPPED)),
    Chapter("The shipped checkpoint: load curves", "", _tables(load_tables.load_curves, "load", SHIPPED)),
    Chapter("The Flask app's settings", FLASK_SETTINGS, _grid),
    Chapter("The settings of servers that people choose instead", RIVALS, _rivals),
    Chapter("24 layers: the Flask app's own table", FLASK_TABLE, _tables(flask_table, "table")),
    Chapter("The shipped checkpoint: the Flask app's own table", "", _tables(flask_table, "table", SHIPPED)),
    Chapter("perf_analyzer: closed loop", PERF_CLOSED, _perf("perf_closed")),
    Chapter("perf_analyzer: open loop", PERF_OPEN, _perf("perf_open"), ("open_loop.png",)),
    Chapter("perf_analyzer: text lengths", PERF_LENGTHS, _perf("perf_lengths"), ("text_length.png",)),
    Chapter("Scale: the bulk client", BULK, _tables(cost_tables.bulk, "bulk", DEEP, SHIPPED)),
    Chapter("Scale: rows in a request", "One client; 24 layers.", _tables(cost_tables.batch_sizes, "batch")),
    Chapter("Cores, memory, start-up", ALONE, _tables(cost_tables.alone, "alone")),
    Chapter("What each layer costs", LAYERS, _tables(cost_tables.layers, "layers", DEEP, SHIPPED)),
    Chapter("The limit", LIMIT, _limit, ("share_of_limit.png",)),
)
