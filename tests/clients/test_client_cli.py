"""`python -m clients` as a user runs it: a process of its own, against the real Triton."""

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

from clients.printing import printable
from serving.launcher import TritonServer
from tests.clients.fakes import free_port

COMMAND = [sys.executable, "-m", "clients"]


def run(*arguments: str, stdin: str | bytes = b"") -> subprocess.CompletedProcess[str]:
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run([*COMMAND, *arguments], input=data, capture_output=True, timeout=120)
    return subprocess.CompletedProcess(arguments, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def url(server: TritonServer) -> str:
    return server.http_url


def test_texts_are_answered_in_order(url):
    done = run("Great film", "Bad 😀", "--url", url)
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert [line.split(maxsplit=2)[2] for line in lines] == ["Great film", "Bad 😀"]
    assert all(line.split()[0] in ("negative", "positive") for line in lines)
    assert all(0.5 <= float(line.split()[1]) <= 1.0 for line in lines)


def test_both_protocols_print_the_same(server: TritonServer):
    over_http = run("Great film", "Bad", "--url", server.http_url)
    over_grpc = run("Great film", "Bad", "--url", server.grpc_url, "--protocol", "grpc")
    assert over_http.stdout == over_grpc.stdout


def test_lines_of_standard_input_become_json_lines(url):
    texts = [f"film {number}" for number in range(700)] + ["", "Отличный фильм", "tab\tinside"]
    done = run("-", "--json", "--url", url, stdin="\n".join(texts) + "\n")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [answer["text"] for answer in answers] == texts
    assert set(answers[0]) == {
        *("text", "label", "score", "probabilities"),
        *("num_tokens", "truncated", "num_windows"),
    }


def test_line_that_is_not_utf8_costs_only_itself(url):
    done = run("-", "--json", "--url", url, stdin=b"good\nbad \xff byte\nfine\n")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [("label" in answer, "error" in answer) for answer in answers] == [(1, 0), (0, 1), (1, 0)]
    assert done.returncode == 1
    assert "1 text(s) refused" in done.stderr


def test_line_buffered_answers_before_the_input_ends(url):
    command = [*COMMAND, "-", "--line-buffered", "--url", url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for text in ("first", "second"):
            process.stdin.write(f"{text}\n")
            process.stdin.flush()
            assert process.stdout.readline().rstrip().endswith(text)
        process.stdin.close()
        assert process.wait(30) == 0


def test_reader_that_leaves_early_is_no_error(url):
    command = [*COMMAND, "-", "--url", url]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        process.stdin.write(b"a film\n" * 5)
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 141


def test_interrupt_ends_with_one_line_and_its_own_exit_code(url):
    command = [*COMMAND, "-", "--json", "--url", url]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdin.write(b"a film\n" * 2000)
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == b"error: interrupted\n"


def test_interrupt_does_not_wait_for_a_reader_that_stalls(url):
    command = [*COMMAND, "-", "--json", "--url", url]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdin.write(b"a film\n" * 4000)
        process.stdin.flush()
        wait_until_full(process.stdout.fileno())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


def wait_until_full(pipe):
    """Until the writer of this pipe must be waiting for its reader."""
    capacity = fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)
    deadline = time.monotonic() + 60
    while True:
        (unread,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))
        if unread > capacity - 8192:
            return
        assert time.monotonic() < deadline, f"only {unread} bytes came"
        time.sleep(0.05)


def test_missing_server_is_one_line_with_the_remedy():
    done = run("Great film", "--url", f"127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "make serve" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        ((), 2, "Missing argument"),
        (("a", "-"), 2, "stands alone"),
        (("a", "--protocol", "smtp"), 2, "smtp"),
        (("a", "--timeout", "-1"), 1, "timeout must be positive"),
        (("a", "--url", "ftp://host"), 1, "does not fit"),
    ],
)
def test_wrong_usage_is_explained(arguments, code, reason):
    done = run(*arguments)
    assert done.returncode == code
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_model_is_one_line(url):
    done = run("a", "--url", url, "--model", "nosuch")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "serves no model 'nosuch'" in done.stderr


def test_terminal_gets_a_table_without_markup_or_control_characters(url):
    main, other = os.openpty()
    command = [*COMMAND, "[red]brackets[/red] \x1b[31mred", "--url", url]
    with subprocess.Popen(
        command, stdout=other, stderr=other, env={**os.environ, "COLUMNS": "200"}
    ) as process:
        process.wait(60)
    os.close(other)
    shown = os.read(main, 65536).decode()
    os.close(main)
    assert "score" in shown
    assert "[red]brackets[/red]  [31mred" in shown


def test_printable_keeps_letters_and_drops_what_steers_a_terminal():
    assert printable("née 漢字 😀\x1b[2J\r\nx\x07") == "née 漢字 😀 [2J  x "
