"""The algebra of folding, on small arrays, against NoNorm written out."""

import numpy as np
import pytest

from export.graph.algebra import (
    SCALE_BOUNDS,
    Linear,
    Norm,
    Stream,
    Update,
    apply_norm,
    compose,
    read_stream,
    stack,
    update_stream,
)

WIDTH, INPUTS, TOKENS = 6, 4, 9


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def dense(random: np.random.Generator, outputs: int, inputs: int) -> Linear:
    return Linear(random.normal(size=(outputs, inputs)), random.normal(size=outputs))


def apply(layer: Linear, x: np.ndarray) -> np.ndarray:
    return x @ layer.weight.T + (0 if layer.bias is None else layer.bias)


def run(update: Update, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    return (u + x @ update.weight.T) * (1 if update.factor is None else update.factor)


def meaning(stream: Stream, u: np.ndarray) -> np.ndarray:
    return stream.scale * u + stream.offset


def test_reading_a_stream_is_reading_what_it_means(random: np.random.Generator) -> None:
    stream, u = (
        Stream(random.normal(size=WIDTH), random.normal(size=WIDTH)),
        random.normal(size=(TOKENS, WIDTH)),
    )
    layer = dense(random, 3, WIDTH)
    np.testing.assert_allclose(
        apply(read_stream(stream, layer), u), apply(layer, meaning(stream, u)), rtol=1e-12
    )


def test_a_chain_of_blocks_means_what_the_norms_say(random: np.random.Generator) -> None:
    u = random.normal(size=(TOKENS, WIDTH))
    stream = Stream(np.ones(WIDTH), np.zeros(WIDTH))
    h = u.copy()
    for _ in range(50):
        layer, norm = dense(random, WIDTH, INPUTS), Norm(random.normal(size=WIDTH), random.normal(size=WIDTH))
        x = random.normal(size=(TOKENS, INPUTS))
        h = norm.weight * (apply(layer, x) + h) + norm.bias
        update, stream = update_stream(stream, layer, norm)
        u = run(update, x, u)
        np.testing.assert_allclose(meaning(stream, u), h, rtol=1e-9, atol=1e-9)


def test_an_ordinary_block_is_one_product_and_one_sum(random: np.random.Generator) -> None:
    norm = Norm(np.full(WIDTH, 0.5), random.normal(size=WIDTH))
    update, _ = update_stream(Stream(np.ones(WIDTH), np.zeros(WIDTH)), dense(random, WIDTH, INPUTS), norm)
    assert update.factor is None


@pytest.mark.parametrize("weight", [0.0, 1e-30, -1e-9, SCALE_BOUNDS[0] / 2, SCALE_BOUNDS[1] * 2, 1e20])
def test_a_scale_that_vanishes_or_explodes_starts_afresh_behind_a_factor(
    weight: float, random: np.random.Generator
) -> None:
    norm = Norm(np.array([weight] + [1.5] * (WIDTH - 1)), random.normal(size=WIDTH))
    stream = Stream(np.ones(WIDTH), random.normal(size=WIDTH))
    layer, x, u = (
        dense(random, WIDTH, INPUTS),
        random.normal(size=(TOKENS, INPUTS)),
        random.normal(size=(TOKENS, WIDTH)),
    )
    update, after = update_stream(stream, layer, norm)
    assert update.factor is not None
    assert (after.scale == 1).all()
    wanted = norm.weight * (apply(layer, x) + meaning(stream, u)) + norm.bias
    np.testing.assert_allclose(meaning(after, run(update, x, u)), wanted, rtol=1e-12, atol=1e-12)


def test_two_products_compose_into_one(random: np.random.Generator) -> None:
    inner, outer, x = dense(random, 5, INPUTS), dense(random, 3, 5), random.normal(size=(TOKENS, INPUTS))
    np.testing.assert_allclose(apply(compose(outer, inner), x), apply(outer, apply(inner, x)), rtol=1e-10)


def test_a_norm_behind_a_product_folds_into_it(random: np.random.Generator) -> None:
    norm, layer = Norm(random.normal(size=3), random.normal(size=3)), dense(random, 3, INPUTS)
    x = random.normal(size=(TOKENS, INPUTS))
    np.testing.assert_allclose(apply(apply_norm(norm, layer), x), norm.weight * apply(layer, x) + norm.bias)


def test_stacked_products_give_their_results_side_by_side(random: np.random.Generator) -> None:
    parts, x = (
        [dense(random, 3, INPUTS), Linear(random.normal(size=(2, INPUTS)))],
        random.normal(size=(TOKENS, INPUTS)),
    )
    wanted = np.concatenate([apply(part, x) for part in parts], axis=1)
    np.testing.assert_allclose(apply(stack(parts), x), wanted, rtol=1e-12)
