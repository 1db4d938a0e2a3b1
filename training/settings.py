"""Settings that serve a script and a notebook alike: one dataclass, filled from options.

A script takes its options from the command line. A notebook has none: there they come from an environment
variable (`FINETUNE_OPTIONS="--data reviews.csv --epochs 2"`), or from the list in its first cell.
"""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import asdict, field
from pathlib import Path
from typing import Any, TypeVar

from transformers import HfArgumentParser

T = TypeVar("T")


def given_options(variable: str) -> list[str]:
    """The command line of a script; in a notebook, the words of the environment variable."""
    if "ipykernel" in sys.modules:
        return shlex.split(os.environ.get(variable, ""))
    return sys.argv[1:]


def parse_settings(kind: type[T], options: list[str], program: str, description: str) -> T:
    """Fill the dataclass `kind` from `options`; each field is an option, with `-` for `_`."""
    parser = HfArgumentParser(kind, description=description, prog=f"python -m {program}")  # type: ignore[arg-type]
    (settings,) = parser.parse_args_into_dataclasses(options)
    return settings


def as_hyperparameters(settings: Any) -> dict[str, Any]:
    """The settings as name and value, for the model card; of files and folders only the name."""
    return {name.replace("_", " "): _without_place(value) for name, value in asdict(settings).items()}


def _without_place(value: Any) -> Any:
    outside = isinstance(value, str) and (Path(value).is_absolute() or value.startswith(".."))
    return Path(value).name if outside else value


def option(default: Any, help_text: str) -> Any:
    """A dataclass field that is an option with a line of help."""
    return field(default=default, metadata={"help": help_text})
