"""Salesforce's Pub/Sub API (gRPC, package `eventbus.v1`): its messages and methods, declared from the documented fields.

Fields are numbered in their order. Managed subscriptions (in beta) and the publishing stream are left out.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

PACKAGE = "eventbus.v1"
SERVICE = f"{PACKAGE}.PubSub"
LATEST, EARLIEST, CUSTOM = 0, 1, 2
"""Values of `ReplayPreset`: where a subscription begins (`CUSTOM`: at a replay id)."""
MOST_OUTSTANDING = 100
"""Maximum number of events that a subscriber may have requested and not received yet."""

_ENUMS = {"ErrorCode": ("UNKNOWN", "PUBLISH", "COMMIT"), "ReplayPreset": ("LATEST", "EARLIEST", "CUSTOM")}
# The fields of each message as `name:type`. A field without a type is a string; `*` marks a repeated field.
_MESSAGES = {
    "TopicInfo": "topic_name tenant_guid can_publish:bool can_subscribe:bool schema_id rpc_id",
    "TopicRequest": "topic_name",
    "EventHeader": "key value:bytes",
    "ProducerEvent": "id schema_id payload:bytes headers:*EventHeader",
    "ConsumerEvent": "event:ProducerEvent replay_id:bytes",
    "Error": "code:ErrorCode msg",
    "PublishResult": "replay_id:bytes error:Error correlation_key",
    "FetchRequest": "topic_name replay_preset:ReplayPreset replay_id:bytes num_requested:int32 auth_refresh",
    "FetchResponse": "events:*ConsumerEvent latest_replay_id:bytes rpc_id pending_num_requested:int32",
    "SchemaRequest": "schema_id",
    "SchemaInfo": "schema_json schema_id rpc_id",
    "PublishRequest": "topic_name events:*ProducerEvent auth_refresh",
    "PublishResponse": "results:*PublishResult schema_id rpc_id",
}
METHODS = {
    "Subscribe": ("FetchRequest", "FetchResponse"),
    "GetSchema": ("SchemaRequest", "SchemaInfo"),
    "GetTopic": ("TopicRequest", "TopicInfo"),
    "Publish": ("PublishRequest", "PublishResponse"),
}
"""The request message and the response message of each method. `Subscribe` is a stream in both directions."""

_FieldProto = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _FieldProto.TYPE_STRING,
    "bytes": _FieldProto.TYPE_BYTES,
    "bool": _FieldProto.TYPE_BOOL,
    "int32": _FieldProto.TYPE_INT32,
}


def describe() -> Any:
    """Return the declaration as a protobuf file descriptor."""
    file = descriptor_pb2.FileDescriptorProto(name="tributary/pubsub.proto", package=PACKAGE, syntax="proto3")
    for name, values in _ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    for name, text in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, word in enumerate(text.split(), 1):
            _add_field(message, number, *word.partition(":")[::2])
    return file


def _add_field(message: Any, number: int, name: str, kind: str) -> None:
    is_repeated, kind = kind.startswith("*"), kind.removeprefix("*") or "string"
    label = _FieldProto.LABEL_REPEATED if is_repeated else _FieldProto.LABEL_OPTIONAL
    field = message.field.add(name=name, number=number, label=label)
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = _FieldProto.TYPE_ENUM if kind in _ENUMS else _FieldProto.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{kind}"


# A separate pool, because another library in this process may have declared the same package.
_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(describe())
MESSAGES: dict[str, Any] = {
    name: message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _MESSAGES
}
"""The class of each message, by the message's name."""


def path_of(method: str) -> str:
    """Return the gRPC path of a method, such as `/eventbus.v1.PubSub/Subscribe`."""
    return f"/{SERVICE}/{method}"
