"""Tables of what things cost: scale, layers, memory, start-up, the peaks, the Flask app's settings."""

from benchmarks.measure.summary import median
from benchmarks.report.figures import Figures
from benchmarks.report.markdown import Cell, table
from benchmarks.servers import contestants as names


def bulk(figures: Figures, checkpoint: str) -> str:
    """Cost per token through the bulk client; flat is the goal."""
    rows = []
    for row in figures.section(checkpoint, "bulk", []):
        seconds = median(row["seconds"])
        cost, speed = 1e6 * seconds / row["tokens"], row["reviews"] / seconds
        rows.append([f"`{row['model']}`", row["reviews"], row["tokens"], seconds, speed, cost])
    return table(["", "reviews", "tokens", "seconds", "reviews/s", "microseconds a token"], rows)


def batch_sizes(figures: Figures, checkpoint: str) -> str:
    """Microseconds a token by rows of a request, medians over rounds."""
    samples = figures.section(checkpoint, "batch", [])
    sizes = sorted({row["rows"] for row in samples})
    keys = dict.fromkeys(row["contestant"] for row in samples)
    return table(
        ["microseconds a token, rows of a request:", *map(str, sizes)],
        [[names.LABELS[key], *(_batch_cost(samples, key, size) for size in sizes)] for key in keys],
    )


def _batch_cost(samples: list[dict], key: str, size: int) -> float:
    chosen = [row for row in samples if (row["contestant"], row["rows"]) == (key, size)]
    return median([1e6 * row["seconds"] / row["tokens"] for row in chosen])


def alone(figures: Figures, checkpoint: str) -> str:
    """Start-up, memory and throughput of servers that are alone, by the cores that they were given."""
    rows = [
        [
            names.LABELS[row["contestant"]],
            row["cores"],
            row["seconds_to_first_answer"],
            row["memory_mib_first_answer"],
            row["memory_mib_after_load"],
            row["reviews_per_second"],
        ]
        for row in figures.section(checkpoint, "alone", [])
    ]
    headings = ["", "cores", "s to first answer", "MiB then", "MiB after load", "reviews/s, 4 clients"]
    return table(headings, rows)


def layers(figures: Figures, checkpoint: str) -> str:
    """Milliseconds of a request by layer at 8 clients."""
    rows = [_layer_row(key, parts) for key, parts in figures.section(checkpoint, "layers", {}).items()]
    steps = [
        "latency",
        "HTTP",
        "ensemble",
        "tokenizer queue",
        "tokenizer",
        "model queue",
        "model in, out",
        "run",
    ]
    return table(["mean ms a request at 8 clients", *steps, "rows a run", "% outside runs"], rows)


def _layer_row(key: str, parts: dict) -> list[Cell]:
    tokenizer, model = parts["tokenizer"], parts["model"]
    return [
        names.LABELS[key],
        parts["latency"],
        parts["http"],
        parts["steps"],
        tokenizer["queue"],
        sum(tokenizer.values()) - tokenizer["queue"],
        model["queue"],
        model["compute_input"] + model["compute_output"],
        model["compute_infer"],
        parts["rows_per_run"],
        100 * parts["outside_runs"],
    ]


def peaks(figures: Figures) -> str:
    """The machine's limit by precision and library."""
    measured = figures.store.get("peak") or {}
    rows: list[list[Cell]] = [
        [precision, library, speed] for precision, by in measured.items() for library, speed in by.items()
    ]
    return table(["precision", "library", "GFLOP/s (int8: GOP/s)"], rows)


def flask_grid(figures: Figures) -> str:
    """What the search for the Flask app's best setting found."""
    rows: list[list[Cell]] = [
        [row["label"], row["p50_ms"], row["reviews_per_second"]]
        for row in figures.store.get("flask_grid") or []
    ]
    return table(["setting", "p50 ms, 1 client", "reviews/s, 16 clients"], rows)


def rivals_grid(figures: Figures) -> str:
    """What the search for the best setting of each rival found."""
    rows: list[list[Cell]] = [
        [names.LABELS[row["rival"]], row["label"], row["p50_ms"], row["reviews_per_second"]]
        for row in figures.store.get("rivals_grid") or []
    ]
    return table(["", "setting", "p50 ms, 1 client", "reviews/s, 16 clients"], rows)


def idle(figures: Figures, checkpoint: str) -> str:
    """Cores that idle servers keep busy."""
    shares = figures.section(checkpoint, "idle", {})
    return ", ".join(f"{names.LABELS[key]} {cores:.3f}" for key, cores in shares.items()) or "not measured"
