"""No room on a disk, a disk that cannot be written, little shared memory: it works, or says so in one line.

The file systems are mounted in a mount namespace of the server's own (`unshare -m`).
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as grpcclient

from serving.runtime import CACHE
from tests.reliability.launched import launched, serving

BATCH = 64
LONG = "a good film " * 170  # the model reads 512 tokens of it


@pytest.fixture(autouse=True)
def namespaces() -> None:
    """Skips where the system does not let this user mount."""
    mounted = [*unshared("mount -t tmpfs tmpfs /mnt"), "true"]
    if shutil.which("unshare") is None or subprocess.run(mounted, capture_output=True).returncode:
        pytest.skip("this user may not mount in a namespace of its own")


def unshared(mount: str) -> list[str]:
    """A command's first words: it runs with that mount."""
    return ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"]


def refused(mount: str, repository: Path) -> str:
    """The one line with which it ends."""
    command = [*unshared(mount), *serving(repository, "--http-port", "0", "--grpc-port", "0")]
    with launched(command) as server:
        _, log = server.process.communicate(timeout=120)
    assert server.process.returncode == 1
    assert len(log.splitlines()) == 1, log
    return log


def test_a_full_disk_under_the_cache_is_one_line(published_repository: Path) -> None:
    line = refused(f"mount -t tmpfs -o size=64k tmpfs {CACHE}", published_repository)
    assert "cannot assemble the server's runtime" in line
    assert "No space left on device" in line


def test_an_empty_cache_that_cannot_be_written_is_one_line(published_repository: Path) -> None:
    line = refused(f"mount -t tmpfs -o ro tmpfs {CACHE}", published_repository)
    assert "cannot assemble the server's runtime" in line
    assert "Read-only file system" in line


@pytest.mark.parametrize(
    "mount",
    [
        f"mount --bind {CACHE} {CACHE} && mount -o remount,bind,ro {CACHE}",
        "mount -t tmpfs -o size=64m tmpfs /dev/shm",
    ],
    ids=["read-only .cache", "64 MiB of /dev/shm"],
)
def test_it_works_under_the_largest_requests(published_repository: Path, mount: str) -> None:
    assert CACHE.is_dir(), "another test's server has assembled the runtime"
    with launched([*unshared(mount), *serving(published_repository)]) as server:
        printed = server.wait_until_ready()
        assert "Triton is ready" in printed, printed + server.process.communicate()[1]
        with grpcclient.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
            alone = probabilities(client, 1)
            for _ in range(3):
                np.testing.assert_allclose(
                    probabilities(client, BATCH), np.repeat(alone, BATCH, axis=0), atol=1e-4
                )


def probabilities(client: grpcclient.InferenceServerClient, rows: int) -> np.ndarray:
    text = grpcclient.InferInput("text", [rows, 1], "BYTES")
    text.set_data_from_numpy(np.array([[LONG.encode()]] * rows, dtype=object))
    return client.infer("sentiment", [text], client_timeout=300).as_numpy("probabilities")
