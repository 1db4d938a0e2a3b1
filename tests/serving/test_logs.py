"""What a person sees of Triton's log. The lines are real ones."""

import json

import pytest

from serving.logs import LogFilter, as_json

INFO = """I1123 17:55:05.082820 10769 model_lifecycle.cc:472] "loading: mobilebert_tokenizer:1\""""
CUDA = """E1123 17:55:05.078710 10769 server.cc:241] "CudaDriverHelper has not been initialized.\""""
NVML = "Error: Failed to initialize NVML"
DCGM = """W1123 17:55:07.721740 10769 metrics.cc:798] "DCGM unable to start: DCGM initialization error\""""
PINNED = """W1123 18:11:13.466207 20834 pinned_memory_manager.cc:170] "no pinned system memory\""""
FAILED = """E1123 17:55:07.713935 10769 model_lifecycle.cc:642] "failed to load 'm': broken\""""
BANNER = "| python      | /cache/libtriton_python.so | {} |"


@pytest.mark.parametrize("line", [INFO, CUDA, NVML, DCGM, PINNED, BANNER])
def test_a_machine_without_a_gpu_is_quiet(line: str) -> None:
    assert not LogFilter(verbose=False, gpu=False).shows(line)


@pytest.mark.parametrize("line", [CUDA, DCGM])
def test_with_a_gpu_its_complaints_matter(line: str) -> None:
    assert LogFilter(verbose=False, gpu=True).shows(line)


def test_an_error_is_shown_with_the_lines_that_belong_to_it() -> None:
    log = LogFilter(verbose=False, gpu=False)
    assert [log.shows(line) for line in (INFO, FAILED, "At:", "  model.py(3)", INFO, "after")] == [
        False, True, True, True, False, False,
    ]  # fmt: skip


def test_verbose_shows_everything() -> None:
    assert all(LogFilter(verbose=True, gpu=False).shows(line) for line in (INFO, CUDA, NVML, BANNER))


def test_the_reason_of_a_failed_start_is_the_model_that_did_not_load() -> None:
    log = LogFilter(verbose=False, gpu=False)
    for line in (INFO, CUDA, FAILED, INFO):
        log.shows(line)
    assert log.reason() == "failed to load 'm': broken"


def test_a_model_that_is_known_to_be_missing_is_no_news() -> None:
    log = LogFilter(verbose=False, gpu=False)
    log.ignored = ("m",)
    assert not log.shows(FAILED)
    assert log.reason() == ""


def test_the_reason_is_one_line_without_a_stack_trace() -> None:
    log = LogFilter(verbose=False, gpu=False)
    log.shows(
        FAILED.replace(
            "broken", r"Internal: TritonModelException: m: no input 'x'\n\nAt:\n  model.py(48): initialize\n"
        )
    )
    assert log.reason() == "failed to load 'm': m: no input 'x'"


def test_a_model_that_wants_a_gpu_is_a_reason_to_fail() -> None:
    log = LogFilter(verbose=False, gpu=False)
    log.shows(FAILED.replace("broken", "instance group m_0 has kind KIND_GPU but no GPUs are available"))
    assert "no GPUs are available" in log.reason()


def test_each_line_becomes_an_object_with_its_source_and_level() -> None:
    access = '{"request_id": "a", "trace_id": null, "status": 200}'
    lines = {
        FAILED: {"source": "tritonserver", "level": "ERROR"},
        "worker: it said this": {"source": "worker", "message": "it said this"},
        f"gateway: {access}": {"source": "gateway", "request_id": "a", "trace_id": None, "status": 200},
        "restart 1 of 5\nin 0.5 s": {"source": "serving", "message": "restart 1 of 5\nin 0.5 s"},
    }
    for line, fields in lines.items():
        shown = as_json(line)
        assert "\n" not in shown
        assert fields.items() <= json.loads(shown).items()
