"""The profile of a run against what is counted by hand."""

import pytest

from benchmarks.measure.flops import Shape, linear_flops_per_token
from benchmarks.products import PRODUCTS, operations, profile, time_by_operator
from export.checkpoint.reading import load_checkpoint
from export.precision.fp32 import build_fp32
from export.precision.int8 import build_int8


def test_operations_are_counted_from_the_profiles_shapes() -> None:
    shapes = {
        "input_type_shape": [{"uint8": [1, 7, 32]}, {"float": []}],
        "output_type_shape": [{"uint8": [1, 7, 8]}],
    }
    assert operations({"args": shapes}) == 2 * 7 * 32 * 8


@pytest.mark.parametrize("build", [build_fp32, build_int8])
def test_a_run_does_no_more_products_than_the_model_needs(tiny_checkpoint, build) -> None:
    runs, tokens = 3, 50
    events = profile(build(load_checkpoint(tiny_checkpoint)), [tokens], runs)
    assert all(seconds > 0 for seconds in time_by_operator(events).values())
    found = sum(operations(event) for event in events if event["args"]["op_name"] in PRODUCTS)
    # The last layer works on first tokens; folded products leave a fifth of the arithmetic out.
    whole = runs * tokens * linear_flops_per_token(Shape.of_checkpoint(tiny_checkpoint))
    assert 0.3 * whole < found < whole
