"""What may wait, as the model's configuration says."""

from dataclasses import dataclass

from serving.onnxruntime_backend.settings import ConfigError, ModelSettings


@dataclass(frozen=True)
class QueueLimits:
    """So much may wait: `seconds` of work (parameter `max_queue_seconds`), `requests` (`max_queue_requests`),
    `nbytes` of inputs (`max_queue_bytes`). `timeout`: seconds for a request that names none
    (`default_timeout_seconds`). `background_share`: the part of the server that background work gets while
    other work waits."""

    seconds: float = 2.0
    requests: int = 4096
    nbytes: int = 64 << 20
    timeout: float = 60.0
    background_share: float = 0.1


def read_limits(settings: ModelSettings) -> QueueLimits:
    """The limits that the parameters set. Raises ConfigError."""
    default = QueueLimits()
    share = settings.positive("background_share", default.background_share)
    if share >= 1:
        raise ConfigError(f"{settings.name}: parameter 'background_share' must be less than 1, not {share}")
    return QueueLimits(
        seconds=settings.positive("max_queue_seconds", default.seconds),
        requests=int(settings.positive("max_queue_requests", default.requests)),
        nbytes=int(settings.positive("max_queue_bytes", default.nbytes)),
        timeout=settings.positive("default_timeout_seconds", default.timeout),
        background_share=share,
    )
