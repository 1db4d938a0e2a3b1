"""Renders report.md and the plots of one machine from its raw samples, and the excerpt of them in docs/."""

import os
from pathlib import Path

import durable
from benchmarks.measure.machine import instruction_set
from benchmarks.paths import RESULTS, ROOT
from benchmarks.report import load_tables, plots
from benchmarks.report.chapters import CHAPTERS
from benchmarks.report.figures import Figures
from benchmarks.report.markdown import Cell, cell, table
from benchmarks.report.prose import notes
from benchmarks.report.targets import Target, all_targets, beyond_targets
from benchmarks.run.everything import DEEP, SHIPPED
from benchmarks.run.store import Store

PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


def render(store: Store) -> Path:
    """Write report.md, headline.md and plots beside raw.json; a tracked headline also goes into docs/."""
    figures = Figures(store)
    pictures = plots.draw_all(figures, DEEP, caption(figures), store.folder) if store.get(DEEP) else []
    path = store.folder / "report.md"
    durable.write_text(path, report(figures, [picture.name for picture in pictures]))
    durable.write_text(store.folder / "headline.md", headline(figures, "."))
    if store.folder.is_relative_to(RESULTS):
        refresh_page(PAGE, headline(figures, os.path.relpath(store.folder, PAGE.parent)))
    return path


def report(figures: Figures, pictures: list[str]) -> str:
    """The whole report in Markdown."""
    run = figures.store.data["run"]
    parts = [f"# Benchmarks on {caption(figures)}", limits_line(figures), notes(figures)]
    if failed := failed_table(figures):
        parts += ["## What failed", failed]
    parts += ["## Targets", targets_table(figures)]
    for chapter in CHAPTERS:
        body = chapter.body(figures)
        if body:
            parts += [f"## {chapter.title}", chapter.text.strip(), body]
            parts += [f"![{chapter.title}]({name})" for name in chapter.pictures if name in pictures]
    if not run.get("finished"):
        parts.insert(1, "> This run was not finished; what is missing was not measured.")
    return "\n\n".join(part for part in parts if part) + "\n"


def caption(figures: Figures) -> str:
    """The machine in a line."""
    machine = figures.store.data["run"]["machine"]
    cpu = f"{machine['cpu']} (family {machine['cpu_family']}, model {machine['cpu_model']})"
    return f"{cpu}, {machine['cores']} cores, {', '.join(machine['vector_instructions'])}"


def limits_line(figures: Figures) -> str:
    """The instruction set, and the fastest product of each precision that was measured on it."""
    machine = figures.store.data["run"]["machine"]
    peaks = ", ".join(
        f"{precision} {cell(figures.peak(precision))} {unit}"
        for precision, unit in (("fp32", "GFLOP/s"), ("bf16", "GFLOP/s"), ("int8", "GOP/s"))
    )
    return f"{instruction_set(machine['vector_instructions'])}. Limits of products, measured: {peaks}."


def failed_table(figures: Figures) -> str:
    """A row a failure; empty where there is none."""
    measured = figures.store.data["measured"]
    rows = [
        [f"`{section}`", who, why]
        for section, facts in measured.items()
        for who, why in facts.get("failed", {}).items()
    ]
    return table(["section", "who", "why"], rows) if rows else ""


def targets_table(figures: Figures) -> str:
    """Each target with what was measured, then harder rivals that no target names."""
    rows: list[list[Cell]] = [
        [target.name, _bound(target), _value(target), _verdict(target), target.detail]
        for target in all_targets(figures)
    ]
    rows += [[each.name, "-", _value(each), "no target", each.detail] for each in beyond_targets(figures)]
    return table(["target (24 layers unless named, IMDB's lengths)", "wanted", "measured", "", "from"], rows)


def _bound(target: Target) -> str:
    return f"{'at most' if target.at_most else 'at least'} {cell(target.bound)}{target.unit}"


def _value(target: Target) -> str:
    return f"{cell(target.measured)}{target.unit}" if target.known else cell(None)


def _verdict(target: Target) -> str:
    if not target.known:
        return "**not measured**"
    return "pass" if target.passed else "**miss**"


def headline(figures: Figures, base: str) -> str:
    """The machine, the 24-layer and the shipped table, one plot; `base` leads to the results."""
    parts = [
        f"Measured on {caption(figures)}, by `make bench`; all of it in [the report]({base}/report.md).",
        limits_line(figures),
    ]
    titles = {DEEP: "24 layers, random weights, speed only", SHIPPED: "The shipped checkpoint"}
    for checkpoint, title in titles.items():
        if figures.section(checkpoint, "load"):
            parts += [f"**{title}**, IMDB's lengths:", load_tables.headline(figures, checkpoint)]
    if figures.section(DEEP, "load"):
        parts.append(f"![Latency against throughput]({base}/latency_throughput.png)")
    return "\n\n".join(parts) + "\n"


def refresh_page(page: Path, excerpt: str) -> None:
    """Replace what stands between the page's two marks; leave a page without them alone."""
    if not page.is_file():
        return
    content = page.read_text(encoding="utf-8")
    head, begin, rest = content.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if begin and end:
        durable.write_text(page, f"{head}{BEGIN}\n{excerpt}{END}{tail}")
