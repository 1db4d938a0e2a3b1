"""The plain export that most people serve: logits of a padded [batch, sequence] with an attention mask.

Exported by torch.onnx from transformers' model as it is; ONNX Runtime optimizes it when it loads.
"""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

import durable

OPSET = 18


class _LogitsOnly(nn.Module):
    """The exporter wants positional tensors in and tensors out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


def export_padded(checkpoint: Path, target: Path) -> Path:
    """Write the padded fp32 graph of ``checkpoint`` to ``target``.

    Inputs ``input_ids``, ``attention_mask`` INT64 [batch, sequence]; output ``logits`` FLOAT [batch, labels].
    """
    model = AutoModelForSequenceClassification.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="eager"
    )
    positions = model.config.max_position_embeddings
    example = torch.ones((2, 16), dtype=torch.int64)
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence", max=positions)}
    with durable.replacing(target) as beside, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _LogitsOnly(model.eval()),
            (example, torch.ones_like(example)),
            beside,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_shapes={"input_ids": free, "attention_mask": free},
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return target
