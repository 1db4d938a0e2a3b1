"""A command on this machine, as if it had AVX2 alone: `python -m benchmarks.without_avx512 make bench`.

AVX-512 and VNNI are hidden from ONNX Runtime (`benchmarks.measure.hidden`) in all environments of this
checkout while the command runs, and from torch by its own settings. The kernels are those of an AVX2
processor. Caches and clock stay this machine's.
"""

import os
import shutil
import subprocess
from typing import Annotated

import typer

from benchmarks.errors import BenchmarkError, one_line_errors
from benchmarks.measure.hidden import hidden
from benchmarks.paths import ROOT

# https://uxlfoundation.github.io/oneDNN/dev_guide_cpu_dispatcher_control.html
# https://docs.pytorch.org/docs/stable/generated/torch.backends.cpu.get_cpu_capability.html
TORCH = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


def main(
    command: Annotated[list[str], typer.Argument(help="Write -- before its own options.")],
) -> None:
    """Run the command; its exit status is this one's."""
    with one_line_errors("interrupted"):
        packages = sorted(ROOT.glob(".venv/*/lib/python3*/site-packages/onnxruntime"))
        if shutil.which(command[0]) is None:
            raise BenchmarkError(f"no program is called {command[0]}")
        if not packages:
            raise BenchmarkError("no environment of this checkout has onnxruntime: run `make test` once")
        with hidden(packages):
            done = subprocess.run(command, env=os.environ | TORCH, check=False)
    raise typer.Exit(done.returncode)


if __name__ == "__main__":
    typer.run(main)
