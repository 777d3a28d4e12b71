"""Read batching parameters from a file in TensorFlow Serving's format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

from savedmodels.server.batching import BatchingParameters
from savedmodels.server.codes import invalid

# tensorflow-serving-api lacks session_bundle_config.proto, so its BatchingParameters is made here.
_PACKAGE = "tensorflow.serving"
_WRAPPED: Mapping[str, tuple[int, str]] = {
    "max_batch_size": (1, "Int64Value"),
    "batch_timeout_micros": (2, "Int64Value"),
    "max_enqueued_batches": (3, "Int64Value"),
    "num_batch_threads": (4, "Int64Value"),
    "thread_pool_name": (5, "StringValue"),
}
_ALLOWED_BATCH_SIZES, _PAD_VARIABLE_LENGTH_INPUTS = 6, 7
_LEAST: Mapping[str, int] = {
    "max_batch_size": 1,
    "batch_timeout_micros": 0,
    "max_enqueued_batches": 1,
    "num_batch_threads": 1,
}


def read(text: str) -> BatchingParameters:
    """Read parameters in text format; missing ones have TensorFlow Serving's defaults.

    Raises:
        Refused: INVALID_ARGUMENT, if it is not valid or asks for something not supported.
    """
    message = _message_class()()
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise invalid(
            f"a batching parameters file must be a BatchingParameters message. Received: {error}"
        ) from None
    if message.pad_variable_length_inputs:
        raise invalid("`pad_variable_length_inputs` must be false. Received: true")
    values = {name: getattr(message, name).value for name in _LEAST if message.HasField(name)}
    for name, value in values.items():
        if value < _LEAST[name]:
            raise invalid(f"`{name}` must be at least {_LEAST[name]}. Received: {value}")
    parameters = BatchingParameters(
        **values, allowed_batch_sizes=tuple(message.allowed_batch_sizes)
    )
    _check_sizes(parameters)
    return parameters


def _check_sizes(parameters: BatchingParameters) -> None:
    sizes, largest = parameters.allowed_batch_sizes, parameters.max_batch_size
    if sizes and (sizes[-1] != largest or list(sizes) != sorted({*sizes}) or sizes[0] < 1):
        raise invalid(
            "`allowed_batch_sizes` must increase from at least 1 to `max_batch_size`, which is "
            f"{largest}. Received: {', '.join(map(str, sizes))}"
        )


def _message_class() -> Any:
    field = descriptor_pb2.FieldDescriptorProto
    message = descriptor_pb2.DescriptorProto(name="BatchingParameters")
    for name, (number, wrapper) in _WRAPPED.items():
        message.field.add(
            name=name,
            number=number,
            label=field.LABEL_OPTIONAL,
            type=field.TYPE_MESSAGE,
            type_name=f".google.protobuf.{wrapper}",
        )
    message.field.add(
        name="allowed_batch_sizes",
        number=_ALLOWED_BATCH_SIZES,
        label=field.LABEL_REPEATED,
        type=field.TYPE_INT64,
    )
    message.field.add(
        name="pad_variable_length_inputs",
        number=_PAD_VARIABLE_LENGTH_INPUTS,
        label=field.LABEL_OPTIONAL,
        type=field.TYPE_BOOL,
    )
    # A separate pool avoids a clash if another package registers the original message.
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    pool.Add(wrappers)
    pool.Add(
        descriptor_pb2.FileDescriptorProto(
            name="batching_parameters.proto",
            package=_PACKAGE,
            syntax="proto3",
            dependency=[wrappers.name],
            message_type=[message],
        )
    )
    descriptor = pool.FindMessageTypeByName(f"{_PACKAGE}.BatchingParameters")
    return message_factory.GetMessageClass(descriptor)
