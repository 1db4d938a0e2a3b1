"""Whether there is a GPU. Without one, tritonserver is told not to use it, and logs fewer warnings."""

from pathlib import Path

WITHOUT_GPU = ("--pinned-memory-pool-byte-size=0", "--allow-gpu-metrics=false")


def has_gpu(devices: Path = Path("/dev")) -> bool:
    """Whether the NVIDIA driver offers a device."""
    return any(devices.glob("nvidia[0-9]*"))
