"""A MobileBERT of any depth with seeded random weights: for speed only, its labels mean nothing.

The public model has 24 layers. Speed depends on the shapes and not on the weights, so its published figures
can be compared without it. The weights must still behave: fan-in initialisation keeps every layer's output
near its input's size, and the classifier reads the direction in which texts differ most, so that labels are
stable under rounding and the export's checks can hold them against torch.
"""

import hashlib
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import MobileBertConfig, MobileBertForSequenceClassification

from benchmarks.load.texts import POSITIONS
from training.golden import golden_texts, write_golden
from training.ranges import measure_ranges, write_ranges

RESIDUAL_GAIN = 0.2
MARGIN = 3.0
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json")
_RANGE_TEXTS = 12


def make_random_checkpoint(like: Path, folder: Path, layers: int = 24, seed: int = 0) -> Path:
    """Write a checkpoint with the tokenizer, sizes and labels of ``like``, unless it is there already.

    Also writes golden.jsonl and activation_ranges.safetensors, as training does.
    """
    mark = folder / "made-from.txt"
    source = _fingerprint(like, layers, seed)
    if mark.is_file() and mark.read_text(encoding="utf-8") == source:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in filter(lambda name: (like / name).is_file(), _TOKENIZER_FILES):
        shutil.copy(like / name, folder)
    model = build_model(MobileBertConfig.from_pretrained(like, num_hidden_layers=layers), seed)
    ids = _golden_ids(folder)
    aim_classifier(model, ids)
    model.save_pretrained(folder)
    write_golden(folder)
    write_ranges(folder, *measure_ranges(model, ids[:_RANGE_TEXTS]))
    mark.write_text(source, encoding="utf-8")
    return folder


@torch.no_grad()
def build_model(config: MobileBertConfig, seed: int) -> MobileBertForSequenceClassification:
    """Weights from N(0, 1 / inputs); those that write to a residual stream are damped by RESIDUAL_GAIN."""
    model = MobileBertForSequenceClassification(config).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            gain = RESIDUAL_GAIN if "output" in name else 1.0
            module.weight.normal_(0, gain / math.sqrt(module.in_features), generator=generator)
            module.bias.normal_(0, 0.02, generator=generator)
        elif isinstance(module, nn.Embedding):
            module.weight.normal_(0, 1, generator=generator)
            if module.padding_idx is not None:
                module.weight[module.padding_idx] = 0
    return model


@torch.no_grad()
def aim_classifier(model: MobileBertForSequenceClassification, texts: Sequence[Sequence[int]]) -> None:
    """Read the first principal component of the texts' first-token outputs, and cut in its widest gap."""
    pooled = torch.cat([model.mobilebert(input_ids=torch.tensor([list(ids)])).pooler_output for ids in texts])
    direction = torch.linalg.svd(pooled - pooled.mean(0), full_matrices=False).Vh[0]
    direction *= MARGIN / 2 / (pooled @ direction).std()
    sides = torch.linspace(-1, 1, model.classifier.out_features)
    model.classifier.weight.copy_(sides.unsqueeze(1) * direction)
    model.classifier.bias.copy_(-sides * widest_gap(pooled @ direction))


def widest_gap(values: Tensor) -> float:
    """The middle of the widest gap between neighbours, among the middle half of the sorted values [n]."""
    ordered = values.sort().values
    middle = ordered[len(ordered) // 4 : -(len(ordered) // 4)]
    widest = int(middle.diff().argmax())
    return float(middle[widest : widest + 2].mean())


def _golden_ids(folder: Path) -> list[list[int]]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [item["text"] for item in golden_texts()]
    return [tokenizer(text, truncation=True, max_length=POSITIONS)["input_ids"] for text in texts]


def _fingerprint(like: Path, layers: int, seed: int) -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for name in ("config.json", "tokenizer.json"):
        digest.update((like / name).read_bytes())
    return f"{digest.hexdigest()} layers={layers} seed={seed}"
