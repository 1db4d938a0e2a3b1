"""How a host is written. An IPv6 address stands in brackets in a URL, and has `ipv6:` in front for
tritonserver's HTTP server (libevhtp). A socket takes it as it is."""


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
