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
        ("[::1]:8000", "http", "http://[::1]:8000"),
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
        ("myhost", "smtp", "'http' or 'grpc'"),
    ],
)
def test_url_that_cannot_work_is_refused(url, protocol, reason):
    with pytest.raises(ValueError, match=reason):
        parse_endpoint(url, protocol)
