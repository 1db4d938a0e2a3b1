"""Tells a Triton server in explicit model control mode to load what was published.

Over gRPC: Triton's HTTP server loads in a thread that other connections share, and those would stall.
"""

from collections.abc import Collection

from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from export.errors import PublishError

_TIMEOUT_SECONDS = 600.0
_KEY_ADVICE = "; start the server with ADMIN_KEY set, and set the same ADMIN_KEY here"


class ExplicitServer:
    """A server whose gRPC endpoint is `address`, such as 127.0.0.1:8001, in --model-control-mode=explicit.

    `admin_key` is the one that the server was started with: whoever may load models may run any code there.
    """

    def __init__(self, address: str, admin_key: str = "") -> None:
        self._address = address.removeprefix("grpc://")
        self._headers = {"triton-grpc-protocol-admin-key": admin_key} if admin_key else None
        self._served: set[str] = set()

    def load(self, models: Collection[str]) -> None:
        """Load all versions of those of `models` that the server serves, and wait until they are ready.

        An ensemble that lost a step since the first call, because that has another problem type, counts, too.

        Raises:
            PublishError: the server cannot be reached, or it refuses.
        """
        try:
            with InferenceServerClient(self._address) as client:
                index = client.get_model_repository_index(
                    self._headers, client_timeout=_TIMEOUT_SECONDS
                ).models
                self._served |= {entry.name for entry in index if entry.state == "READY"}
                for name in sorted(self._served & set(models)):
                    client.load_model(name, self._headers, client_timeout=_TIMEOUT_SECONDS)
        except (InferenceServerException, ValueError) as error:
            advice = _KEY_ADVICE if "restricted" in str(error) else ""
            raise PublishError(
                f"the server at {self._address} did not load the version: {error}{advice}"
            ) from error
