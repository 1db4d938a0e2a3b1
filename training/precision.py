"""bfloat16 products, on the machines that have them."""

from __future__ import annotations

import contextlib
from typing import Any

import torch


def has_bfloat16() -> bool:
    """Whether the device has bfloat16 products: newer CUDA devices, CPUs with AVX512-BF16."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.backends.cpu.get_cpu_capability() and torch.cpu._is_avx512_bf16_supported())


def autocast(device: torch.device, enabled: bool = True) -> contextlib.AbstractContextManager[Any]:
    """bfloat16 matrix products where the machine has them; weights and sums stay float32.

    Without the instructions bfloat16 is emulated, 70 times slower than float32 on an AVX2 machine.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled and has_bfloat16())
