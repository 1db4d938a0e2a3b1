"""`python -m deploy.capacity`: how many replicas, and what ten times the load does for a minute."""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from typer import Option

from deploy.capacity.autoscaler import Scaler
from deploy.capacity.simulation import Server, Simulated, simulate

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
output = Console()
ROOT = Path(__file__).parents[2]
# The lengths of its reviews are the default; the guide holds its open loop against the simulation.
RUN = ROOT / "benchmarks" / "results" / "amd-epyc-family25-model17-2-cores" / "raw.json"
CHECKED_REQUESTS = 20_000
MOST = 200
Tokens = Annotated[int, Option(min=1, help="Tokens a second of one replica under load (`make bench`).")]
Lengths = Annotated[Path | None, Option(help="Token counts of your texts, one a line; IMDB's without it.")]
Rate = Annotated[float, Option(min=0.1, help="Requests a second.")]
Cores = Annotated[int, Option(min=1, help="Cores of one replica.")]


@app.command()
def plan(
    rate: Rate = 100.0,
    slo_ms: Annotated[float, Option(help="Latency that --quantile of the requests stay under.")] = 200.0,
    quantile: Annotated[float, Option(min=0.0, max=1.0)] = 0.99,
    tokens_per_second: Tokens = 9_500,
    cores: Cores = 2,
    lengths: Lengths = None,
) -> None:
    """Replicas against latency, up to the first number that meets the target."""
    tokens, server = _tokens(lengths), Server(cores, cores / tokens_per_second)
    table = Table("replicas", "busy", "p50 ms", "p99 ms", "refused", "meets it")
    for replicas in range(max(1, int(rate * np.mean(tokens) / tokens_per_second)), MOST):
        result = simulate(server, replicas, rate, tokens, CHECKED_REQUESTS / rate)
        meets = result.refused == 0 and result.quantile(quantile) * 1e3 <= slo_ms
        busy = rate * float(np.mean(tokens)) / tokens_per_second / replicas
        table.add_row(str(replicas), f"{busy:.0%}", *_figures(result), "yes" if meets else "no")
        if meets or _alone(server, tokens, quantile) * 1e3 > slo_ms:
            break
    output.print(table)
    if not meets:
        output.print(
            f"No number of replicas does: a text alone takes {_alone(server, tokens, quantile) * 1e3:.0f} ms "
            "at that quantile. Choose sentiment_fast, faster cores, or another target."
        )


@app.command()
def burst(
    rate: Rate = 100.0,
    times: Annotated[float, Option(help="The burst is so many times the rate.")] = 10.0,
    seconds: Annotated[float, Option(help="Length of the burst.")] = 60.0,
    tokens_per_second: Tokens = 9_500,
    cores: Cores = 2,
    replicas: Annotated[int, Option(help="Before the burst, and at least.")] = 6,
    most: Annotated[int, Option(help="The autoscaler's limit.")] = 60,
    start: Annotated[float, Option(help="Seconds until a new pod is ready.")] = 40.0,
    lengths: Lengths = None,
    plot: Annotated[Path, Option(help="Where the plot goes.")] = Path("capacity_burst.png"),
) -> None:
    """A burst while the autoscaler catches up: who is refused, and for how long."""
    tokens, server = _tokens(lengths), Server(cores, cores / tokens_per_second)
    begin, whole = 120.0, 900.0

    def load(now: float) -> float:
        return rate * times if begin <= now < begin + seconds else rate

    scaler = Scaler(least=replicas, most=most, start=start)
    result = simulate(server, replicas, load, tokens, whole, scaler=scaler, peak=rate * times)
    _draw(result, begin, seconds, plot)
    inside = (result.arrivals >= begin) & (result.arrivals < begin + seconds)
    during = Simulated(result.arrivals[inside], result.latencies[inside], [])
    after = Simulated(result.arrivals[~inside], result.latencies[~inside], [])
    table = Table("", "p50 ms", "p99 ms", "refused")
    table.add_row("in the burst", *_figures(during))
    table.add_row("before and after", *_figures(after))
    output.print(table)
    output.print(f"At most {max(count for _, count in result.replicas)} replicas. Plot: {plot}")


def _tokens(lengths: Path | None) -> list[int]:
    if lengths is not None:
        return [int(line) for line in lengths.read_text().split()]
    return json.loads(RUN.read_text())["sections"]["layers24"]["imdb_tokens"]


def _alone(server: Server, tokens: list[int], quantile: float) -> float:
    return float(np.quantile([server.service(each) for each in tokens], quantile))


def _figures(result: Simulated) -> tuple[str, str, str]:
    return (
        f"{result.quantile(0.5) * 1e3:.0f}",
        f"{result.quantile(0.99) * 1e3:.0f}",
        f"{result.refused:.1%}",
    )


def _draw(result: Simulated, begin: float, seconds: float, path: Path) -> None:
    import matplotlib  # in .venv/dev only

    matplotlib.use("Agg")
    from matplotlib import pyplot

    edges = np.arange(0, result.arrivals[-1] + 5, 5.0)
    answered = ~np.isnan(result.latencies)
    figure, axes = pyplot.subplots(3, 1, figsize=(8, 7), sharex=True, layout="constrained")
    _lines(axes[0], edges, result, answered)
    axes[0].set_ylabel("requests/s")
    axes[0].legend(frameon=False)
    slots = np.digitize(result.arrivals, edges) - 1
    p99 = [_p99(result.latencies[(slots == slot) & answered]) for slot in range(len(edges) - 1)]
    axes[1].plot(edges[:-1], p99, color="tab:purple")
    axes[1].set_ylabel("p99 of answered, s")
    axes[2].step(*zip(*[*result.replicas, (edges[-1], result.replicas[-1][1])], strict=True), where="post")
    axes[2].set_ylabel("ready replicas")
    axes[2].set_xlabel("seconds")
    for axis in axes:
        axis.axvspan(begin, begin + seconds, color="0.92", zorder=0)
        axis.set_ylim(bottom=0)
    figure.savefig(path, dpi=110)


def _lines(axis: Any, edges: np.ndarray, result: Simulated, answered: np.ndarray) -> None:
    for name, chosen, colour in (("answered", answered, "tab:green"), ("refused", ~answered, "tab:red")):
        counts, _ = np.histogram(result.arrivals[chosen], edges)
        axis.plot(edges[:-1], counts / 5, label=name, color=colour)


def _p99(latencies: np.ndarray) -> float:
    return float(np.quantile(latencies, 0.99)) if len(latencies) else float("nan")


if __name__ == "__main__":
    app()
