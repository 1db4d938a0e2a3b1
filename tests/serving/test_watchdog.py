"""The watchdog's question: the smallest request that a model's configuration allows."""

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from export.publishing.generator import configurations
from serving.stubs import Stub
from serving.watchdog import MOST_SILENCES, Watchdog, smallest_request


def test_the_smallest_request_for_the_tokenizer_is_one_empty_text() -> None:
    (text,) = smallest_request(configurations()["mobilebert_tokenizer"])
    assert (text.name(), text.datatype(), text.shape()) == ("text", "BYTES", [1, 1])


def test_the_smallest_request_for_a_model_has_one_token() -> None:
    tensors = {tensor.name(): tensor for tensor in smallest_request(configurations()["mobilebert_fp32"])}
    assert (tensors["input_ids"].datatype(), tensors["input_ids"].shape()) == ("INT64", [1, 1])


@pytest.mark.parametrize(("kind", "size"), [("TYPE_FP16", 2), ("TYPE_BOOL", 1), ("TYPE_UINT8", 1)])
def test_a_model_without_batches_is_asked_for_its_own_shape(kind: str, size: int) -> None:
    config = text_format.Parse(f'input [{{ name: "x" data_type: {kind} dims: [ 2, -1, 3 ] }}]', ModelConfig())
    (tensor,) = smallest_request(config)
    assert tensor.shape() == [2, 1, 3]
    assert len(tensor._get_content()) == 6 * size


def test_silence_of_an_idle_process_is_a_hang_and_of_a_busy_one_only_when_it_lasts() -> None:
    log: list[str] = []
    dog = Watchdog("127.0.0.1:1", 10.0, list, log.append)
    stub = Stub(7, "fp32", "1")
    assert "hanging: no answer within 10 s, and it does nothing" in dog._weigh(stub, worked=0.01)
    busy = Watchdog("127.0.0.1:1", 10.0, list, log.append)
    verdicts = [busy._weigh(stub, worked=np.inf) for _ in range(MOST_SILENCES)]
    assert verdicts[:-1] == [""] * (MOST_SILENCES - 1)
    assert f"{MOST_SILENCES} times in a row" in verdicts[-1]
    assert log[0] == "the process of fp32 (pid 7) works but gave no answer within 10 s (1 of 6)"
