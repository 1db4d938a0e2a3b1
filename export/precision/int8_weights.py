"""Symmetric 8-bit weights, one scale a row, that no x86 processor can overflow.

Processors without VNNI add the products of two neighbouring inputs in 16 bits and saturate there (the
instruction is vpmaddubsw): with inputs up to 255, the weights of a pair may add up to 128 on either side of
zero. Scales are chosen so that every pair stays within that. It costs some 0.4 bits of resolution; the usual
remedy, 7-bit weights, costs a whole bit. Every processor then computes the same product.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.graph.algebra import Array

MAX_CODE = 127
MAX_BIAS = 2**30
TINY = 1e-30


@dataclass(frozen=True)
class Codes:
    """`weight ~ codes * scales[:, None]`; bias in steps of the product, input scale times `scales`."""

    codes: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: NDArray[np.int32]


def quantize_weight(weight: Array, bias: Array, input_scale: float) -> Codes:
    """Round `weight` [out, in] to 8 bits with a scale for each of its rows.

    `bias` [out] becomes a 32-bit multiple of `input_scale * scales`; scales do not fall below what it needs.
    """
    least = np.abs(bias) / (float(input_scale) * MAX_BIAS)
    scales = np.maximum(pair_peaks(weight) / MAX_CODE, np.maximum(least, TINY)).astype(np.float32)
    codes = np.clip(np.rint(weight / scales[:, None]), -MAX_CODE, MAX_CODE)
    steps = np.rint(bias / (scales.astype(np.float64) * float(input_scale)))
    return Codes(codes.astype(np.int8), scales, steps.astype(np.int32))


def pair_peaks(weight: Array) -> Array:
    """[out]: the largest magnitude that inputs 2k and 2k+1 of a row add up to, or one of them alone."""
    outputs, inputs = weight.shape
    pairs = np.pad(weight, ((0, 0), (0, inputs % 2))).reshape(outputs, -1, 2)
    above, below = np.maximum(pairs, 0).sum(2), np.maximum(-pairs, 0).sum(2)
    return np.maximum(above, below).max(1)
