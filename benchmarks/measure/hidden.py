"""AVX-512 and VNNI hidden from ONNX Runtime for a while, on a processor that has them.

ONNX Runtime looks at the processor once, when its library is loaded, and no setting hides an instruction
set from it. So two jumps of that look are changed in the library's file: the one over the AVX-512 kernels
and the one over the AVX-VNNI kernels. (`MLAS_PLATFORM::MLAS_PLATFORM` in
onnxruntime/core/mlas/lib/platform.cpp.) What is left is what a processor with AVX2 alone runs.
"""

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import durable
from benchmarks.errors import BenchmarkError

LIBRARY = "capi/onnxruntime_pybind11_state*.so"
MARK = "avx512-and-vnni-are-hidden"
JE, JMP = b"\x74", b"\xeb"  # jump if the bit is not set; jump always
CHECKS = {
    # mov eax, 7; mov ecx, 1; cpuid; test al, 0x10; je
    "AVX-VNNI": bytes.fromhex("b807000000 b901000000 0fa2 a810"),
    # test r10d, 0x10000 (leaf 7's AVX512F); je
    "AVX-512": bytes.fromhex("41f7c200000100"),
}


@contextmanager
def hidden(packages: Iterable[Path]) -> Iterator[None]:
    """These `onnxruntime` packages are changed meanwhile, for processes that load them from now on.

    Raises BenchmarkError where a library does not look as that of version 1.32 for x86-64.
    """
    chosen = list(packages)
    try:
        for package in chosen:
            _turn(package, JE, JMP)
            (package / MARK).touch()
        yield
    finally:
        for package in chosen:
            _turn(package, JMP, JE)
            (package / MARK).unlink(missing_ok=True)


def _turn(package: Path, old: bytes, new: bytes) -> None:
    (library,) = package.glob(LIBRARY)
    code = library.read_bytes()
    for name, check in CHECKS.items():
        if code.count(check + old) + code.count(check + new) != 1:
            raise BenchmarkError(f"{library.name} does not look for {name} as that of onnxruntime 1.32 does")
        code = code.replace(check + old, check + new)
    durable.write_bytes(library, code)


def is_hidden() -> bool:
    """Whether this environment's ONNX Runtime is changed now."""
    found = importlib.util.find_spec("onnxruntime")
    return any(Path(folder, MARK).exists() for folder in (found and found.submodule_search_locations) or ())


def without_hidden(flags: Sequence[str]) -> list[str]:
    """The flags of a processor without AVX-512, VNNI, and what comes with them."""
    return [flag for flag in flags if not flag.startswith(("avx512", "amx")) and "vnni" not in flag]
