"""How much a client sends at once, and how long it waits."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """One place for every limit of a client.

    timeout: seconds that one attempt at a request may take.
    deadline: seconds from the start of a request, the wait for its place included, after which no further
        attempt starts; 0 turns retries off.
    batch_size: texts in a request; None reads the model's max_batch_size from the server.
    batch_bytes: UTF-8 bytes of text in a request, unless a single text has more. The default is some 4,000
        tokens. The server merges requests by itself, so larger ones gain little, and their short texts
        wait for the long ones.
    max_in_flight: requests on their way at the same time, over all threads or tasks that use the client. A
        request that waits to be tried again is not on its way.
    window: texts that bulk scoring holds while it sorts them by length; at most three windows are in memory.
    window_seconds: how long the first text of a window waits for others where the source is slow.
    """

    timeout: float = 60.0
    deadline: float = 120.0
    batch_size: int | None = None
    batch_bytes: int = 16_384
    max_in_flight: int = 8
    window: int = 512
    window_seconds: float = 0.05

    def __post_init__(self) -> None:
        for name in ("timeout", "batch_bytes", "max_in_flight", "window"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        for name in ("deadline", "window_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, and is {getattr(self, name)}")
        if self.batch_size is not None and self.batch_size <= 0:
            raise ValueError(f"batch_size must be positive or None, not {self.batch_size}")
