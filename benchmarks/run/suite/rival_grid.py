"""A short search for the best setting of each server that people choose instead."""

from dataclasses import asdict

from benchmarks.load.closed_loop import closed_loop
from benchmarks.rivals.chosen import RIVALS, Setting
from benchmarks.run.stage import Stage
from benchmarks.servers.arena import RivalChoice
from benchmarks.servers.contestants import tuned

CLIENTS = 16


def measure_rival_grid(stage: Stage, cores: int) -> list[dict]:
    """p50 of one client and throughput of 16, of every setting of every rival; none where one fails."""
    rows = []
    for name, rival in RIVALS.items():
        for setting in rival.candidates(cores):
            who = f"{name}, {setting.label}"
            stage.progress(who)
            with stage.failures.cost_only(who):
                rows.append(_measure(stage, RivalChoice(name, setting)))
    return rows


def _measure(stage: Stage, choice: RivalChoice) -> dict:
    with choice.server(stage.checkpoint, stage.repository) as server:
        for review in stage.reviews[: choice.setting.workers]:
            server.caller([review.text])
        alone = closed_loop(server.caller, stage.reviews, 1, stage.settings.window)
        crowd = closed_loop(server.caller, stage.reviews, CLIENTS, stage.settings.window)
    figures = {"p50_ms": alone.latency_ms(50), "reviews_per_second": crowd.reviews_per_second}
    return {
        "rival": choice.rival,
        "setting": asdict(choice.setting),
        "label": choice.setting.label,
        **figures,
    }


def default_rivals(cores: int) -> dict[str, RivalChoice]:
    """As documented, and the setting that is tried next: for runs too short to search."""
    found = {}
    for name, rival in RIVALS.items():
        documented, usual, *_ = rival.candidates(cores)
        found[name] = RivalChoice(name, documented)
        found[tuned(name)] = RivalChoice(name, usual)
    return found


def choose_rivals(rows: list[dict]) -> dict[str, RivalChoice]:
    """Each rival as documented, and at its highest throughput where that is another setting.

    One that could not be measured is left out: the search has its reason.
    """
    chosen = {}
    for name, rival in RIVALS.items():
        own = [row for row in rows if row["rival"] == name]
        settings = {row["label"]: Setting(**row["setting"]) for row in own}
        if rival.documented in settings.values():
            chosen[name] = RivalChoice(name, rival.documented)
        if own:
            best = settings[max(own, key=lambda row: row["reviews_per_second"])["label"]]
            if best != rival.documented:
                chosen[tuned(name)] = RivalChoice(name, best)
    return chosen
