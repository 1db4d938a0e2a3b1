"""Facts that stand in two places, where neither may import the other: they agree.

Training knows only files, a Triton model only its own folder, clients only the protocol.
"""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict
from transformers import MobileBertConfig

from benchmarks.load import texts
from clients.tensors import read_batch_size
from export.checkpoint.config import ModelConfig
from export.checkpoint.problem_types import MULTI, SINGLE, outputs
from export.checkpoint.reading import GOLDEN_FILE
from export.checkpoint.weights import RANGES_FILE
from export.gate.truth import read_truth
from export.graph import windows
from export.graph.packing import INPUT_IDS, ITEM_LENGTHS, PADDING_ID
from export.precision import tensor_ranges
from export.publishing import ids_name
from export.publishing.generator import configurations
from export.publishing.publish import MODEL_FILE, WINDOWS_FILE
from model_repository.mobilebert_tokenizer import busy_flags, tokenization
from model_repository.mobilebert_tokenizer.tokenization import ONE_WINDOW, TextLimits, Tokens
from serving import launcher
from serving.onnxruntime_backend import busy_flag, session
from serving.onnxruntime_backend.settings import parse_settings
from serving.repository import ARTEFACTS
from training import golden, long_texts, ranges
from training.labels import LabelColumn

ROOT = Path(__file__).parents[1]
ENSEMBLES = ("sentiment", "sentiment_fast")
MODELS = ("mobilebert_fp32", "mobilebert_fp16", "mobilebert_int8")


def test_files_have_the_same_names_where_they_are_written_and_read() -> None:
    assert (golden.GOLDEN_FILE, ranges.RANGES_FILE) == (GOLDEN_FILE, RANGES_FILE)
    assert tokenization.WINDOWS_FILE == WINDOWS_FILE
    assert parse_settings({"name": "any"}).filename == ARTEFACTS["onnxruntime"] == MODEL_FILE


def test_the_backend_reads_the_padding_that_the_export_writes() -> None:
    assert session.PADDING_ID == PADDING_ID


def test_quantiles_are_written_and_read_alike() -> None:
    assert ranges.QUANTILES == tensor_ranges.QUANTILES


def test_texts_end_where_the_longest_row_ends() -> None:
    served = TextLimits()
    configured = configurations()["mobilebert_tokenizer"].parameters
    assert served.max_tokens == windows.MAX_TOKENS == long_texts.MAX_TOKENS
    assert str(served.max_tokens) == configured["max_tokens"].string_value
    assert str(served.max_text_bytes) == configured["max_text_bytes"].string_value


def test_a_window_has_the_positions_of_mobilebert() -> None:
    positions = MobileBertConfig().max_position_embeddings
    assert TextLimits().positions == ONE_WINDOW["positions"] == ONE_WINDOW["max_tokens"] == positions
    assert ModelConfig.max_position_embeddings == long_texts.POSITIONS == texts.POSITIONS == positions
    rival = Path("benchmarks/rivals/padded_repository/padded_tokenizer/model.py")
    assert f"\nPOSITIONS = {positions}\n" in (ROOT / rival).read_text()


def test_the_tokenizer_sends_what_its_configuration_promises() -> None:
    promised = [each.name for each in configurations()["mobilebert_tokenizer"].output]
    named = [
        f"{ids_name.IDS_FOR}{name}" for name in ("mobilebert_fp32", "mobilebert_int8", "mobilebert_fp16")
    ]
    assert promised == [*(each.name for each in fields(Tokens)), *named]


def test_launcher_backend_and_tokenizer_agree_on_busy_flags() -> None:
    assert launcher.BUSY_FLAGS == busy_flag.VARIABLE == busy_flags.VARIABLE
    for name in ("SIZE", "UNTIL", "REFUSED", "MESSAGE"):
        assert getattr(busy_flag, name) == getattr(busy_flags, name)
    assert (ids_name.IDS, ids_name.IDS_FOR) == (busy_flags.IDS, busy_flags.IDS_FOR)


@pytest.mark.parametrize("name", MODELS)
def test_the_graph_has_the_tensors_of_its_configuration(name: str) -> None:
    config = configurations()[name]
    assert [each.name for each in config.input] == [INPUT_IDS]
    assert [list(each.target_name) for each in config.batch_input] == [[ITEM_LENGTHS]]
    assert [each.name for each in config.output] == [each.name for each in outputs(SINGLE)]


@pytest.mark.parametrize("name", ENSEMBLES)
def test_an_ensemble_is_what_clients_call(name: str) -> None:
    config = configurations()[name]
    assert read_batch_size(MessageToDict(config, preserving_proto_field_name=True)) == config.max_batch_size
    of_tokenizer = {each.name for each in fields(Tokens)} - {INPUT_IDS}
    of_model = {each.name for each in outputs(SINGLE)} - {"logits"}
    assert {each.name for each in config.output} == of_tokenizer | of_model


def test_several_labels_of_a_text_are_read_alike() -> None:
    labels = ("calm", "dark", "warm")
    values = [["warm", "calm"], ("dark",), [], "calm|warm", " dark | warm ", ""]
    rows = range(len(values))
    trained, _ = LabelColumn(values, rows, "table").matrix(labels, "|")
    judged = read_truth(values, [str(row) for row in rows], ModelConfig(labels, MULTI), "|")
    assert np.array_equal(trained, judged)
    assert judged.sum(axis=1).tolist() == [2, 1, 0, 2, 2, 0]
