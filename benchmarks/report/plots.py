"""The plots of a report. Colours stay with their contestant in all of them."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

import durable
from benchmarks.load.texts import LENGTHS
from benchmarks.report.figures import Figures
from benchmarks.report.load_tables import measurement_of, shares_of_limit
from benchmarks.servers import contestants as names

# Servers that people choose instead; tuned ones have the same colour.
_SERVERS = {
    "infinity": "#6a4c93",
    "infinity_optimum": "#b39ddb",
    "litserve": "#d6336c",
    "bentoml": "#f4a6c0",
}
COLOURS = {
    names.FLASK_RECOMMENDED: "#c9a227",
    names.FLASK_BEST: "#b5651d",
    names.FLASK_LATENCY: "#7a4419",
    names.FLASK_BFLOAT16: "#d98880",
    names.PADDED: "#7f7f7f",
    names.PADDED_UNBATCHED: "#b0b0b0",
    **_SERVERS,
    **{names.tuned(key): colour for key, colour in _SERVERS.items()},
    names.SENTIMENT: "#1f77b4",
    names.SENTIMENT_FAST: "#2a9d4a",
}
_OTHERS = "#9db4c0"
_PLAIN = FuncFormatter(lambda value, _: f"{value:g}")


def draw_all(figures: Figures, checkpoint: str, title: str, folder: Path) -> list[Path]:
    """Write every plot whose section was measured; return their paths."""
    drawings: dict[str, Callable[[Figures, str, Axes], bool]] = {
        "latency_throughput.png": draw_latency_throughput,
        "text_length.png": draw_text_length,
        "share_of_limit.png": draw_share_of_limit,
        "open_loop.png": draw_open_loop,
    }
    written = []
    for name, draw in drawings.items():
        figure, axes = plt.subplots(figsize=(9, 5.6), layout="constrained")
        if draw(figures, checkpoint, axes):
            figure.suptitle(title, fontsize=9, color="#555555")
            _save(figure, folder / name)
            written.append(folder / name)
        plt.close(figure)
    return written


def draw_latency_throughput(figures: Figures, checkpoint: str, axes: Axes) -> bool:
    """p50 (solid) and p99 (dotted) over throughput, a line a contestant, the clients at its points."""
    points = figures.points(checkpoint)
    for key in dict.fromkeys(point.contestant for point in points):
        line = [point for point in points if point.contestant == key]
        speed = [point.reviews_per_second for point in line]
        colour = COLOURS.get(key, _OTHERS)
        axes.plot(speed, [p.p50_ms for p in line], "o-", color=colour, ms=5, label=names.LABELS[key])
        axes.plot(speed, [p.p99_ms for p in line], "^:", color=colour, ms=5, alpha=0.6)
        for point in line:
            at = (point.reviews_per_second, point.p50_ms)
            axes.annotate(str(point.concurrency), at, xytext=(5, -9), textcoords="offset points", fontsize=7)
    axes.set(xlabel="reviews per second", ylabel="latency, milliseconds", xscale="log", yscale="log")
    axes.set_title("Latency against throughput, 1 to 32 clients: p50 (solid) and p99 (dotted)")
    _finish(axes)
    return bool(points)


def draw_text_length(figures: Figures, checkpoint: str, axes: Axes) -> bool:
    """Real tokens per second by length distribution, a bar a model."""
    runs = [
        (raw["mean_tokens"], *measurement_of(raw)) for raw in figures.section(checkpoint, "perf_lengths", [])
    ]
    models = list(dict.fromkeys(run.model for _, _, run in runs))
    for shift, model in enumerate(models):
        heights = {length: tokens * run.throughput for tokens, length, run in runs if run.model == model}
        lengths = [length for length in LENGTHS if length in heights]
        places = [LENGTHS.index(length) + 0.27 * (shift - 1) for length in lengths]
        bars = axes.bar(
            places, [heights[x] for x in lengths], 0.25, color=COLOURS[model], label=names.LABELS[model]
        )
        axes.bar_label(bars, fmt="{:,.0f}", fontsize=8, padding=2)
    means = {length: tokens for tokens, length, _ in runs}
    axes.set_xticks(range(len(LENGTHS)), [f"{x}\n{means.get(x, 0):.0f} tokens on average" for x in LENGTHS])
    axes.set(ylabel="real tokens per second (padding does not count)")
    axes.set_title("Throughput by text length, 8 clients")
    _finish(axes)
    return bool(runs)


def draw_share_of_limit(figures: Figures, checkpoint: str, axes: Axes) -> bool:
    """Useful GFLOP/s of everybody, with the machine's peaks as lines."""
    shares = shares_of_limit(figures, checkpoint)
    by_label = {names.LABELS[key]: colour for key, colour in COLOURS.items()}
    for place, (label, speed, precision, share) in enumerate(reversed(shares)):
        rate = figures.gflops(checkpoint, speed)
        axes.barh(place, rate, color=by_label.get(label, _OTHERS))
        shown = f" {100 * share:.0f}% of {precision} "
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        axes.text(rate, place, shown, va="center", fontsize=8, bbox=box, zorder=3)
    for precision in ("fp32", "bf16", "int8"):
        peak = figures.peak(precision)
        axes.axvline(peak, color="#333333", linewidth=1, linestyle="--")
        axes.text(peak, len(shares) - 0.4, f"{precision}: {peak:.0f}", fontsize=8, va="bottom", ha="center")
    axes.set_yticks(range(len(shares)), [label for label, *_ in reversed(shares)])
    axes.set(xlabel="useful GFLOP/s (dashed: measured peaks of matrix products)")
    axes.set_title("Share of the machine's limit", pad=22)
    _finish(axes, legend=False)
    return bool(shares)


def draw_open_loop(figures: Figures, checkpoint: str, axes: Axes) -> bool:
    """p50 and p99 of Poisson arrivals over the offered rate, by protocol."""
    runs = [measurement_of(raw)[1] for raw in figures.section(checkpoint, "perf_open", [])]
    for protocol, colour in (("http", "#2a9d4a"), ("grpc", "#6a4c93")):
        line = sorted(
            (run.requests_per_second or 0, run.latency_ms(50), run.latency_ms(99))
            for run in runs
            if run.protocol == protocol
        )
        if line:
            rates, p50, p99 = zip(*line, strict=True)
            axes.plot(rates, p50, "o-", color=colour, label=f"{protocol}, p50")
            axes.plot(rates, p99, "^:", color=colour, label=f"{protocol}, p99")
    axes.set(xlabel="offered requests per second", ylabel="latency, milliseconds", xscale="log", yscale="log")
    axes.set_title("sentiment_fast under Poisson arrivals (perf_analyzer)")
    _finish(axes)
    return bool(runs)


def _finish(axes: Axes, legend: bool = True) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_formatter(_PLAIN)
            axis.set_minor_locator(LogLocator(subs=(2, 5)))
            axis.set_minor_formatter(_PLAIN)
            axis.set_tick_params(which="minor", labelsize=7)
    axes.grid(True, which="both", alpha=0.2)
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: Path) -> None:
    with durable.replacing(path) as beside:
        figure.savefig(beside, dpi=140, format="png", metadata={"Software": None})
