"""The algebra that removes MobileBERT's norms: every NoNorm is folded into the products beside it, exactly.

NoNorm is `y = w*x + b` per channel (MobileBERT, arXiv:2004.02984, section 3.3). A residual stream is kept as

    h = C*u + e          C, e: [width] constants known at export; u: what the graph computes

so that a block `h' = w*(D x + d + h) + b` becomes one matrix product with the residual as its addend,

    u' = (D/C) x + u     C' = w*C,  e' = w*(d + e) + b

and a reader of the stream, `W h + v`, becomes `(W*C) u + (W e + v)`. Everything is float64 until the graph is
written. Three more identities save work:

- A bottleneck and the query, key or value behind it are both linear, so they become one matrix.
- The key's bias shifts all scores of a query alike, which softmax ignores.
- Attention weights sum to 1, so the value's bias passes attention unchanged and folds into the next product.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Outside these bounds, a multiplication in the graph resets a stream's scale. float32's limits are far away.
SCALE_BOUNDS = (2.0**-20, 2.0**20)


@dataclass(frozen=True)
class Linear:
    """`y = weight @ x + bias`; weight [out, in], bias [out] or none."""

    weight: Array
    bias: Array | None = None


@dataclass(frozen=True)
class Norm:
    """NoNorm: `y = weight*x + bias`, both [width]."""

    weight: Array
    bias: Array


@dataclass(frozen=True)
class Stream:
    """What the graph's tensor u means: `h = scale*u + offset`, both [width]."""

    scale: Array
    offset: Array


@dataclass(frozen=True)
class Update:
    """`u' = factor * (weight @ x + u)`: a block's last product and its residual; factor: [width], seldom."""

    weight: Array
    factor: Array | None = None


def read_stream(stream: Stream, dense: Linear) -> Linear:
    """`W h + v` as a function of u: `(W*C) u + (W e + v)`."""
    return Linear(dense.weight * stream.scale, bias_of(dense) + dense.weight @ stream.offset)


def update_stream(stream: Stream, dense: Linear, norm: Norm) -> tuple[Update, Stream]:
    """`h' = w*(D x + d + h) + b` as `u' = u + (D/C) x` and the stream that u' belongs to.

    Where `C' = w*C` holds a (nearly) zero or huge entry, u' is multiplied by C' and the scale restarts at 1.
    """
    weight = dense.weight / stream.scale[:, None]
    after = Stream(norm.weight * stream.scale, norm.weight * (bias_of(dense) + stream.offset) + norm.bias)
    if _in_bounds(after.scale):
        return Update(weight), after
    return Update(weight, factor=after.scale), Stream(np.ones_like(after.scale), after.offset)


def compose(outer: Linear, inner: Linear) -> Linear:
    """`outer(inner(x))` as one product."""
    return Linear(outer.weight @ inner.weight, outer.weight @ bias_of(inner) + bias_of(outer))


def apply_norm(norm: Norm, dense: Linear) -> Linear:
    """`norm(dense(x))` as one product."""
    return Linear(norm.weight[:, None] * dense.weight, norm.weight * bias_of(dense) + norm.bias)


def stack(parts: list[Linear]) -> Linear:
    """Products of the same input, one below the other."""
    return Linear(np.concatenate([p.weight for p in parts]), np.concatenate([bias_of(p) for p in parts]))


def bias_of(dense: Linear) -> Array:
    """The bias, zeros where there is none."""
    return np.zeros(len(dense.weight)) if dense.bias is None else dense.bias


def _in_bounds(scale: Array) -> bool:
    low, high = SCALE_BOUNDS
    return bool(np.all((np.abs(scale) >= low) & (np.abs(scale) <= high)))
