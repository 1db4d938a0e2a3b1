"""A model repository of hand-made ONNX graphs, each for one ability of the backend."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "STRING": TensorProto.STRING,
}
KINDS = {
    "BATCH_ELEMENT_COUNT": 1,
    "BATCH_ACCUMULATED_ELEMENT_COUNT": 1,
    "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO": 1,
    "BATCH_ITEM_SHAPE": 2,
    "BATCH_ITEM_SHAPE_FLATTEN": 1,
}
WAIT = "dynamic_batching { max_queue_delay_microseconds: 10000000 preferred_batch_size: [ 3 ] }"


def write_repository(folder: Path) -> Path:
    """Write every model."""
    write_identity(folder / "identity")
    write_kinds(folder / "kinds")
    write_lookup(folder / "lookup")
    write_bare(folder / "bare")
    write_tiny(folder / "tiny")
    write_wrong_type(folder / "wrong_type")
    return folder


def write_identity(folder: Path) -> None:
    """Every data type, in and out."""
    nodes = [helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for name in TYPES]
    ends = [
        [helper.make_tensor_value_info(f"{end}_{name}", kind, [None, None]) for name, kind in TYPES.items()]
        for end in ("in", "out")
    ]
    config = [
        f"{end}put [ {', '.join(_tensor(f'{end}_{name}', name) for name in TYPES)} ]" for end in ("in", "out")
    ]
    _write(folder, nodes, *ends, config=["max_batch_size: 4", *config])


def write_kinds(folder: Path) -> None:
    """Each row is answered with the batch inputs of its whole batch: [rows, all of that input]."""
    nodes = [
        helper.make_node("Shape", ["BATCH_ITEM_SHAPE"], ["rows"], start=0, end=1),
        helper.make_node("Concat", ["rows", "one"], ["tiles"], axis=0),
    ]
    for kind in KINDS:
        nodes.append(helper.make_node("Reshape", [kind, "flat"], [f"{kind}_flat"]))
        nodes.append(helper.make_node("Tile", [f"{kind}_flat", "tiles"], [f"out_{kind}"]))
    constants = {"one": np.array([1]), "flat": np.array([1, -1])}
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])]
    inputs += [
        helper.make_tensor_value_info(kind, TensorProto.INT32, [None] * rank) for kind, rank in KINDS.items()
    ]
    outputs = [
        helper.make_tensor_value_info(f"out_{kind}", TensorProto.INT32, [None, None]) for kind in KINDS
    ]
    config = [
        "max_batch_size: 8",
        f"input [ {_tensor('x', 'FP32', 'allow_ragged_batch: true')} ]",
        f"output [ {', '.join(_tensor(f'out_{kind}', 'INT32') for kind in KINDS)} ]",
        WAIT,
    ]
    config += [
        f'batch_input {{ kind: {kind} target_name: "{kind}" data_type: TYPE_INT32 source_input: "x" }}'
        for kind in KINDS
    ]
    _write(folder, nodes, inputs, outputs, constants, config)


def write_lookup(folder: Path) -> None:
    """Squares by table; an index of 10 or more makes ONNX Runtime fail. Two instances."""
    nodes = [helper.make_node("Gather", ["table", "index"], ["square"])]
    inputs = [helper.make_tensor_value_info("index", TensorProto.INT64, [None, 1])]
    outputs = [helper.make_tensor_value_info("square", TensorProto.INT64, [None, 1])]
    config = [
        "max_batch_size: 8",
        f"input [ {_tensor('index', 'INT64', dims=1)} ]",
        f"output [ {_tensor('square', 'INT64', dims=1)} ]",
        "instance_group [ { count: 2 kind: KIND_CPU } ]",
        WAIT,
    ]
    _write(folder, nodes, inputs, outputs, {"table": np.arange(10) ** 2}, config)


def write_bare(folder: Path) -> None:
    """A configuration that says nothing of inputs and outputs."""
    nodes = [helper.make_node("Neg", ["x"], ["y"])]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 3])] for name in ("x", "y")]
    _write(folder, nodes, *ends, config=[])


def write_tiny(folder: Path) -> None:
    """Multiplies by 1e-30. Rows of one number each, which may share runs."""
    nodes = [helper.make_node("Mul", ["x", "factor"], ["products"])]
    nodes.append(helper.make_node("Reshape", ["products", "column"], ["y"]))
    constants = {"factor": np.float32(1e-30), "column": np.array([-1, 1])}
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [None]),
        helper.make_tensor_value_info("lengths", TensorProto.INT32, [None]),
    ]
    config = [
        "max_batch_size: 8",
        f"input [ {_tensor('x', 'FP32', 'allow_ragged_batch: true')} ]",
        f"output [ {_tensor('y', 'FP32', dims=1)} ]",
        'batch_input { kind: BATCH_ITEM_SHAPE_FLATTEN target_name: "lengths" data_type: TYPE_INT32'
        ' source_input: "x" }',
    ]
    _write(
        folder,
        nodes,
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        {name: np.asarray(value) for name, value in constants.items()},
        config,
    )


def write_wrong_type(folder: Path) -> None:
    """The configuration promises FP64 where the model has FP32."""
    nodes = [helper.make_node("Neg", ["x"], ["y"])]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 3])] for name in ("x", "y")]
    config = [f"input [ {_tensor('x', 'FP64', dims=3)} ]", f"output [ {_tensor('y', 'FP32', dims=3)} ]"]
    _write(folder, nodes, *ends, config=["max_batch_size: 4", *config])


def _tensor(name: str, data_type: str, more: str = "", dims: int = -1) -> str:
    return f'{{ name: "{name}" data_type: TYPE_{data_type} dims: [ {dims} ] {more} }}'


def _write(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: dict[str, np.ndarray] | None = None,
    config: Sequence[str] = (),
) -> None:
    initializers = [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, folder.name, inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    (folder / "1").mkdir(parents=True)
    onnx.save(model, folder / "1" / "model.onnx")
    (folder / "config.pbtxt").write_text(
        "\n".join([f'name: "{folder.name}"', 'backend: "onnxruntime"', *config])
    )
