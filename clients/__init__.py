"""Classify texts on a Triton server, over HTTP or gRPC, from threads or from asyncio.

Typical use:

    from clients import SentimentClient

    with SentimentClient("127.0.0.1:8000") as client:
        for sentiment in client.classify(["Great film", "Dull, badly acted and far too long"]):
            print(sentiment.label, f"{sentiment.score:.2f}")
"""

from .async_client import AsyncSentimentClient
from .client import SentimentClient
from .errors import (
    InvalidText,
    ModelNotFound,
    RequestTimeout,
    SentimentError,
    ServerBusy,
    ServerError,
    ServerUnavailable,
    UnsuitableModel,
)
from .limits import Limits
from .sentiment import Sentiment
from .tasks import Task, TaskClient, TaskFailed, TaskResult, TaskStatus

__all__ = [
    "AsyncSentimentClient",
    "InvalidText",
    "Limits",
    "ModelNotFound",
    "RequestTimeout",
    "Sentiment",
    "SentimentClient",
    "SentimentError",
    "ServerBusy",
    "ServerError",
    "ServerUnavailable",
    "Task",
    "TaskClient",
    "TaskFailed",
    "TaskResult",
    "TaskStatus",
    "UnsuitableModel",
]
