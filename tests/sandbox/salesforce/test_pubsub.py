"""The org's Pub/Sub API as any subscriber uses it: gRPC, and an Avro decoder that is not ours."""

from __future__ import annotations

import io
import itertools
import queue
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import fastavro
import grpc
import orjson
import pytest

from include.crm.changes import pubsub as api
from tests.running_sandbox import Sandbox, Start

DATA = "/services/data/v66.0"
CONTACTS = "/data/ContactChangeEvent"
ORG = "00DHp0000000001AAA"


@dataclass
class Subscriber:
    """A session, and a channel to the org's events."""

    sandbox: Sandbox
    schemas: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.admin("consumers", client_id="app", client_secret="s", username="ada@sample-wealth.example")
        self.admin("change_data_capture", objects=["Account", "Contact", "Opportunity"])
        self.url = self.sandbox.http.get("/_sandbox/connections").json()["salesforce"]["extra"]["pubsub"]
        self.channel = grpc.insecure_channel(self.url.removeprefix("http://"))
        self.log_in()

    def log_in(self) -> None:
        form = {"grant_type": "client_credentials", "client_id": "app", "client_secret": "s"}
        token = self.sandbox.org.post("/services/oauth2/token", data=form).json()["access_token"]
        self.sandbox.org.headers["Authorization"] = f"Bearer {token}"
        self.login = [("accesstoken", token), ("instanceurl", self.sandbox.org_url), ("tenantid", ORG)]

    def admin(self, path: str, **values: Any) -> None:
        assert self.sandbox.http.post(f"/salesforce/_admin/{path}", json=values).is_success

    def make(self, sobject: str = "Contact", **values: Any) -> str:
        response = self.sandbox.org.post(
            f"{DATA}/sobjects/{sobject}", json={"LastName": "Sample"} | values if sobject == "Contact" else values
        )
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def change(self, record_id: str, client: str = "", sobject: str = "Contact", **values: Any) -> None:
        headers = {"Sforce-Call-Options": f"client={client}"} if client else {}
        assert (
            self.sandbox.org.patch(f"{DATA}/sobjects/{sobject}/{record_id}", json=values, headers=headers).status_code
            == 204
        )

    def request(self, method: str, **values: Any) -> Any:
        request_type, response_type = api.METHODS[method]
        call = self.channel.unary_unary(
            api.path_of(method),
            request_serializer=api.MESSAGES[request_type].SerializeToString,
            response_deserializer=api.MESSAGES[response_type].FromString,
        )
        return call(api.MESSAGES[request_type](**values), metadata=self.login)

    def subscribe(
        self, topic: str = CONTACTS, most: int = 100, more: Iterator[int] | None = None, **begin: Any
    ) -> Iterator[Any]:
        """Yield the responses of a subscription; request `most` events first, then as many as `more` yields after each."""
        waiting: queue.Queue[Any] = queue.Queue()
        waiting.put(api.MESSAGES["FetchRequest"](topic_name=topic, num_requested=most, **begin))
        call = self.channel.stream_stream(
            api.path_of("Subscribe"),
            request_serializer=api.MESSAGES["FetchRequest"].SerializeToString,
            response_deserializer=api.MESSAGES["FetchResponse"].FromString,
        )
        responses = call(iter(waiting.get, None), metadata=self.login, timeout=15)
        try:
            for response in responses:
                yield response
                if count := next(more or iter(()), 0):
                    waiting.put(api.MESSAGES["FetchRequest"](topic_name=topic, num_requested=count))
        finally:
            waiting.put(None)
            responses.cancel()

    def events(self, count: int, topic: str = CONTACTS, **begin: Any) -> list[tuple[bytes, dict[str, Any]]]:
        """Return the first events of a subscription: replay id and content."""
        events: list[tuple[bytes, dict[str, Any]]] = []
        responses = self.subscribe(topic, **({"replay_preset": api.EARLIEST} | begin))
        while len(events) < count:
            events += [(each.replay_id, self.read(each.event)) for each in next(responses).events]
        responses.close()  # type: ignore[attr-defined]
        return events

    def read(self, event: Any) -> dict[str, Any]:
        if event.schema_id not in self.schemas:
            schema = self.request("GetSchema", schema_id=event.schema_id)
            self.schemas[event.schema_id] = fastavro.parse_schema(orjson.loads(schema.schema_json))
        return fastavro.schemaless_reader(io.BytesIO(event.payload), self.schemas[event.schema_id], None)  # type: ignore[return-value]


@pytest.fixture
def subscriber(start_sandbox: Start) -> Iterator[Subscriber]:
    subscriber = Subscriber(start_sandbox(households=2))
    yield subscriber
    subscriber.channel.close()


def refusal(call: Any) -> tuple[Any, str]:
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error.value.code(), dict(error.value.trailing_metadata())["error-code"].rpartition("grpc.")[2]


def test_an_unknown_token_is_rejected(subscriber: Subscriber) -> None:
    subscriber.login = [("accesstoken", "nobody's"), *subscriber.login[1:]]
    error = refusal(lambda: subscriber.request("GetTopic", topic_name=CONTACTS))
    assert error == (grpc.StatusCode.UNAUTHENTICATED, "service.auth.error")


def test_a_topic_is_there_when_its_object_is_selected(subscriber: Subscriber) -> None:
    assert subscriber.request("GetTopic", topic_name=CONTACTS).can_subscribe
    subscriber.admin("change_data_capture", objects=["Account"])
    assert refusal(lambda: next(subscriber.subscribe()))[0] == grpc.StatusCode.NOT_FOUND


def test_an_event_has_user_change_and_client(subscriber: Subscriber) -> None:
    contact = subscriber.make(MailingCity="Springfield")
    subscriber.change(contact, client="Loader", MailingCity="Shelbyville", Title="Dr", Phone=None)
    (_, created), (_, changed) = subscriber.events(2)
    header = changed["ChangeEventHeader"]
    assert (created["ChangeEventHeader"]["changeType"], header["changeType"]) == ("CREATE", "UPDATE")
    assert (header["entityName"], header["recordIds"], header["changeOrigin"].rpartition(";")[2]) == (
        "Contact",
        [contact],
        "client=Loader",
    )
    assert (changed["Title"], changed["MailingAddress"]["City"], changed["Name"]) == ("Dr", "Shelbyville", None)
    assert created["MailingAddress"]["City"] == "Springfield"


def test_bits_mark_the_fields_that_changed(subscriber: Subscriber) -> None:
    contact = subscriber.make(Phone="5550100")
    subscriber.change(contact, Phone=None)
    _, (_, changed) = subscriber.events(2)
    topic = subscriber.request("GetTopic", topic_name=CONTACTS)
    names = [
        each["name"]
        for each in orjson.loads(subscriber.request("GetSchema", schema_id=topic.schema_id).schema_json)["fields"]
    ]
    [bits] = changed["ChangeEventHeader"]["changedFields"]
    marked = {name for bit, name in enumerate(names) if int(bits, 16) >> bit & 1}
    assert marked == {"Phone", "LastModifiedDate"}
    assert int(changed["ChangeEventHeader"]["nulledFields"][0], 16) == 1 << names.index("Phone")


def test_rolled_back_changes_are_not_published(subscriber: Subscriber) -> None:
    records = [{"attributes": {"type": "Contact"}, **each} for each in ({"LastName": "Good"}, {"FirstName": "Bad"})]
    subscriber.sandbox.org.post(f"{DATA}/composite/sobjects", json={"allOrNone": True, "records": records})
    contact = subscriber.make()
    assert [each["ChangeEventHeader"]["recordIds"] for _, each in subscriber.events(1)] == [[contact]]


def test_saving_what_is_there_already_is_no_change(subscriber: Subscriber) -> None:
    contact = subscriber.make(Title="Dr")
    subscriber.change(contact, Title="Dr")
    subscriber.change(contact, Title="Prof")
    assert [each["Title"] for _, each in subscriber.events(2)] == ["Dr", "Prof"]


def test_a_subscription_resumes_after_a_replay_id(subscriber: Subscriber) -> None:
    for title in ("One", "Two", "Three"):
        subscriber.make(Title=title)
    replay_id = subscriber.events(3)[0][0]
    events = subscriber.events(2, replay_preset=api.CUSTOM, replay_id=replay_id)
    assert [each["Title"] for _, each in events] == ["Two", "Three"]


@pytest.mark.parametrize(("hours", "is_refused"), [(71, False), (73, True)])
def test_a_replay_id_is_good_for_72_hours(subscriber: Subscriber, hours: int, is_refused: bool) -> None:
    subscriber.make()
    [(replay_id, _)] = subscriber.events(1)
    subscriber.make(Title="Next")
    subscriber.sandbox.admin("clock", advance_seconds=hours * 3600)
    subscriber.log_in()
    if is_refused:
        error = refusal(lambda: subscriber.events(1, replay_preset=api.CUSTOM, replay_id=replay_id))
        assert error == (grpc.StatusCode.INVALID_ARGUMENT, "subscription.fetch.replayid.corrupted")
    else:
        assert subscriber.events(1, replay_preset=api.CUSTOM, replay_id=replay_id)[0][1]["Title"] == "Next"


def test_no_more_events_are_sent_than_requested(subscriber: Subscriber) -> None:
    for number in range(5):
        subscriber.make(Title=str(number))
    responses = subscriber.subscribe(most=2, more=itertools.chain([2], itertools.repeat(0)), replay_preset=api.EARLIEST)
    first, second = next(responses), next(responses)
    responses.close()  # type: ignore[attr-defined]
    assert [len(first.events), first.pending_num_requested, len(second.events)] == [2, 0, 2]


def test_a_sign_of_life_comes_every_270_seconds_with_the_newest_place(subscriber: Subscriber) -> None:
    subscriber.sandbox.admin("clock", rate=1000)
    response = next(subscriber.subscribe())
    assert (list(response.events), len(response.latest_replay_id) > 0) == ([], True)


def test_a_platform_event_is_published_by_rest_and_is_no_record(subscriber: Subscriber) -> None:
    subscriber.make("Tributary_Refresh__e", Client_Key__c="sample:v:household:1")
    [(_, event)] = subscriber.events(1, "/event/Tributary_Refresh__e")
    assert (event["Client_Key__c"], event["Vendor__c"]) == ("sample:v:household:1", None)
    assert subscriber.sandbox.http.get("/salesforce/_admin/records/Tributary_Refresh__e").content == b""


def test_events_survive_a_restart(start_sandbox: Start, subscriber: Subscriber) -> None:
    subscriber.make(Title="Before")
    subscriber.channel.close()
    again = Subscriber(start_sandbox(households=2))
    assert [each["Title"] for _, each in again.events(1)] == ["Before"]
    again.channel.close()


def test_the_stage_determines_whether_a_deal_is_won(subscriber: Subscriber) -> None:
    deal = subscriber.make("Opportunity", Name="Deal", StageName="Prospecting", CloseDate="2026-12-01")
    flags = []
    for stage in ("Closed Won", "Closed Lost", "Qualification"):
        subscriber.change(deal, sobject="Opportunity", StageName=stage)
        row = subscriber.sandbox.org.get(f"{DATA}/sobjects/Opportunity/{deal}").json()
        flags.append((row["IsWon"], row["IsClosed"]))
    assert flags == [(True, True), (False, True), (False, False)]
