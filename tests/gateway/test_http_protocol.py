"""An answer's head and body arrive together. The kernel counts the segments (tcp(7), linux/tcp.h)."""

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse

import httpx
import pytest

SEGMENTS_WITH_DATA = slice(152, 156)  # of struct tcp_info: tcpi_data_segs_in
BODY = json.dumps({"text": "A warm, funny and clever film."})
POST = "POST /v1/classify HTTP/1.1\r\nHost: x\r\n"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def connection(api: httpx.Client) -> Iterator[HTTPConnection]:
    host, port = api.base_url.host, api.base_url.port
    with closing(HTTPConnection(host, port, timeout=30)) as made:
        made.connect()
        yield made


def segments(connection: socket.socket) -> int:
    """How many segments with data have come in on this connection."""
    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return struct.unpack("I", told[SEGMENTS_WITH_DATA])[0]


def read(connection: socket.socket, method: str = "GET") -> HTTPResponse:
    """The next answer; its body is read."""
    answer = HTTPResponse(connection, method=method)
    answer.begin()
    answer.body = answer.read()
    return answer


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/classify", BODY, 200),
        ("POST", "/v1/classify", "{", 400),
        ("GET", "/v1/models", None, 200),
        ("GET", "/nowhere", None, 404),
        ("HEAD", "/", None, 200),
    ],
)
def test_an_answer_is_one_segment(
    connection: HTTPConnection, method: str, path: str, body: str | None, status: int
) -> None:
    for number in (1, 2, 3):  # the connection is kept
        connection.request(method, path, body, JSON)
        answer = connection.getresponse()
        content = answer.read()
        assert (answer.status, bool(content)) == (status, method != "HEAD")
        assert segments(connection.sock) == number


def test_a_client_that_asks_first_is_told_to_go_on(connection: HTTPConnection) -> None:
    head = f"{POST}Expect: 100-continue\r\nContent-Length: {len(BODY)}\r\n\r\n"
    connection.sock.sendall(head.encode())
    assert connection.sock.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sock.sendall(BODY.encode())
    answer = read(connection.sock)
    assert (answer.status, json.loads(answer.body)[0]["index"]) == (200, 0)


def test_answers_to_requests_that_were_sent_at_once_come_in_order(connection: HTTPConnection) -> None:
    requests = "".join(
        f"{POST}X-Request-ID: {name}\r\nContent-Length: {len(BODY)}\r\n"
        f"{'Connection: close' if name == 'last' else 'X-Nothing: 1'}\r\n\r\n{BODY}"
        for name in ("first", "second", "last")
    )
    connection.sock.sendall(requests.encode())
    everything = b"".join(iter(lambda: connection.sock.recv(65_536), b""))  # until the server closes
    answers = everything.split(b"HTTP/1.1 200 OK\r\n")[1:]
    heads, bodies = zip(*(answer.split(b"\r\n\r\n") for answer in answers), strict=True)
    names = [line for head in heads for line in head.split(b"\r\n") if line.startswith(b"x-request-id")]
    assert names == [b"x-request-id: first", b"x-request-id: second", b"x-request-id: last"]
    assert len({bytes(body) for body in bodies}) == 1
    assert json.loads(bodies[0])[0]["label"] == "positive"
