"""Where a run's time goes: `python -m benchmarks.products [--tokens 285]`.

ONNX Runtime profiles one thread. The products' operations a second are held against the fastest square
product of the same precision, measured in the same command.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Annotated, Any

import typer
from onnx import ModelProto
from onnxruntime import InferenceSession, SessionOptions
from rich.console import Console
from rich.table import Table

from benchmarks.measure.peak import best_peak, measure_peaks
from benchmarks.rivals.graphs_in_turn import deepened, made_up_rows
from export.checkpoint.reading import load_checkpoint
from export.precision.fp32 import build_fp32
from export.precision.int8 import build_int8

# Products of tokens with a constant.
PRODUCTS = {"QGemm", "QLinearConv", "Gemm", "FusedGemm"}
WARMING = 2
Event = Mapping[str, Any]


def main(
    checkpoint: Annotated[Path, typer.Option(help="Its layers are repeated.")] = Path(
        "checkpoints/mobilebert-imdb"
    ),
    layers: Annotated[int, typer.Option(help="Depth of the graph.")] = 24,
    tokens: Annotated[int, typer.Option(min=1, max=512, help="Of each row.")] = 285,
    rows: Annotated[int, typer.Option(min=1)] = 1,
    runs: Annotated[int, typer.Option(min=1)] = 9,
) -> None:
    """Print the time of each kind of operator, and how fast the products are, for int8 and fp32."""
    loaded = deepened(load_checkpoint(checkpoint), layers)
    peaks = measure_peaks(1, 1.0)
    for precision, model in (("int8", build_int8(loaded)), ("fp32", build_fp32(loaded))):
        events = profile(model, [tokens] * rows, runs)
        table = Table(title=f"{precision}, {layers} layers, {rows} x {tokens} tokens, 1 thread")
        for heading in ("operator", "ms", "%"):
            table.add_column(heading)
        times = time_by_operator(events)
        whole = sum(times.values())
        for operator, spent in times.most_common():
            if spent > whole / 100:
                table.add_row(operator, f"{spent / runs * 1e3:.1f}", f"{100 * spent / whole:.0f}")
        console = Console()
        console.print(table)
        speed, peak = speed_of_products(events), best_peak(peaks, precision)
        console.print(
            f"products: {speed:.0f} GOP/s, {100 * speed / peak:.0f}% of the fastest product ({peak:.0f})"
        )


def profile(model: ModelProto, lengths: list[int], runs: int) -> list[Event]:
    """ONNX Runtime's events of the nodes of so many runs, those for warming left out."""
    feed = made_up_rows(lengths)
    with tempfile.TemporaryDirectory() as folder:
        options = SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "run")
        session = InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for _ in range(WARMING + runs):
            session.run(["logits"], feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    first = [event["ts"] for event in events if event["name"] == "model_run"][WARMING]
    return [
        event
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time") and event["ts"] >= first
    ]


def time_by_operator(events: Iterable[Event]) -> Counter[str]:
    """Seconds by operator."""
    spent: Counter[str] = Counter()
    for event in events:
        spent[event["args"]["op_name"]] += event["dur"] / 1e6
    return spent


def speed_of_products(events: Iterable[Event]) -> float:
    """Operations a second (in billions) of all products with a constant."""
    products = [event for event in events if event["args"]["op_name"] in PRODUCTS]
    seconds = sum(event["dur"] for event in products) / 1e6
    return sum(map(operations, products)) / seconds / 1e9


def operations(product: Event) -> int:
    """Two for each multiply and add: 2 * rows * inputs * outputs."""
    values, results = (
        next(iter(product["args"][f"{way}_type_shape"][0].values())) for way in ("input", "output")
    )
    return 2 * prod(values) * results[-1]


if __name__ == "__main__":
    typer.run(main)
