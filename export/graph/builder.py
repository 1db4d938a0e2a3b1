"""A small writer of ONNX graphs: nodes with readable names, constants stored once."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    checker,
    helper,
    numpy_helper,
)

# Triton 24.10 to 26.07 and ONNX Runtime 1.17 and newer load this; nothing in the graph needs more.
OPSET = 17
IR_VERSION = 8
CONTRIB = "com.microsoft"


class GraphBuilder:
    """Collects nodes and initializers; every method returns tensor names.

    Integer constants may be written as plain numbers; they become int64 initializers.
    """

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._initializers: dict[str, TensorProto] = {}
        self._counts: dict[str, int] = {}

    def node(
        self, op_type: str, *inputs: str | int | Sequence[int], name: str = "", domain: str = "", **attrs: Any
    ) -> str:
        """Add a node with one output, named `name` (or after the operator)."""
        return self.nodes(op_type, *inputs, outputs=[name or self._unique(op_type)], domain=domain, **attrs)[
            0
        ]

    def nodes(
        self,
        op_type: str,
        *inputs: str | int | Sequence[int],
        outputs: list[str],
        domain: str = "",
        **attrs: Any,
    ) -> list[str]:
        """Add a node with several named outputs."""
        names = [item if isinstance(item, str) else self.integers(item) for item in inputs]
        self._nodes.append(
            helper.make_node(op_type, names, outputs, f"{outputs[0]}/{op_type}", domain=domain, **attrs)
        )
        return outputs

    def either(
        self,
        condition: str,
        then: Callable[[], list[str]],
        otherwise: Callable[[], list[str]],
        results: list[ValueInfoProto],
    ) -> list[str]:
        """Add an If: each function adds nodes and names the tensors that become `results`, in their order."""
        outputs = [each.name for each in results]
        return self.nodes(
            "If",
            condition,
            outputs=outputs,
            then_branch=self._branch(f"{outputs[0]}/then", then, results),
            else_branch=self._branch(f"{outputs[0]}/else", otherwise, results),
        )

    def _branch(self, name: str, write: Callable[[], list[str]], results: list[ValueInfoProto]) -> GraphProto:
        """Constants are stored in the main graph: a branch may read its tensors."""
        outside, self._nodes = self._nodes, []
        outputs = [
            ValueInfoProto(name=tensor, type=result.type)
            for tensor, result in zip(write(), results, strict=True)
        ]
        inside, self._nodes = self._nodes, outside
        return helper.make_graph(inside, name, [], outputs)

    def constant(self, name: str, array: ArrayLike) -> str:
        """Store `array` as the initializer `name`; strings are kept as strings.

        Raises:
            ValueError: the name is taken by another array.
        """
        if name in self._initializers:
            raise ValueError(f"two constants are named {name}")
        self._initializers[name] = numpy_helper.from_array(np.asarray(array), name)
        return name

    def integers(self, values: int | Sequence[int]) -> str:
        """An int64 constant, shared by all users of the same value."""
        array = np.asarray(values, dtype=np.int64)
        name = "int_" + ("_".join(map(str, array.reshape(-1))) or "none") + ("s" if array.ndim == 0 else "")
        if name not in self._initializers:
            self._initializers[name] = numpy_helper.from_array(array, name)
        return name

    def model(
        self, name: str, inputs: list[ValueInfoProto], outputs: list[ValueInfoProto], doc: str
    ) -> ModelProto:
        """The finished model, checked by onnx.

        Raises:
            onnx.checker.ValidationError: the graph is not valid ONNX.
        """
        graph = helper.make_graph(self._nodes, name, inputs, outputs, list(self._initializers.values()), doc)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="mobilebert-triton"
        )
        checker.check_model(model)
        return model

    def _unique(self, op_type: str) -> str:
        self._counts[op_type] = self._counts.get(op_type, 0) + 1
        return f"{op_type.lower()}_{self._counts[op_type]}"
