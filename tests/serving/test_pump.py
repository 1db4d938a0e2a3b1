"""A child's output is drained whatever becomes of the place where it is shown."""

import subprocess
import sys

import pytest

from serving.pump import HeldLines, pump

CHATTY = "for n in range(20_000): print(n, 'x' * 50)"  # a megabyte: more than a pipe holds


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), ValueError("I/O on closed file")])
def test_a_child_ends_although_its_sink_is_broken(error: Exception) -> None:
    def broken(line: str) -> None:
        raise error

    with subprocess.Popen([sys.executable, "-c", CHATTY], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        thread = pump(child.stdout, broken)
        assert child.wait(timeout=60) == 0
        thread.join(timeout=60)
        assert not thread.is_alive()


def test_lines_that_a_broken_sink_refuses_are_lost_alone() -> None:
    seen: list[str] = []

    def sink(line: str) -> None:
        if line == "second":
            raise OSError(28, "No space left on device")
        seen.append(line)

    pump(iter(["first\n", "second\n", "third\n"]), sink).join(timeout=60)
    assert seen == ["first", "third"]


def test_a_gate_keeps_lines_until_it_opens_and_then_shows_them_without_a_further_line() -> None:
    seen: list[str] = []
    held = HeldLines(seen.append)
    held("an early warning")
    assert seen == []
    held.open()
    assert seen == ["an early warning"]
    held("a later one")
    assert seen == ["an early warning", "a later one"]
