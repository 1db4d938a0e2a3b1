"""Why the gateway can't start."""


class GatewayError(RuntimeError):
    """A setting or a file is wrong. The message is one line and says what to do."""
