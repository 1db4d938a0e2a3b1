"""Malformed gRPC calls for a Triton server: `attack(generator, marker)` is a method and the bytes sent."""

import random
from collections.abc import Callable

from google.protobuf.message import Message
from tritonclient.grpc import service_pb2 as pb

from tests.hostile.mutations import NUMBERS, STRINGS, mutate_bytes

Call = tuple[str, bytes]
Attack = Callable[[random.Random, str], Call]
INT64 = tuple(number for number in NUMBERS if -(1 << 63) <= number < 1 << 63)
WORDS = tuple(word for word in STRINGS if word.isprintable())


def valid(marker: str) -> pb.ModelInferRequest:
    text = pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[1, 1])
    text.contents.bytes_contents.append(f"A good film {marker}.".encode())
    return pb.ModelInferRequest(model_name="sentiment", id=marker, inputs=[text])


def wrong_fields(generator: random.Random, marker: str) -> Call:
    request = valid(marker)
    for _ in range(generator.randint(1, 3)):
        generator.choice(_CHANGES)(request, generator)
    return generator.choice(("ModelInfer", "ModelStreamInfer")), request.SerializeToString()


def wrong_raw_contents(generator: random.Random, marker: str) -> Call:
    request = valid(marker)
    request.inputs[0].ClearField("contents")
    word = f"A good film {marker}.".encode()
    prefix = generator.choice((len(word), 0, len(word) + 1, (1 << 31) - 1, (1 << 32) - 1))
    data = (prefix.to_bytes(4, "little") + word) * generator.randint(0, 3)
    request.raw_input_contents.extend([data] * generator.choice((0, 1, 2, 100)))
    request.inputs[0].shape[:] = [generator.choice((1, 2, 64, 65)), 1]
    return "ModelInfer", request.SerializeToString()


def invalid_protobuf(generator: random.Random, marker: str) -> Call:
    method = generator.choice(("ModelInfer", "ModelStreamInfer", "ModelConfig", "ModelStatistics", "Nothing"))
    return method, mutate_bytes(valid(marker).SerializeToString(), generator)


def deep_protobuf(generator: random.Random, marker: str) -> Call:
    """A field within itself, deeper than protobuf reads: unknown groups, and lengths that lie."""
    depth = generator.choice((99, 101, 10_000, 100_000))
    nested = b"\x7b" * depth + b"\x7c" * generator.choice((depth, 0))
    return "ModelInfer", valid(marker).SerializeToString() + generator.choice(
        (nested, b"\x2a\xff\xff\xff\xff\x0f", b"")
    )


def closed_interfaces(generator: random.Random, marker: str) -> Call:
    load = pb.RepositoryModelLoadRequest(model_name="sentiment")
    load.parameters["config"].string_param = '{"backend":"python"}'
    load.parameters["file:1/model.py"].bytes_param = b"import os"
    trace = pb.TraceSettingRequest()
    trace.settings["trace_file"].value.append(marker)
    logging = pb.LogSettingsRequest()
    logging.settings["log_file"].string_param = marker
    shared = pb.SystemSharedMemoryRegisterRequest(name=marker, key="/x", byte_size=1 << 40)
    calls: dict[str, Message] = {
        "SystemSharedMemoryRegister": shared,
        "SystemSharedMemoryStatus": pb.SystemSharedMemoryStatusRequest(),
        "SystemSharedMemoryUnregister": pb.SystemSharedMemoryUnregisterRequest(),
        "CudaSharedMemoryRegister": pb.CudaSharedMemoryRegisterRequest(name=marker, raw_handle=b"x"),
        "CudaSharedMemoryStatus": pb.CudaSharedMemoryStatusRequest(),
        "TraceSetting": trace,
        "LogSettings": logging,
        "RepositoryIndex": pb.RepositoryIndexRequest(),
        "RepositoryModelLoad": load,
        "RepositoryModelUnload": pb.RepositoryModelUnloadRequest(model_name="sentiment"),
    }
    method = generator.choice(sorted(calls))
    data = calls[method].SerializeToString()
    return method, generator.choice((data, data, mutate_bytes(data, generator)))


def other_methods(generator: random.Random, marker: str) -> Call:
    name = generator.choice((*WORDS, marker, "sentiment"))
    request = generator.choice(
        (
            pb.ModelConfigRequest(name=name, version=generator.choice(WORDS)),
            pb.ModelMetadataRequest(name=name, version=generator.choice(WORDS)),
            pb.ModelReadyRequest(name=name, version=generator.choice(WORDS)),
            pb.ModelStatisticsRequest(name=name, version=generator.choice(WORDS)),
        )
    )
    return type(request).__name__.removesuffix("Request"), request.SerializeToString()


def _shape(request: pb.ModelInferRequest, generator: random.Random) -> None:
    request.inputs[0].shape[:] = [generator.choice(INT64) for _ in range(generator.randint(0, 4))]


def _names(request: pb.ModelInferRequest, generator: random.Random) -> None:
    owner, field = generator.choice(
        (
            (request, "model_name"),
            (request, "model_version"),
            (request.inputs[0], "name"),
            (request.inputs[0], "datatype"),
        )
    )
    setattr(owner, field, generator.choice(WORDS))


def _contents(request: pb.ModelInferRequest, generator: random.Random) -> None:
    contents = request.inputs[0].contents
    if generator.random() < 0.5:
        contents.ClearField("bytes_contents")
    contents.int64_contents.extend(generator.choices(INT64, k=generator.randint(0, 3)))
    contents.bytes_contents.extend(
        generator.choice((b"", b"\xff\xfe", b"\x00", b"a" * 2_000_000)) for _ in range(2)
    )


def _parameters(request: pb.ModelInferRequest, generator: random.Random) -> None:
    names = (
        "priority",
        "timeout",
        "sequence_id",
        "sequence_start",
        "shared_memory_region",
        "binary_data_size",
        "headers",
    )
    for owner in (request, request.inputs[0]):
        parameter = owner.parameters[generator.choice(names)]
        if generator.random() < 0.5:
            parameter.int64_param = generator.choice(INT64)
        else:
            parameter.string_param = generator.choice(WORDS)


def _outputs(request: pb.ModelInferRequest, generator: random.Random) -> None:
    names = ("label", "score", "", "nothing", "input_ids")
    wanted = pb.ModelInferRequest.InferRequestedOutputTensor
    request.outputs.extend(wanted(name=generator.choice(names)) for _ in range(generator.choice((1, 2, 500))))
    # Not for the label: see test_known_killers.py.
    request.outputs.append(wanted(name=generator.choice(("score", "probabilities", "nothing"))))
    request.outputs[-1].parameters["classification"].int64_param = generator.choice(INT64)


def _inputs(request: pb.ModelInferRequest, generator: random.Random) -> None:
    request.inputs.extend([request.inputs[0]] * generator.choice((1, 100)))


_CHANGES = (_shape, _names, _contents, _parameters, _outputs, _inputs)
ATTACKS: tuple[Attack, ...] = (
    wrong_fields,
    wrong_fields,
    wrong_raw_contents,
    invalid_protobuf,
    deep_protobuf,
    closed_interfaces,
    other_methods,
)
