"""A host as each place wants it written: an IPv6 address goes in brackets into a URL, and as it is into a
socket; tritonserver's HTTP front (libevhtp) wants `ipv6:` before it."""


def is_ipv6(host: str) -> bool:
    """Whether the host is written as an IPv6 address; names and IPv4 addresses hold no colon."""
    return ":" in host


def with_port(host: str, port: int) -> str:
    """`127.0.0.1:8000`, or `[::1]:8000`."""
    return f"{in_url(host)}:{port}"


def in_url(host: str) -> str:
    """`127.0.0.1`, or `[::1]`."""
    return f"[{host}]" if is_ipv6(host) else host


def for_evhtp(host: str) -> str:
    """`127.0.0.1`, or `ipv6:::1`."""
    return f"ipv6:{host}" if is_ipv6(host) else host
