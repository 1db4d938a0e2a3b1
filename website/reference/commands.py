"""The command lines, from the programs themselves."""

import importlib
import re
from collections.abc import Iterator
from typing import Any

import typer

from website.reference.markdown import code, paragraphs, table, text

BENCHMARKS = (
    "accuracy", "background", "compare", "depths", "gateway", "haproxy", "int8_rivals", "int8_tune",
    "long_cost", "long_documents", "memory", "overhead", "overload",
)  # fmt: skip
# Environment -> section of docs/reference/command_line.md -> how a program starts -> its app or function.
PROGRAMS = {
    "server": {
        "serving": {
            "python -m serving": "serving.__main__:app",
            "python -m deploy.cluster": "deploy.cluster.__main__:app",
        },
        "clients": {
            "mobilebert-triton": "clients.cli:app",
            "mobilebert-triton submit": "clients.submit_cli:app",
        },
        "export": {"python -m export": "export.cli:app"},
        "gateway": {"python -m gateway": "gateway.__main__:app"},
        "bulk": {"python -m bulk": "bulk.cli:app"},
    },
    "dev": {
        "capacity": {"python -m deploy.capacity": "deploy.capacity.__main__:app"},
        "benchmarks": {
            "python -m benchmarks": "benchmarks.cli:app",
            "python -m benchmarks.bulk": "benchmarks.bulk.__main__:app",
            "python -m benchmarks.soak": "benchmarks.soak.__main__:main",
            **{f"python -m benchmarks.{name}": f"benchmarks.{name}:main" for name in BENCHMARKS},
        },
    },
}
EXTRA = re.compile(r"(?P<help>.*?)\s*\[(?P<extra>[^\[\]]*)\]", re.DOTALL)


def sections(environment: str) -> Iterator[tuple[str, str]]:
    """Name and Markdown of each section that this environment can import."""
    for name, programs in PROGRAMS[environment].items():
        yield f"commands-{name}", paragraphs(*(program(*each) for each in programs.items()))


def program(started: str, where: str) -> str:
    """What a program says of itself, its arguments and options; the same of each of its commands.

    where: module:name of a typer app, or of a function that `typer.run` runs.
    """
    module, _, name = where.partition(":")
    app = getattr(importlib.import_module(module), name)
    if not isinstance(app, typer.Typer):
        function, app = app, typer.Typer(add_completion=False)
        app.command()(function)
    command: Any = typer.main.get_command(app)
    return paragraphs(*_described(command, typer.Context(command), started, "###"))


def _described(command: Any, context: typer.Context, started: str, heading: str) -> Iterator[str]:
    yield f"{heading} {started}"
    yield from map(_paragraph, (command.help or "").split("\n\n"))
    yield f"```console\n$ {' '.join([started, *command.collect_usage_pieces(context)])}\n```"
    records = [each.get_help_record(context) for each in command.get_params(context)]
    rows = [_row(*record) for record in records if record and record[0] != "--help"]
    yield table(["option", "meaning", "default, limits"], rows)
    for name in getattr(command, "commands", {}):
        yield from _described(command.get_command(context, name), context, f"{started} {name}", heading + "#")


def _paragraph(words: str) -> str:
    """A paragraph of a help text. Lines that are commands become a block of code."""
    lines = words.replace("\b", "").strip("\n").splitlines()
    if lines and all(line.strip().startswith("python -m ") for line in lines):
        return "```bash\n" + "\n".join(line.strip() for line in lines) + "\n```"
    return text("\n".join(lines))


def _row(name: str, words: str) -> list[str]:
    """An option's name with its type, what it means, and what click adds in brackets."""
    found = EXTRA.fullmatch(words)
    meaning, extra = (found["help"], found["extra"]) if found else (words, "")
    return [code(name), text(meaning), text(extra.replace("env var: ", "environment: "))]
