"""LoRA adapters: merged as PEFT merges them, from a base that lies here."""

import json
import shutil
from pathlib import Path
from typing import Any

import peft
import pytest
import torch

from export.checkpoint.reading import Checkpoint, checkpoint_hash, load_checkpoint
from export.errors import CheckpointError
from tests.export.kinds import same_weights
from tests.export.oracle import torch_model

ATTENTION = ["query", "value"]


def write_adapter(base: Path, folder: Path, name: str | None = None, **options: Any) -> dict[str, Any]:
    """Save an adapter with random factors; returns the weights that PEFT merges it to."""
    torch.manual_seed(1)
    config = peft.LoraConfig(**{"task_type": "SEQ_CLS", "r": 4, "target_modules": ATTENTION, **options})
    model = peft.get_peft_model(torch_model(base), config)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "lora" in key or "modules_to_save" in key:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    path = folder / "adapter_config.json"
    config_json = json.loads(path.read_text())
    path.write_text(json.dumps({**config_json, "base_model_name_or_path": name or str(base)}))
    return {key: each.numpy() for key, each in model.merge_and_unload().state_dict().items()}


def compare(checkpoint: Checkpoint, merged: dict[str, Any]) -> None:
    wanted = {name: merged[name] for name in checkpoint.weights}
    same_weights(dict(checkpoint.weights), wanted, tolerance=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lora_alpha": 32, "use_rslora": True},
        {"rank_pattern": {"query": 2}, "alpha_pattern": {"value": 3, "layer.1.attention.self.query": 64}},
        {"target_modules": "all-linear"},
        {"use_dora": True},
        {"bias": "all"},
        {"bias": "lora_only"},
        {"lora_bias": True},
        {"target_modules": ["word_embeddings", "key"]},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_an_adapter_gives_the_weights_that_peft_merges(
    options: dict[str, Any], small_checkpoint: Path, tmp_path: Path
) -> None:
    merged = write_adapter(small_checkpoint, tmp_path / "adapter", **options)
    checkpoint = load_checkpoint(tmp_path / "adapter")
    compare(checkpoint, merged)
    assert "LoRA adapter" in checkpoint.notes[0]
    plain = load_checkpoint(small_checkpoint)
    assert any((plain.weights[name] != each).any() for name, each in checkpoint.weights.items())
    assert checkpoint.config == plain.config
    assert checkpoint.tokenizer_json == plain.tokenizer_json


def test_the_base_is_found_beside_the_adapter_by_its_name(own_checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(own_checkpoint, tmp_path / "mobilebert-uncased")
    merged = write_adapter(own_checkpoint, tmp_path / "adapter", name="google/mobilebert-uncased")
    compare(load_checkpoint(tmp_path / "adapter"), merged)


def test_a_base_of_the_hub_is_refused_with_the_command_that_merges(
    own_checkpoint: Path, tmp_path: Path
) -> None:
    write_adapter(own_checkpoint, tmp_path / "adapter", name="someone/far-away")
    with pytest.raises(CheckpointError, match="merge_and_unload") as caught:
        load_checkpoint(tmp_path / "adapter")
    assert "someone/far-away" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_head_of_another_size_decides_how_many_labels_there_are(
    own_checkpoint: Path, tmp_path: Path
) -> None:
    merged = write_adapter(own_checkpoint, tmp_path / "adapter")
    path = own_checkpoint / "config.json"
    raw = {key: each for key, each in json.loads(path.read_text()).items() if key != "id2label"}
    path.write_text(json.dumps({**raw, "architectures": ["MobileBertForPreTraining"]}))
    checkpoint = load_checkpoint(tmp_path / "adapter")
    compare(checkpoint, merged)
    assert checkpoint.config.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert "id2label" in checkpoint.notes[-1]
    own = {**raw, "id2label": {"0": "a", "1": "b", "2": "c"}}
    (tmp_path / "adapter" / "config.json").write_text(json.dumps(own))
    assert load_checkpoint(tmp_path / "adapter").config.labels == ("a", "b", "c")


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_the_hash_knows_the_adapter_and_its_base(name: str, own_checkpoint: Path, tmp_path: Path) -> None:
    write_adapter(own_checkpoint, tmp_path / "adapter")
    before = checkpoint_hash(tmp_path / "adapter")
    for path in (tmp_path / "adapter" / name, own_checkpoint / "model.safetensors"):
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        assert checkpoint_hash(tmp_path / "adapter") != before
        path.write_bytes(content)


def test_adapters_of_other_kinds_are_refused_by_name(own_checkpoint: Path, tmp_path: Path) -> None:
    write_adapter(own_checkpoint, tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "peft_type": "PROMPT_TUNING"}))
    with pytest.raises(CheckpointError, match="PROMPT_TUNING"):
        load_checkpoint(tmp_path / "adapter")


def test_an_adapter_of_another_model_is_refused(own_checkpoint: Path, tmp_path: Path) -> None:
    write_adapter(own_checkpoint, tmp_path / "adapter", target_modules="all-linear")
    raw = json.loads((own_checkpoint / "config.json").read_text())
    (own_checkpoint / "config.json").write_text(json.dumps({**raw, "num_hidden_layers": 1}))
    weights = {k: v for k, v in torch_model(own_checkpoint).state_dict().items() if "layer.1." not in k}
    from safetensors.torch import save_file

    save_file(weights, own_checkpoint / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"layer\.1.* no such module"):
        load_checkpoint(tmp_path / "adapter")


def test_missing_weights_of_an_adapter_are_named(own_checkpoint: Path, tmp_path: Path) -> None:
    write_adapter(own_checkpoint, tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors is missing"):
        load_checkpoint(tmp_path / "adapter")
