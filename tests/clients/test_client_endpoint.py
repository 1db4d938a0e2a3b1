import pytest

from clients.endpoint import parse_endpoint


@pytest.mark.parametrize(
    ("url", "protocol", "shown"),
    [
        (None, "http", "http://127.0.0.1:8000"),
        (None, "grpc", "grpc://127.0.0.1:8001"),
        ("myhost", "http", "http://myhost:8000"),
        ("myhost:9000", "grpc", "grpc://myhost:9000"),
        ("http://myhost:9000/", "http", "http://myhost:9000"),
        ("https://myhost/triton/", "http", "https://myhost:443/triton"),
        ("grpcs://myhost", "grpc", "grpcs://myhost:443"),
        ("[::1]:9000", "http", "http://[::1]:9000"),
        ("http://[::1]:9000", "http", "http://[::1]:9000"),
        ("grpcs://[fe80::2:1]", "grpc", "grpcs://[fe80::2:1]:443"),
        ("[2001:db8::7]", "grpc", "grpc://[2001:db8::7]:8001"),
    ],
)
def test_url_is_read_however_it_is_spelled(url, protocol, shown):
    assert str(parse_endpoint(url, protocol)) == shown


@pytest.mark.parametrize(
    ("url", "protocol", "reason"),
    [
        ("grpc://myhost", "http", "does not fit"),
        ("ftp://myhost", "http", "does not fit"),
        ("myhost:port", "http", "no valid port"),
        ("myhost:99999", "grpc", "no valid port"),
        ("http://", "http", "no host"),
        ("http://::1:8000", "http", r"write it as \[::1\]:8000"),
        ("::1", "grpc", r"write it as \[::1\]:8000"),
        ("http://[::1:8000", "http", "Invalid IPv6"),
        ("myhost", "smtp", "'http' or 'grpc'"),
    ],
)
def test_url_that_cannot_work_is_refused(url, protocol, reason):
    with pytest.raises(ValueError, match=reason):
        parse_endpoint(url, protocol)
