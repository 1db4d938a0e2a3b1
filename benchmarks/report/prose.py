"""What the report says around its tables: facts about the run."""

from benchmarks.report import cost_tables
from benchmarks.report.figures import Figures
from benchmarks.run.everything import DEEP, SHIPPED

NOTES = """\
- Command: `python -m benchmarks`, settings `{settings}`, {minutes:.1f} minutes, started {started} UTC. Raw
  samples are in `raw.json`; `python -m benchmarks report` renders them again.
- Texts: {source}; {tokens:.0f} tokens on average (cut at 512). Every eight neighbours span the length
  distribution, and all contestants get the same texts in the same order.
- All servers are up at the same time, only the measured one is under load, and rounds alternate between them.
  Cores that the idle servers keep busy: {idle}.
- Throughput is the median over rounds of a steady closed loop's window, the ramp dropped. Latencies are
  percentiles over all requests of all rounds, as a client on the same machine sees them.
- Two checkpoints: 24 layers of random weights, the public MobileBERT's shapes (**speed only**), and the
  shipped one with {layers} layers.
- {memory} GiB of memory; {system}; Python {python}; {packages}."""


def notes(figures: Figures) -> str:
    """A list of facts in Markdown; empty where no checkpoint was measured."""
    run = figures.store.data["run"]
    deep, shipped = figures.store.get(DEEP), figures.store.get(SHIPPED)
    if not deep:
        return ""
    machine = run["machine"]
    return NOTES.format(
        settings=run["settings"],
        minutes=run.get("seconds", 0) / 60,
        started=", ".join(sorted({each["run"] for each in figures.store.data["measured"].values()})),
        source=deep["source"],
        tokens=deep["mean_tokens"]["imdb"],
        idle=cost_tables.idle(figures, DEEP),
        layers=shipped["shape"]["num_hidden_layers"] if shipped else "?",
        memory=machine["memory_gib"],
        system=machine["system"],
        python=machine["python"],
        packages=", ".join(f"{name} {version}" for name, version in machine["packages"].items()),
    )
