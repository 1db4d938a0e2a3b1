"""Which machine the figures are from: named by its processor, never by its host name."""

import os
import platform
import re
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measure.hidden import is_hidden, without_hidden

VECTOR_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
PACKAGES = ("torch", "transformers", "onnx", "onnxruntime", "tritonclient", "numpy", "flask", "gunicorn")


def cpu_fields(cpuinfo: str) -> dict[str, str]:
    """The fields of the first processor in the text of /proc/cpuinfo."""
    first = cpuinfo.split("\n\n")[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def usable_cores() -> int:
    """Cores that this process may run on (its affinity)."""
    return len(os.sched_getaffinity(0))


def describe() -> dict[str, Any]:
    """Processor, vector instructions, cores, memory (GiB), system and library versions."""
    fields = cpu_fields(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    flags = set(fields.get("flags", "").split())
    cpu, vectors = (
        fields.get("model name", platform.machine()),
        [flag for flag in VECTOR_FLAGS if flag in flags],
    )
    if is_hidden():
        cpu, vectors = f"{cpu}, AVX-512 and VNNI hidden", without_hidden(vectors)
    return {
        "cpu": cpu,
        "cpu_family": fields.get("cpu family", "?"),
        "cpu_model": fields.get("model", "?"),
        "cores": usable_cores(),
        "vector_instructions": vectors,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]}, {'-'.join(platform.libc_ver())}",
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }


def instruction_set(vectors: Sequence[str]) -> str:
    """What the vector instructions mean for each precision, in a line."""
    widest = "AVX-512" if "avx512f" in vectors else "AVX2" if "avx2" in vectors else "no AVX2"
    bf16 = any("bf16" in each for each in vectors)
    return ", ".join(
        [
            widest,
            "int8 with VNNI" if has_vnni(vectors) else "int8 without VNNI (products in 16-bit steps)",
            "bf16 in hardware" if bf16 else "bf16 emulated in fp32",
        ]
    )


def has_vnni(vectors: Sequence[str]) -> bool:
    """Whether four 8-bit products are summed in one step, without a stop at 16 bits."""
    return any("vnni" in each or each == "amx_int8" for each in vectors)


def slug(machine: dict[str, Any]) -> str:
    """A folder name such as ``amd-epyc-family25-model17-2-cores``."""
    # Cloud machines hide the marketing name; family and model still tell the generation.
    cpu = re.sub(r"\(r\)|\(tm\)|processor|cpu|@.*", " ", machine["cpu"].lower())
    name = f"{cpu} family{machine['cpu_family']} model{machine['cpu_model']} {machine['cores']} cores"
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-")
