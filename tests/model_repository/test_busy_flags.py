"""The backend shows a flag, the tokenizer reads it: two files of code that must name the same bytes."""

from pathlib import Path

import pytest

from model_repository.mobilebert_tokenizer import busy_flags
from model_repository.mobilebert_tokenizer.busy_flags import BusyFlags, ids_output
from serving.onnxruntime_backend import busy_flag
from serving.onnxruntime_backend.busy_flag import BusyFlag

FP32 = "input_ids_for_mobilebert_fp32"
BUSY = "the server is busy: about 2.1 s of work wait, the limit is 2.0 s; try again in 0.5 s"


class Clock:
    """Seconds that only the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """As the launcher sets it for both processes."""
    monkeypatch.setenv(busy_flag.VARIABLE, f"{tmp_path}/server_busy_")
    assert busy_flags.VARIABLE == busy_flag.VARIABLE
    return f"{tmp_path}/server_busy_"


def flag() -> BusyFlag:
    found = busy_flag.busy_flag("mobilebert_fp32", "3")
    assert found
    return found


def test_a_request_is_refused_with_the_models_words_until_the_time_is_over(prefix: str) -> None:
    clock = Clock()
    shown, flags = flag(), BusyFlags("3", clock)
    assert flags.refusal(FP32) == ""
    shown.show(100.5, BUSY)
    assert [flags.refusal(FP32) for _ in range(3)] == [BUSY] * 3
    clock.now = 100.5
    assert flags.refusal(FP32) == ""
    assert shown.refused == 3


def test_a_flag_is_of_one_model_one_version_and_one_server(
    prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag().show(101.0, BUSY)
    assert BusyFlags("3", Clock()).refusal("input_ids_for_mobilebert_int8") == ""
    assert BusyFlags("2", Clock()).refusal(FP32) == ""
    assert BusyFlags("3", Clock()).refusal("input_ids") == ""
    assert BusyFlags("3", Clock()).refusal(FP32) == BUSY
    monkeypatch.setenv(busy_flag.VARIABLE, prefix.replace("server", "other"))
    assert BusyFlags("3", Clock()).refusal(FP32) == ""
    monkeypatch.delenv(busy_flag.VARIABLE)
    assert BusyFlags("3", Clock()).refusal(FP32) == ""
    assert busy_flag.busy_flag("mobilebert_fp32", "3") is None


def test_a_shorter_message_leaves_nothing_of_a_longer_one_and_a_long_one_is_cut(prefix: str) -> None:
    shown, flags = flag(), BusyFlags("3", Clock())
    for message, kept in (("x" * 1000, "x" * 239), (BUSY, BUSY), ("busy", "busy")):
        shown.show(101.0, message)
        assert flags.refusal(FP32) == kept
    assert shown.refused == 3


def test_a_model_that_is_loaded_later_is_found_a_second_later(prefix: str) -> None:
    clock = Clock()
    flags = BusyFlags("3", clock)
    assert flags.refusal(FP32) == ""
    flag().show(200.0, BUSY)
    clock.now += 0.9
    assert flags.refusal(FP32) == ""
    clock.now += 0.2
    assert flags.refusal(FP32) == BUSY


def test_a_model_that_is_loaded_again_counts_from_its_start(prefix: str) -> None:
    first, flags = flag(), BusyFlags("3", Clock())
    first.show(200.0, BUSY)
    flags.refusal(FP32)
    again = flag()
    assert (first.refused, again.refused) == (1, 0)
    again.show(200.0, "again")
    assert flags.refusal(FP32) == "again"
    assert (first.refused, again.refused) == (2, 1)


def test_a_file_that_has_no_size_yet_is_no_flag(prefix: str) -> None:
    Path(f"{prefix}mobilebert_fp32_3").touch()
    assert BusyFlags("3", Clock()).refusal(FP32) == ""


def test_a_flag_that_cannot_be_made_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(busy_flag.VARIABLE, f"{tmp_path}/missing/folder_")
    assert busy_flag.busy_flag("mobilebert_fp32", "3") is None


@pytest.mark.parametrize(
    ("asked", "output"),
    [
        (["num_tokens", FP32], FP32),
        (["input_ids", "num_tokens"], "input_ids"),
        (["input_ids", FP32, "input_ids_for_mobilebert_int8"], "input_ids"),  # a client that names none
        (["num_tokens"], "input_ids"),
    ],
)
def test_the_ids_go_by_the_name_that_is_asked_for(asked: list[str], output: str) -> None:
    assert ids_output(asked) == output
