from dataclasses import asdict

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import MobileBertConfig, MobileBertModel

from benchmarks.measure.flops import Shape, linear_flops_per_token, text_flops

SMALL = Shape(
    hidden_size=96,
    embedding_size=32,
    intra_bottleneck_size=48,
    intermediate_size=80,
    num_hidden_layers=3,
    num_feedforward_networks=2,
)
PUBLIC = Shape(512, 128, 128, 512, 24, 4)


def flops_counted_by_torch(shape: Shape, tokens: int) -> int:
    config = MobileBertConfig(
        **asdict(shape), true_hidden_size=shape.intra_bottleneck_size, num_attention_heads=4, vocab_size=100
    )
    model = MobileBertModel(config, add_pooling_layer=False).eval()
    model.set_attn_implementation("eager")
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(input_ids=torch.ones((1, tokens), dtype=torch.long))
    return counter.get_total_flops()


@pytest.mark.parametrize("tokens", [1, 7, 64])
def test_flops_are_those_that_torch_counts(tokens: int) -> None:
    assert text_flops(SMALL, tokens) == flops_counted_by_torch(SMALL, tokens)


def test_public_model_costs_about_forty_megaflop_a_token() -> None:
    assert linear_flops_per_token(PUBLIC) == pytest.approx(40.5e6, rel=0.01)


def test_shape_is_read_from_a_checkpoint(tmp_path) -> None:
    MobileBertConfig(num_hidden_layers=5).save_pretrained(tmp_path)
    assert Shape.of_checkpoint(tmp_path) == Shape(512, 128, 128, 512, 5, 4)
