"""Read the batching parameters of `growgan serve` from a file in TensorFlow Serving's format."""

from __future__ import annotations

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

# Define the message BatchingParameters here, because the package tensorflow-serving-api lacks its
# file, session_bundle_config.proto. This is a FileDescriptorProto in protobuf's text format.
_PROTO_FILE = """
name: "batching_parameters.proto" package: "tensorflow.serving" syntax: "proto3"
dependency: "google/protobuf/wrappers.proto"
message_type {
  name: "BatchingParameters"
  field { name: "max_batch_size" number: 1 type: TYPE_MESSAGE type_name: "Int64Value" }
  field { name: "batch_timeout_micros" number: 2 type: TYPE_MESSAGE type_name: "Int64Value" }
  field { name: "max_enqueued_batches" number: 3 type: TYPE_MESSAGE type_name: "Int64Value" }
  field { name: "num_batch_threads" number: 4 type: TYPE_MESSAGE type_name: "Int64Value" }
  field { name: "thread_pool_name" number: 5 type: TYPE_MESSAGE type_name: "StringValue" }
  field { name: "allowed_batch_sizes" number: 6 type: TYPE_INT64 label: LABEL_REPEATED }
  field { name: "pad_variable_length_inputs" number: 7 type: TYPE_BOOL }
}
""".replace('type_name: "', 'type_name: ".google.protobuf.')
_MINIMUM = {
    "max_batch_size": 1,
    "batch_timeout_micros": 0,
    "max_enqueued_batches": 1,
    "num_batch_threads": 1,
}


def read(text: str) -> BatchingParameters:
    """Read the text of a batching parameters file; missing values get the defaults.

    Raises:
        Refused: INVALID_ARGUMENT if the text is invalid or asks for something not supported.
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
    # Leave absent fields out: protobuf would read them as 0, not as the default.
    values = {name: getattr(message, name).value for name in _MINIMUM if message.HasField(name)}
    for name, value in values.items():
        if value < _MINIMUM[name]:
            raise invalid(f"`{name}` must be at least {_MINIMUM[name]}. Received: {value}")
    sizes = tuple(message.allowed_batch_sizes)
    parameters = BatchingParameters(**values, allowed_batch_sizes=sizes)
    largest = parameters.max_batch_size
    if sizes and (sizes[-1] != largest or list(sizes) != sorted({*sizes}) or sizes[0] < 1):
        raise invalid(
            "`allowed_batch_sizes` must increase from at least 1 to `max_batch_size`, which is "
            f"{largest}. Received: {', '.join(map(str, sizes))}"
        )
    return parameters


def _message_class() -> Any:
    # Use a separate pool, to avoid a clash if another package registers the original message.
    pool = descriptor_pool.DescriptorPool()
    # Add protobuf's wrapper types (Int64Value, ...): a new pool is empty.
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    pool.Add(wrappers)
    pool.Add(text_format.Parse(_PROTO_FILE, descriptor_pb2.FileDescriptorProto()))
    descriptor = pool.FindMessageTypeByName("tensorflow.serving.BatchingParameters")
    return message_factory.GetMessageClass(descriptor)
