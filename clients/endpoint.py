"""Where the server listens: one spelling out of the many that people use."""

from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import urlsplit

Protocol = Literal["http", "grpc"]

DEFAULT_PORTS: dict[Protocol, int] = {"http": 8000, "grpc": 8001}
TLS_SCHEMES = {"https", "grpcs"}
SCHEMES: dict[Protocol, set[str]] = {"http": {"http", "https"}, "grpc": {"grpc", "grpcs", "http", "https"}}


@dataclass(frozen=True)
class Endpoint:
    """protocol, address ("host:port", for HTTP with an optional base path) and whether it speaks TLS."""

    protocol: Protocol
    address: str
    tls: bool

    def __str__(self) -> str:
        scheme = self.protocol + ("s" if self.tls else "")
        return f"{scheme}://{self.address}"


def parse_endpoint(url: str | None, protocol: Protocol) -> Endpoint:
    """Reads "host", "host:port" or "scheme://host:port/path"; None means this machine's default port.

    Raises ValueError when the protocol is unknown or the URL does not fit it.
    """
    if protocol not in get_args(Protocol):
        raise ValueError(f"protocol must be 'http' or 'grpc', not {protocol!r}")
    url = url or "127.0.0.1"
    if url.rpartition("@")[2].count(":") - ("://" in url) > 1 and "[" not in url:
        # Without brackets ::1:8000 may be a host with a port or one long address.
        raise ValueError(f"{url!r} has an IPv6 host without brackets; write it as [::1]:8000")
    parts = urlsplit(url if "://" in url else f"//{url}")
    if parts.scheme and parts.scheme not in SCHEMES[protocol]:
        raise ValueError(f"{url!r} does not fit protocol {protocol!r}")
    tls = parts.scheme in TLS_SCHEMES
    return Endpoint(protocol, _address(url, protocol, tls), tls)


def _address(url: str, protocol: Protocol, tls: bool) -> str:
    parts = urlsplit(url if "://" in url else f"//{url}")
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} has no valid port: {error}") from None
    if not parts.hostname:
        raise ValueError(f"{url!r} names no host; write it as 127.0.0.1:{DEFAULT_PORTS[protocol]}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = parts.path.rstrip("/") if protocol == "http" else ""
    return f"{host}:{port or (443 if tls else DEFAULT_PORTS[protocol])}{path}"
