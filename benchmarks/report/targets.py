"""The targets that this repository set itself, each with what was measured."""

import math
from dataclasses import dataclass

from benchmarks.measure.machine import has_vnni
from benchmarks.report.figures import Figures, Point, best, precision_of
from benchmarks.run.everything import DEEP, SHIPPED
from benchmarks.servers import contestants as names

CROWD = 16


@dataclass(frozen=True)
class Target:
    """``measured`` is held against ``bound``, which is a maximum or a minimum; nan fails."""

    name: str
    measured: float
    bound: float
    at_most: bool
    detail: str
    unit: str = "x"

    @property
    def known(self) -> bool:
        """Whether there is a figure."""
        return not math.isnan(self.measured)

    @property
    def passed(self) -> bool:
        """Whether the bound is kept."""
        return self.measured <= self.bound if self.at_most else self.measured >= self.bound


def all_targets(figures: Figures) -> list[Target]:
    """The targets, on IMDB's lengths; a processor without VNNI has its own, where 8 bits gain less."""
    vnni = has_vnni(figures.store.data["run"].get("machine", {}).get("vector_instructions", []))
    targets = [
        _latency(figures, DEEP, 1 / 3 if vnni else 0.4),
        _latency(figures, SHIPPED, 1 / 3),
        _throughput(figures, names.SENTIMENT_FAST, names.FLASK, 4.0 if vnni else 2.5, "the Flask app's best"),
        _throughput(figures, names.SENTIMENT_FAST, (names.PADDED,), 3.0, "padded ONNX on Triton"),
        _throughput(figures, names.SENTIMENT, (names.PADDED,), 1.6, "padded ONNX on Triton"),
        _tritons_share(figures),
    ]
    if not vnni:
        targets.append(_throughput(figures, names.SENTIMENT_FAST, (names.SENTIMENT,), 1.6, "`sentiment`"))
    return targets


def beyond_targets(figures: Figures) -> list[Target]:
    """Harder rivals that no target names: the Flask app with changed code, the padded export unbatched."""
    changed = "the Flask app changed to bfloat16"
    unbatched = "padded ONNX on Triton, unbatched"
    return [
        _throughput(figures, names.SENTIMENT_FAST, (names.FLASK_BFLOAT16,), 1.0, changed),
        _throughput(figures, names.SENTIMENT_FAST, (names.PADDED_UNBATCHED,), 1.0, unbatched),
        _throughput(figures, names.SENTIMENT, (names.PADDED_UNBATCHED,), 1.0, unbatched),
    ]


def _latency(figures: Figures, checkpoint: str, bound: float) -> Target:
    ours = figures.point(checkpoint, names.SENTIMENT_FAST, 1)
    rivals = [point for key in names.FLASK if (point := figures.point(checkpoint, key, 1))]
    rival = min(rivals, key=lambda point: point.p50_ms, default=None)
    ratio = ours.p50_ms / rival.p50_ms if ours and rival else math.nan
    detail = f"{ours.p50_ms:.1f} ms against {rival.p50_ms:.1f} ms" if ours and rival else "not measured"
    model = "24 layers" if checkpoint == DEEP else "the shipped model"
    name = f"Single review over HTTP, p50, `sentiment_fast` / the Flask app's best, {model}"
    return Target(name, ratio, bound, True, detail)


def _throughput(figures: Figures, key: str, rivals: tuple[str, ...], bound: float, rival_name: str) -> Target:
    ours = figures.point(DEEP, key, CROWD)
    rival = best(figures.point(DEEP, rival, CROWD) for rival in rivals)
    name = f"Throughput at {CROWD} clients, `{key}` / {rival_name}"
    return Target(name, _ratio(ours, rival), bound, False, _speeds(ours, rival))


def _ratio(ours: Point | None, rival: Point | None) -> float:
    return ours.reviews_per_second / rival.reviews_per_second if ours and rival else math.nan


def _speeds(ours: Point | None, rival: Point | None) -> str:
    if not ours or not rival:
        return "not measured"
    return f"{ours.reviews_per_second:.2f} against {rival.reviews_per_second:.2f} reviews/s"


def _tritons_share(figures: Figures) -> Target:
    layers = figures.section(DEEP, "layers", {})
    shares = {key: layers[key]["outside_runs"] for key in names.OURS if key in layers}
    shown = (f"`{key}` {100 * share:.1f}%{_of_ceiling(figures, key)}" for key, share in shares.items())
    detail = ", ".join(shown) or "not measured"
    worst = 100 * max(shares.values(), default=math.nan)
    return Target("Cores' time outside of ONNX Runtime's runs at 8 clients", worst, 10.0, True, detail, "%")


def _of_ceiling(figures: Figures, key: str) -> str:
    """What share of the same session's tokens/s in process, a text on each core, 8 clients get."""
    runner = f"packed {precision_of(key)}, a text a core"
    ceiling = figures.in_process_tokens(DEEP).get((runner, 1))
    if not ceiling:
        return ""
    share = figures.section(DEEP, "layers")[key]["tokens_per_second"] / ceiling
    return f" ({100 * share:.0f}% of the tokens/s in process)"
