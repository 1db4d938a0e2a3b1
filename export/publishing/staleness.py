"""Is what a model repository holds still what an export would write? Decided by hashes, in half a second."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from export.checkpoint.reading import checkpoint_hash

Fingerprint = Mapping[str, str]
MANIFEST = "manifest.json"

# The whole of export/ decides what an export writes.
SOURCES = Path(__file__).parents[1]


def fingerprint(checkpoint: Path, tokenizer: Path) -> Fingerprint:
    """Hashes of everything that decides an export's result, as they are kept in manifest.json.

    `tokenizer` is the repository's tokenizer folder, whose sources are copied into every version.

    Raises:
        CheckpointError: the checkpoint lacks a file.
    """
    own = [*SOURCES.rglob("*.py"), *SOURCES.rglob("*.pbtxt")]
    sources = {f"export/{path.relative_to(SOURCES).as_posix()}": path for path in own}
    sources |= {f"{tokenizer.name}/{path.name}": path for path in tokenizer.glob("*.py")}
    return {"checkpoint_sha256": checkpoint_hash(checkpoint), "sources_sha256": _hash_files(sources)}


def is_current(repository: Path, models: Iterable[str], wanted: Fingerprint) -> bool:
    """Whether some version holds `models` as exported from `wanted`, and no ensemble of them lacks a step.

    A repository that was rolled back is current, too: it still holds the newer version.
    """
    models = list(models)
    candidates = set.intersection(*(set(_version_names(repository / name)) for name in models))
    matching = [
        version
        for version in candidates
        if all(matches(read_manifest(repository / name / version / MANIFEST), wanted) for name in models)
    ]
    return bool(matching) and _ensembles_complete(repository, models)


def served_manifest(repository: Path, models: Iterable[str]) -> Mapping[str, Any]:
    """What the newest version that an ensemble serves says of one of `models`; empty where none is served."""
    # Imported here: the import takes longer than all the hashing.
    from export.publishing.versions import served

    version = max(served(repository).values(), default=0)
    for name in models:
        if manifest := read_manifest(repository / name / str(version) / MANIFEST):
            return {**manifest, "version": version}
    return {}


def matches(manifest: Mapping[str, Any], wanted: Fingerprint) -> bool:
    """Whether a model with this manifest is what an export of `wanted` would give."""
    return all(manifest.get(key) == value for key, value in wanted.items())


def _version_names(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("[0-9]*") if path.name.isdecimal()]


def read_manifest(path: Path) -> dict[str, Any]:
    """The content of a manifest.json; empty where there is none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _ensembles_complete(repository: Path, models: list[str]) -> bool:
    # Imported here: the import takes longer than all the hashing.
    from export.publishing.pins import read_config

    for path in repository.glob("*/config.pbtxt"):
        steps = read_config(path).ensemble_scheduling.step
        if any(step.model_name in models for step in steps):
            needed = [repository / step.model_name / str(step.model_version) for step in steps]
            if not all(folder.is_dir() for folder in needed):
                return False
    return True


def _hash_files(paths: Mapping[str, Path]) -> str:
    """A hash of names and contents. The names do not depend on where the repository lies."""
    digest = hashlib.sha256()
    for name, path in sorted(paths.items()):
        digest.update(f"{name}:{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()
