"""OpenVINO's own runtime on the encoder of the exported graph, as a rival of int8."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession, SessionOptions

from export.graph.running import with_outputs

RANKS: dict[str, list[str | int]] = {
    "packed/ids": ["n", 3],
    **{f"packed/{name}": ["b", "s"] for name in ("gather", "part1", "part2", "part3")},
}


class Encoder:
    """OpenVINO on the graph after the packing of rows, whose results come as inputs.

    Rows have one window: its logits are theirs. `precision` is OpenVINO's INFERENCE_PRECISION_HINT, f32 or
    bf16, of what `model` does not quantize.
    """

    def __init__(self, model: ModelProto, threads: int, precision: str) -> None:
        import openvino

        plain = with_plain_attention(model)
        del plain.graph.output[:-1]
        combined = next(node for node in plain.graph.node if "logits" in node.output)
        combined.CopyFrom(helper.make_node("Identity", ["windows.logits"], ["logits"]))
        made = {name for node in plain.graph.node for name in node.output if name.startswith("packed/")}
        _keep_reachable(plain, made)
        self._names = sorted(made & {name for node in plain.graph.node for name in node.input})
        self._packing = open_session(with_outputs(model, self._names), threads)
        types = {"packed/lengths": TensorProto.INT32}
        inputs = [
            helper.make_tensor_value_info(name, types.get(name, TensorProto.INT64), RANKS.get(name, ["n"]))
            for name in self._names
        ]
        del plain.graph.input[:]
        plain.graph.input.extend(inputs)
        settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(plain.SerializeToString()), "CPU", settings)
        self._request = compiled.create_infer_request()
        self._feeds: dict[int, dict[str, NDArray[Any]]] = {}

    def run(self, names: list[str], feed: dict[str, NDArray[Any]]) -> Any:
        """Like InferenceSession.run; packing is done once and not timed, which favours this rival."""
        if id(feed) not in self._feeds:
            self._feeds[id(feed)] = dict(zip(self._names, self._packing.run(self._names, feed), strict=True))
        self._request.infer(self._feeds[id(feed)])
        return [self._request.get_tensor(name).data for name in names]


def _keep_reachable(model: ModelProto, given: set[str]) -> None:
    """Drop the nodes that the model's outputs do not need, once the tensors `given` are inputs."""
    needed, kept = {each.name for each in model.graph.output}, []
    for node in reversed(model.graph.node):
        if (needed - given) & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))


def with_plain_attention(model: ModelProto) -> ModelProto:
    """Attention in standard operators: OpenVINO would split the graph at any other."""
    nodes: list[NodeProto] = []
    constants: dict[str, Any] = {"plain/least": np.float32(-1e9), "plain/step": np.int64(1)}
    constants |= {"plain/start": np.int64(0), "plain/axes": np.array([1, 2, 3]), "plain/axis": np.array(1)}
    constants["plain/join"] = np.array([0, 0, -1])
    for node in model.graph.node:
        if node.op_type != "MultiHeadAttention":
            nodes.append(node)
            continue
        settings = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        constants[f"{node.name}/split"] = np.array([0, 0, settings["num_heads"], -1])
        constants[f"{node.name}/scale"] = np.float32(settings["scale"])
        nodes.extend(_attention(node))
    return with_nodes(model, nodes, constants)


def with_nodes(model: ModelProto, nodes: Iterable[NodeProto], constants: Mapping[str, Any]) -> ModelProto:
    """A copy of `model` with other nodes, and these initializers beside its own."""
    changed = ModelProto()
    changed.CopyFrom(model)
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    changed.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items())
    return changed


def _attention(node: NodeProto) -> Iterator[NodeProto]:
    own, (query, key, value, _, lengths) = node.name, node.input

    def step(operator: str, *inputs: str, name: str, **attributes: Any) -> NodeProto:
        named = [f"{own}/{each[1:]}" if each.startswith("/") else each for each in inputs]
        return helper.make_node(operator, named, [f"{own}/{name}"], **attributes)

    for part, source, order in (
        ("q", query, [0, 2, 1, 3]),
        ("k", key, [0, 2, 3, 1]),
        ("v", value, [0, 2, 1, 3]),
    ):
        yield step("Reshape", source, "/split", name=f"{part}4")
        yield step("Transpose", f"/{part}4", name=part, perm=order)
    yield step("Shape", key, name="shape")
    yield step("Gather", "/shape", "plain/axis", name="longest")
    yield step("Range", "plain/start", "/longest", "plain/step", name="cells")
    yield step("Cast", lengths, name="lengths", to=TensorProto.INT64)
    yield step("Unsqueeze", "/lengths", "plain/axes", name="ends")
    yield step("GreaterOrEqual", "/cells", "/ends", name="absent")
    yield step("Cast", "/absent", name="absent32", to=TensorProto.FLOAT)
    yield step("Mul", "/absent32", "plain/least", name="mask")
    yield step("MatMul", "/q", "/k", name="products")
    yield step("Mul", "/products", "/scale", name="scores")
    yield step("Add", "/scores", "/mask", name="masked")
    yield step("Softmax", "/masked", name="weights", axis=-1)
    yield step("MatMul", "/weights", "/v", name="context4")
    yield step("Transpose", "/context4", name="context", perm=[0, 2, 1, 3])
    yield helper.make_node("Reshape", [f"{own}/context", "plain/join"], list(node.output))


def open_session(model: ModelProto, threads: int) -> InferenceSession:
    """A session whose threads sleep between runs, so that they do not disturb the next contestant."""
    options = SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
