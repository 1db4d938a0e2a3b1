"""What config.pbtxt promises of a version: the outputs of its problem type, its labels, its threshold.

A version's manifests say what it holds, so a rollback knows what to promise of the version that it returns
to. Ensembles name their labels and their checkpoint in `parameters`. For Triton's classification extension
(`class_count`) their labels are in `<version>/labels.txt`, too. A model's are in `labels.txt`: those of the
version that was published, or rolled back to, last.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tritonclient.grpc import model_config_pb2

import durable
from export.checkpoint.config import ModelConfig
from export.checkpoint.problem_types import MULTI, REGRESSION, SINGLE, outputs, scores_output
from export.publishing.ids_name import IDS, IDS_FOR, ask_by
from export.publishing.pins import LABELS_FILE, config_text, model_folder, read_config, replace_text
from export.publishing.staleness import MANIFEST

KEY = "signature"
# Outputs that come from another step than the model, and stay whatever the model is.
_TOKENIZERS = ("num_tokens", "num_windows", "truncated")


@dataclass(frozen=True)
class Signature:
    """labels is empty for versions that were published before manifests named them.

    checkpoint_sha256: of the checkpoint, by which a result that a server gave is traced to its weights.
    """

    problem_type: str = SINGLE
    labels: tuple[str, ...] = ()
    threshold: float = 0.5
    checkpoint_sha256: str = ""


def signature_of(config: ModelConfig) -> Signature:
    """The signature of a checkpoint's models."""
    return Signature(config.problem_type, config.labels, config.threshold)


def as_manifest(signature: Signature) -> dict[str, Any]:
    """What a model's manifest keeps of it."""
    kept = asdict(signature)
    del kept["checkpoint_sha256"]  # the manifest has it at its top
    return {KEY: kept}


def read_signature(version: Path) -> Signature:
    """The signature of a published version of a model, by the manifest in its folder."""
    try:
        manifest = json.loads((version / MANIFEST).read_text(encoding="utf-8"))
        kept, checkpoint = manifest[KEY], str(manifest.get("checkpoint_sha256", ""))
        return Signature(kept["problem_type"], tuple(kept["labels"]), kept["threshold"], checkpoint)
    except (OSError, ValueError, KeyError, TypeError):
        return Signature()


def described_text(path: Path, version: int) -> str:
    """An ensemble's config.pbtxt, pinned to `version` and promising what its model has there.

    An ensemble of the same problem type keeps its outputs, and one that was edited its comments.
    """
    config = read_config(path)
    describe_ensemble(path, config, version)
    return config_text(path, config)


def describe_ensemble(path: Path, config: model_config_pb2.ModelConfig, version: int) -> None:
    """Pin the configuration whose place is `path`, and have it promise what its model has in `version`.

    It asks for the ids of its model by name, if that version of the tokenizer knows the name.
    """
    signature = _served(path, config, version)
    config.version_policy.specific.versions[:] = [version]
    for each in config.ensemble_scheduling.step:
        each.model_version = version
    step = _model_step(config)
    for tokenizer in filter(_tokenizes, config.ensemble_scheduling.step):
        name = f"{IDS_FOR}{step.model_name}" if step else IDS
        ask_by(tokenizer, name if _knows(path, tokenizer, name) else IDS)
    if step and _problem_type(config) != signature.problem_type:
        _promise(config, signature, with_logits=False)
        _map_outputs(step, config)
    for output in config.output:
        if output.name == scores_output(signature.problem_type):
            output.label_filename = f"{version}/{LABELS_FILE}" if signature.labels else ""
    _set_parameters(config, signature)


def describe_model(config: model_config_pb2.ModelConfig, signature: Signature) -> bool:
    """Have a model's configuration promise the outputs of its problem type; False where it does already."""
    if not config.output or _promised(config) == signature.problem_type:
        return False
    _promise(config, signature, with_logits=True)
    return True


def label_lines(path: Path, version: int) -> str:
    """The content of labels.txt beside `version` of an ensemble; empty where no labels are known."""
    return _lines(_served(path, read_config(path), version).labels)


def complete_labels(repository: Path) -> None:
    """Write each labels.txt that a model's configuration names and that is not there: without it Triton does
    not load the model. Versions that were published before there was one have their newest's labels."""
    for config in repository.glob("*/config.pbtxt"):
        path = config.with_name(LABELS_FILE)
        if not path.exists() and f'"{LABELS_FILE}"' in config.read_text(encoding="utf-8"):
            durable.write_text(path, _lines(newest_signature(config.parent).labels))


def newest_signature(folder: Path) -> Signature:
    """The signature of the newest version in a model's folder."""
    numbers = [int(each.name) for each in folder.glob("[0-9]*") if each.name.isdecimal()]
    return read_signature(folder / str(max(numbers, default=0)))


def _lines(labels: Iterable[str]) -> str:
    """One label a line, for Triton."""
    return "".join(" ".join(label.split()) + "\n" for label in labels)


def _served(path: Path, config: model_config_pb2.ModelConfig, version: int) -> Signature:
    """What the model of an ensemble has in `version`."""
    step = _model_step(config)
    return read_signature(model_folder(path).parent / step.model_name / str(version)) if step else Signature()


def _knows(path: Path, tokenizer: Any, output: str) -> bool:
    """Whether a step's version of the tokenizer, and its configuration that goes with `path`, know an output.

    A version has a copy of the code that it was published with; one to come gets what is in the folder above.
    Somebody may have edited a configuration.
    """
    folder = model_folder(path).parent / tokenizer.model_name
    version, variant = folder / str(tokenizer.model_version), folder / "configs" / path.name
    code = (version if version.is_dir() else folder) / "model.py"
    config = variant if variant.exists() else folder / "config.pbtxt"
    if not (code.exists() and "ids_output(" in code.read_text(encoding="utf-8") and config.exists()):
        return False
    return output in {each.name for each in read_config(config).output}


def _model_step(config: model_config_pb2.ModelConfig) -> Any:
    steps = config.ensemble_scheduling.step
    return next((each for each in steps if not _tokenizes(each)), None)


@contextmanager
def described_models(repository: Path, names: Iterable[str], version: int) -> Iterator[None]:
    """Make the configurations of models `names` promise what `version` of them has; undone on failure.

    Versions of another problem type cannot stay loaded under it: they are retired.
    """
    written: dict[Path, str] = {}
    retired: list[tuple[Path, Path]] = []
    try:
        for folder in [repository / name for name in names]:
            if not (folder / str(version) / MANIFEST).is_file():
                continue
            signature = read_signature(folder / str(version))
            labels = folder / LABELS_FILE
            written[labels] = labels.read_text(encoding="utf-8") if labels.exists() else ""
            replace_text(labels, _lines(signature.labels))
            for path in sorted([*folder.glob("config.pbtxt"), *folder.glob("configs/*.pbtxt")]):
                config = read_config(path)
                if describe_model(config, signature):
                    written[path] = path.read_text(encoding="utf-8")
                    replace_text(path, config_text(path, config))
            retired += _retire_others(folder, signature)
        yield
    except BaseException:
        for path, text in written.items():
            replace_text(path, text)
        for live, aside in retired:
            durable.rename(aside, live)
        raise


def _retire_others(folder: Path, signature: Signature) -> Iterator[tuple[Path, Path]]:
    for live in [path for path in folder.glob("[0-9]*") if path.name.isdecimal()]:
        if read_signature(live).problem_type != signature.problem_type:
            aside = live.with_name(f".retired-{live.name}")
            durable.rename(live, aside)
            yield live, aside


def _promise(config: model_config_pb2.ModelConfig, signature: Signature, with_logits: bool) -> None:
    """Outputs of the problem type, then those of the tokenizer."""
    wanted = [each for each in outputs(signature.problem_type) if with_logits or each.name != "logits"]
    kept = [each for each in config.output if each.name in _TOKENIZERS]
    named = scores_output(signature.problem_type)
    fresh = [
        model_config_pb2.ModelOutput(
            name=each.name,
            data_type=model_config_pb2.DataType.Value(f"TYPE_{each.data_type}"),
            dims=[each.width or -1],
            label_filename=LABELS_FILE if with_logits and each.name == named else "",
        )
        for each in wanted
    ]
    together = [*fresh, *(model_config_pb2.ModelOutput.FromString(each.SerializeToString()) for each in kept)]
    del config.output[:]
    config.output.extend(together)


def _map_outputs(step: Any, config: model_config_pb2.ModelConfig) -> None:
    """The model's step gives every output of the ensemble that the tokenizer does not."""
    step.output_map.clear()
    for output in config.output:
        if output.name not in _TOKENIZERS:
            step.output_map[output.name] = output.name


def _promised(config: model_config_pb2.ModelConfig) -> str:
    """The problem type whose outputs a model's configuration has."""
    names = {each.name for each in config.output}
    return REGRESSION if "values" in names else MULTI if "labels" in names else SINGLE


def _tokenizes(step: Any) -> bool:
    return "num_tokens" in step.output_map


def _problem_type(config: model_config_pb2.ModelConfig) -> str:
    return config.parameters["problem_type"].string_value if "problem_type" in config.parameters else SINGLE


def _set_parameters(config: model_config_pb2.ModelConfig, signature: Signature) -> None:
    for key in ("problem_type", "labels", "threshold", "checkpoint_sha256"):
        config.parameters.pop(key, None)
    if not signature.labels and signature.problem_type == SINGLE:
        return
    values = {
        "problem_type": signature.problem_type,
        "labels": json.dumps(signature.labels, ensure_ascii=False),
    }
    if signature.problem_type == MULTI:
        values["threshold"] = str(signature.threshold)
    if signature.checkpoint_sha256:
        values["checkpoint_sha256"] = signature.checkpoint_sha256
    for key, value in values.items():
        config.parameters[key].string_value = value
