"""The org's Pub/Sub API: a gRPC server of its own on 127.0.0.1, without TLS."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc  # type: ignore[import-untyped]

from include.crm.changes import pubsub as api
from sandbox.salesforce.org import ORG_ID, Org
from sandbox.salesforce.pubsub_bus import RETENTION, Bus, pack_replay_id, unpack_replay_id

KEEP_ALIVE_S = 270
_MOST_STREAMS = 32
_LOOK_S = 0.1
_ERROR = "sfdc.platform.eventbus.grpc"
_STALE = f"{_ERROR}.subscription.fetch.replayid.corrupted"


class PubSub:
    """The server of an org's events.

    Faults are set on the name of a topic:

    - `pubsub_unavailable` ends a stream with an error.
    - `pubsub_twice` delivers a batch of events twice.
    - `pubsub_reversed` delivers a batch in reverse order.
    - `pubsub_cut` removes the last byte of the first event in a batch.
    """

    def __init__(self, org: Org) -> None:
        self._org = org
        self._closing = threading.Event()
        self._server: Any = None
        self.url = ""

    def start(self) -> None:
        """Start the server on a free port, and set `url`."""
        self._closing.clear()
        self._server = grpc.server(ThreadPoolExecutor(_MOST_STREAMS))
        streams = {"Subscribe": grpc.stream_stream_rpc_method_handler}
        handlers = {
            name: streams.get(name, grpc.unary_unary_rpc_method_handler)(
                getattr(self, f"_{name.lower()}"),
                request_deserializer=api.MESSAGES[request_type].FromString,
                response_serializer=api.MESSAGES[response_type].SerializeToString,
            )
            for name, (request_type, response_type) in api.METHODS.items()
            if name != "Publish"  # the sandbox publishes events only through the REST API
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(api.SERVICE, handlers),))
        self.url = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def close(self) -> None:
        """End all streams and stop the server."""
        self._closing.set()
        self._server.stop(0.2).wait()

    def _gettopic(self, request: Any, context: Any) -> Any:
        self._authorize(context)
        schema = self._find(request.topic_name, context)
        return api.MESSAGES["TopicInfo"](
            topic_name=request.topic_name, tenant_guid=ORG_ID, can_publish=schema.is_platform_event, can_subscribe=True,
            schema_id=schema.id, rpc_id=_rpc_id(),
        )  # fmt: skip

    def _getschema(self, request: Any, context: Any) -> Any:
        self._authorize(context)
        schema = self._org.bus.read_schema(request.schema_id)
        if schema is None:
            _refuse(context, grpc.StatusCode.NOT_FOUND, f"{_ERROR}.schema.not.found")
        return api.MESSAGES["SchemaInfo"](schema_json=schema, schema_id=request.schema_id, rpc_id=_rpc_id())

    def _subscribe(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        self._authorize(context)
        first = next(requests)
        self._find(first.topic_name, context)
        stream = _Stream(self._org.bus, first, context)
        threading.Thread(target=stream.take_requests, args=(requests,), daemon=True).start()
        sent_at = self._org.bus.now()
        while context.is_active() and not self._closing.is_set():
            if stream.is_excessive:
                _refuse(
                    context, grpc.StatusCode.INVALID_ARGUMENT, f"{_ERROR}.subscription.fetch.requested.events.invalid"
                )
            if stream.is_ended:
                return
            if self._org.faults.take(stream.topic, "pubsub_unavailable"):
                _refuse(context, grpc.StatusCode.UNAVAILABLE, f"{_ERROR}.service.unavailable")
            now = self._org.bus.now()
            if answers := self._apply_faults(stream, stream.read()):
                sent_at = now
                yield from answers
            elif now - sent_at >= KEEP_ALIVE_S * 1000:
                sent_at = now
                yield stream.keep_alive()
            else:
                self._org.bus.wait(min(_LOOK_S, self._org.clock.real_seconds(KEEP_ALIVE_S)))

    def _apply_faults(self, stream: "_Stream", events: list[Any]) -> list[Any]:
        """Return the response with these events, changed by the active faults, as a list; empty if there are no events."""
        if not events:
            return []
        faults = self._org.faults
        if faults.take(stream.topic, "pubsub_reversed"):
            events = events[::-1]
        if faults.take(stream.topic, "pubsub_twice"):
            stream.repeat_last(len(events))
        answer = stream.answer(events)
        if faults.take(stream.topic, "pubsub_cut"):
            answer.events[0].event.payload = answer.events[0].event.payload[:-1]
        return [answer]

    def _find(self, topic: str, context: Any) -> Any:
        schema = self._org.bus.find_schema(topic)
        if schema is None:
            _refuse(context, grpc.StatusCode.NOT_FOUND, f"{_ERROR}.topic.not.found")
        return schema

    def _authorize(self, context: Any) -> None:
        metadata = dict(context.invocation_metadata())
        is_known = self._org.sessions.find_username(metadata.get("accesstoken", "")) is not None
        if not is_known or metadata.get("tenantid") != ORG_ID or not metadata.get("instanceurl"):
            _refuse(context, grpc.StatusCode.UNAUTHENTICATED, f"{_ERROR}.service.auth.error")


class _Stream:
    """One subscription: its position in the topic, and the number of events that the subscriber has requested and not received."""

    def __init__(self, bus: Bus, first: Any, context: Any) -> None:
        self._bus, self._context = bus, context
        self.topic: str = first.topic_name
        self._after = self._begin(first)
        self._lock = threading.Lock()
        self._requested = 0
        self.is_ended = self.is_excessive = False
        self._add_requested(first)

    def take_requests(self, requests: Iterator[Any]) -> None:
        """Add up the subscriber's fetch requests until the subscriber disconnects; then set `is_ended`."""
        try:
            for request in requests:
                self._add_requested(request)
        except grpc.RpcError:
            pass
        finally:
            self.is_ended = True

    def read(self) -> list[Any]:
        """Return the next events of the topic, up to the requested number, and move the position after them."""
        rows = self._bus.read(self.topic, self._after, self._requested) if self._requested else []
        if rows:
            self._after = rows[-1][0]
            with self._lock:
                self._requested -= len(rows)
        consumer, producer = api.MESSAGES["ConsumerEvent"], api.MESSAGES["ProducerEvent"]
        return [
            consumer(
                event=producer(id=event_id, schema_id=schema_id, payload=payload), replay_id=pack_replay_id(number, at)
            )
            for number, schema_id, event_id, payload, at in rows
        ]

    def repeat_last(self, count: int) -> None:
        """Move the position back by `count` events, so that they are delivered again."""
        self._after -= count

    def answer(self, events: list[Any]) -> Any:
        """Return a response that contains these events."""
        return api.MESSAGES["FetchResponse"](
            events=events,
            latest_replay_id=events[-1].replay_id,
            rpc_id=_rpc_id(),
            pending_num_requested=self._requested,
        )

    def keep_alive(self) -> Any:
        """Return a response without events, with the replay id of the position.

        If the topic has no new events, the position first moves to the newest event of all topics.
        """
        last = (
            self._bus.last()
        )  # read before the check for new events: an event that is published in between has a higher number
        if not self._bus.read(self.topic, self._after, 1):
            self._after = max(self._after, last)
        place = pack_replay_id(self._after, self._bus.now())
        return api.MESSAGES["FetchResponse"](
            latest_replay_id=place, rpc_id=_rpc_id(), pending_num_requested=self._requested
        )

    def _add_requested(self, request: Any) -> None:
        with self._lock:
            self._requested += request.num_requested
            self.is_excessive |= request.num_requested <= 0 or self._requested > api.MOST_OUTSTANDING

    def _begin(self, first: Any) -> int:
        if first.replay_preset == api.EARLIEST:
            return 0
        if first.replay_preset == api.LATEST:
            return self._bus.last()
        try:
            number, at = unpack_replay_id(first.replay_id)
        except ValueError:
            number, at = 0, 0
        if at < self._bus.now() - RETENTION.total_seconds() * 1000:
            _refuse(self._context, grpc.StatusCode.INVALID_ARGUMENT, _STALE)
        return number


def _refuse(context: Any, status: Any, code: str) -> None:
    rpc_id = _rpc_id()
    context.set_trailing_metadata((("error-code", code), ("rpc-id", rpc_id)))
    context.abort(status, f"{code}. rpcId: {rpc_id}")


def _rpc_id() -> str:
    return str(uuid.uuid4())
