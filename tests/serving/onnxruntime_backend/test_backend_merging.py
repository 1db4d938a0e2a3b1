"""The backend's arithmetic on shapes, against the definitions in Triton's protobuf documentation."""

import numpy as np
import pytest

from serving.onnxruntime_backend.merging import RequestError, gather, row_lengths, scatter
from serving.onnxruntime_backend.settings import ModelSettings, parse_settings

INT32, FP32 = np.dtype(np.int32), np.dtype(np.float32)


def settings(
    *, ragged: bool = True, kind: str = "BATCH_ITEM_SHAPE_FLATTEN", dtype: str = "TYPE_INT32", **more
) -> ModelSettings:
    config = {
        "name": "m",
        "max_batch_size": 8,
        "input": [{"name": "x", "data_type": "TYPE_INT64", "dims": ["-1"], "allow_ragged_batch": ragged}],
        "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": ["-1"]}],
        "batch_input": [{"kind": kind, "target_name": ["n"], "data_type": dtype, "source_input": ["x"]}],
    }
    return parse_settings(config | more)


def request(rows: int, columns: int, start: int = 0) -> dict[str, np.ndarray]:
    return {"x": np.arange(start, start + rows * columns, dtype=np.int64).reshape(rows, columns)}


# One request of a row of 3, one of two rows of 4. The expected values follow the documentation of each kind;
# the ones that count elements count a request's, all rows together.
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("BATCH_ELEMENT_COUNT", [3, 8]),
        ("BATCH_ACCUMULATED_ELEMENT_COUNT", [3, 11]),
        ("BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", [0, 3, 11]),
        ("BATCH_ITEM_SHAPE", [[3], [4], [4]]),
        ("BATCH_ITEM_SHAPE_FLATTEN", [3, 4, 4]),
    ],
)
@pytest.mark.parametrize("dtype", ["TYPE_INT32", "TYPE_FP32"])
def test_batch_input_describes_the_batch(kind: str, expected: list, dtype: str) -> None:
    feeds = gather([request(1, 3), request(2, 4)], settings(kind=kind, dtype=dtype))
    assert feeds["n"].tolist() == expected
    assert feeds["n"].dtype == (INT32 if dtype == "TYPE_INT32" else FP32)


@pytest.mark.parametrize(("padding", "expected"), [(None, [4] * 5), (0, [2, 4, 1, 1, 4]), (7, [4] * 4 + [1])])
def test_a_row_is_as_long_as_it_is_without_the_padding_at_its_end(
    padding: int | None, expected: list[int]
) -> None:
    ids = np.array([[5, 6, 0, 0], [5, 0, 0, 6], [5, 0, 0, 0], [0, 0, 0, 0], [5, 7, 7, 7]])
    assert row_lengths(ids, padding) == expected


def test_a_lone_row_and_rows_without_ids_have_a_length() -> None:
    assert row_lengths(np.array([[5, 0, 0]]), 0) == [3]
    assert row_lengths(np.zeros((3, 0), np.int64), 0) == [1, 1, 1]


def test_batch_max_element_count_speaks_by_its_shape() -> None:
    feeds = gather([request(1, 3), request(2, 4)], settings(kind="BATCH_MAX_ELEMENT_COUNT_AS_SHAPE"))
    assert feeds["n"].shape == (8,)


def test_item_shape_lists_every_dimension_of_every_row() -> None:
    config = {
        "input": [{"name": "x", "data_type": "TYPE_INT64", "dims": [-1, -1], "allow_ragged_batch": True}]
    }
    batch = [{"x": np.zeros((2, 3, 5), np.int64)}, {"x": np.zeros((1, 4, 1), np.int64)}]
    assert gather(batch, settings(kind="BATCH_ITEM_SHAPE", **config))["n"].tolist() == [
        [3, 5],
        [3, 5],
        [4, 1],
    ]
    flat = gather(batch, settings(kind="BATCH_ITEM_SHAPE_FLATTEN", **config))["n"]
    assert flat.tolist() == [3, 5, 3, 5, 4, 1]


def test_ragged_inputs_join_element_by_element() -> None:
    feeds = gather([request(1, 3), request(2, 2, start=10)], settings())
    assert feeds["x"].tolist() == [0, 1, 2, 10, 11, 12, 13]


def test_other_inputs_join_row_by_row() -> None:
    feeds = gather([request(1, 2), request(2, 2, start=10)], settings(ragged=False))
    assert feeds["x"].tolist() == [[0, 1], [10, 11], [12, 13]]


def test_a_single_request_is_not_copied() -> None:
    only = request(2, 3)
    assert np.shares_memory(gather([only], settings())["x"], only["x"])


def test_requests_of_different_shapes_do_not_join_without_ragged() -> None:
    with pytest.raises(RequestError, match="'x' has another shape"):
        gather([request(1, 2), request(1, 3)], settings(ragged=False))


def test_an_optional_input_that_nobody_sends_is_left_to_the_model() -> None:
    config = {
        "input": [
            {"name": "x", "data_type": "TYPE_INT64", "dims": [-1]},
            {"name": "bias", "data_type": "TYPE_INT64", "dims": [1], "optional": True},
        ]
    }
    assert set(gather([request(1, 2)], settings(**config))) == {"x", "n"}
    with pytest.raises(RequestError, match="'bias' is missing"):
        gather([request(1, 2), request(1, 2) | {"bias": np.zeros((1, 1), np.int64)}], settings(**config))


def test_each_request_gets_its_own_rows() -> None:
    batch = [request(1, 3), request(2, 4), request(1, 1)]
    shares = scatter({"y": np.arange(8, dtype=np.float32).reshape(4, 2)}, batch, settings())
    assert [share["y"].tolist() for share in shares] == [[[0, 1]], [[2, 3], [4, 5]], [[6, 7]]]


def test_an_output_with_too_few_rows_is_refused_and_not_misdelivered() -> None:
    with pytest.raises(RequestError, match="3 rows"):
        scatter({"y": np.zeros((2, 2), np.float32)}, [request(1, 3), request(2, 4)], settings())


def test_batch_output_scatters_by_the_shape_of_its_source() -> None:
    config = {
        "batch_output": [
            {"target_name": ["y"], "source_input": ["x"], "kind": "BATCH_SCATTER_WITH_INPUT_SHAPE"}
        ]
    }
    shares = scatter(
        {"y": np.arange(11, dtype=np.float32)}, [request(1, 3), request(2, 4)], settings(**config)
    )
    assert [share["y"].tolist() for share in shares] == [[[0, 1, 2]], [[3, 4, 5, 6], [7, 8, 9, 10]]]


def test_a_model_that_does_not_batch_keeps_its_shapes() -> None:
    plain = settings(ragged=False, max_batch_size=0, batch_input=[])
    outputs = {"y": np.zeros((7, 5), np.float32)}
    assert gather([request(2, 3)], plain)["x"].shape == (2, 3)
    assert scatter(outputs, [request(2, 3)], plain)[0]["y"].shape == (7, 5)
