"""What a request's parameters ask of the queue."""

import json
import math
from dataclasses import dataclass

from serving.onnxruntime_backend.merging import RequestError


@dataclass(frozen=True)
class Asked:
    """`timeout`: seconds until the answer is worth nothing."""

    background: bool = False
    timeout: float = math.inf


def read_parameters(parameters: str, timeout_us: int = 0) -> Asked:
    """Read a request's parameters (JSON) and KServe's `timeout` in microseconds, 0 for none.

    Triton passes `timeout` separately, but that of a client of `/generate` is among the parameters. Raises
    RequestError for a value that makes no sense.
    """
    if parameters in ("", "{}"):
        return Asked(timeout=timeout_us / 1e6 if timeout_us else math.inf)
    given = json.loads(parameters)
    background, timeout = given.get("background", False), timeout_us or given.get("timeout", math.inf)
    if not isinstance(background, bool):
        raise RequestError("parameter 'background' must be true or false")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise RequestError("parameter 'timeout' must be a number of microseconds above 0")
    return Asked(background, timeout / 1e6)
