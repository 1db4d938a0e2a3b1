"""Writes the configurations, warm-up inputs and the tokenizer's code that a model repository lacks.

A configuration that nobody has edited follows its templates. One that somebody has edited is kept, and so is
the whole folder of a model whose configuration was not generated.
"""

from collections.abc import Iterator
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

import durable
from export.publishing.generator import SOURCES, TOKENIZER, Source, configuration, warmup_inputs
from export.publishing.pins import pinned_versions
from export.publishing.signature import (
    complete_labels,
    describe_ensemble,
    describe_model,
    newest_signature,
)
from export.publishing.stamp import Stamp, read_stamp, stamp_of, stamped
from export.publishing.versions import complete_versions, locked, served, writable

# The tokenizer's code is tracked where it is served; a repository elsewhere gets a copy.
CODE = Path(__file__).parents[2] / "model_repository" / TOKENIZER
MODELS = tuple(dict.fromkeys(source.model for source in SOURCES))


def complete_repository(repository: Path) -> None:
    """Write what an existing repository lacks; when that is nothing, nothing is locked either.

    Raises:
        PublishError: the repository cannot be written, or a publish is under way.
    """
    with writable(repository):
        lacking = repository.is_dir() and any(_wanted(repository, model) for model in MODELS)
    if lacking:
        seed_configs(repository)


def seed_configs(repository: Path) -> list[str]:
    """Write what `repository` lacks. Returns a sentence for each edited file whose templates have changed.

    Raises:
        PublishError: the repository cannot be written, or a publish is under way.
    """
    with locked(repository):
        return seed(repository)


def seed(repository: Path) -> list[str]:
    """As `seed_configs`, for a caller who holds the lock."""
    for model in MODELS:
        if files := _wanted(repository, model):
            _write(repository / model, files)
    complete_labels(repository)
    return list(_news(repository))


def _wanted(repository: Path, model: str) -> dict[str, bytes]:
    """Files that the model's folder lacks or has of an older template; config.pbtxt is the last."""
    folder, main = repository / model, repository / model / "config.pbtxt"
    if main.exists() and not _stamp(main):
        return {}
    given = {path.name: path.read_bytes() for path in CODE.glob("*.py")} if model == TOKENIZER else {}
    configs = {}
    for source in _sources(model):
        config, stamp = configuration(source), _stamp(folder / source.file)
        given |= {f"warmup/{name}": content for name, content in warmup_inputs(config)}
        fresh = stamp_of(source.templates, config)
        if not (folder / source.file).exists() or (stamp and _follows(stamp, fresh)):
            _describe(repository, source, config)
            configs[source.file] = stamped(config, fresh).encode()
    missing = {name: content for name, content in given.items() if not (folder / name).exists()}
    return missing | dict(reversed(configs.items()))


def _follows(stamp: Stamp, fresh: Stamp) -> bool:
    return not stamp.edited and stamp.digest != fresh.digest


def _news(repository: Path) -> Iterator[str]:
    for source in SOURCES:
        path = repository / source.model / source.file
        stamp, fresh = _stamp(path), stamp_of(source.templates, configuration(source))
        if stamp and stamp.edited and stamp.digest != fresh.digest:
            yield (
                f"{path} was edited, so it stays as it is, but its template has changed since "
                f"(export/publishing/templates: {fresh.templates}); delete the file to have it made anew"
            )


def _describe(repository: Path, source: Source, config: ModelConfig) -> None:
    """Make a new configuration promise what the repository serves."""
    path = repository / source.model / source.file
    if source.network:
        describe_ensemble(path, config, _version(repository, path, config))
    elif source.model != TOKENIZER:
        describe_model(config, newest_signature(repository / source.model))


def _version(repository: Path, path: Path, config: ModelConfig) -> int:
    """What an ensemble is pinned to, or else what others serve, or else the newest that has all its steps."""
    if path.exists():
        return max(pinned_versions(path), default=1)
    there = complete_versions(
        repository, {step.model_name for step in config.ensemble_scheduling.step}, False
    )
    return max(there & set(served(repository).values()) or there, default=1)


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """A new folder appears complete."""
    if folder.is_dir():
        for name, content in files.items():
            durable.write_bytes(folder / name, content)
    else:
        with durable.new_folder(folder) as fresh:
            for name, content in files.items():
                durable.write_bytes(fresh / name, content)


def _sources(model: str) -> list[Source]:
    return [source for source in SOURCES if source.model == model]


def _stamp(path: Path) -> Stamp | None:
    return read_stamp(path.read_text(encoding="utf-8")) if path.exists() else None
