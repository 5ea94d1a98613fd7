"""Adobe Sign's webhooks: their registration, notifications and retries."""

import base64
import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sandbox.adobe_sign.agreements import create_agreement
from sandbox.adobe_sign.app import CLIENT_ID
from sandbox.adobe_sign.webhooks import write_message
from tests.running_sandbox import NOW, run_sandbox
from tests.sandbox.adobe_sign.caller import API, AdobeSign

HEADER = "X-AdobeSign-ClientId"
ALL = {f"include{name}": True for name in ("DetailedInfo", "ParticipantsInfo", "DocumentsInfo", "SignedDocuments")}
FAST = 10_000_000.0
RETRIES = 15


class Receiver:
    """The target of notifications. `mode` is its kind of response: "header", "json", "silent", "wrong" or "error"."""

    def __init__(self) -> None:
        self.mode, self.posts, self.bodies = "header", 0, list[bytes]()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                receiver.answer(self)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.posts += 1
                if receiver.mode in ("header", "json"):
                    receiver.bodies.append(body)
                receiver.answer(self)

            def log_message(self, *args) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.01,)).start()

    def answer(self, call: BaseHTTPRequestHandler) -> None:
        client_id = call.headers[HEADER]
        body = json.dumps({"xAdobeSignClientId": client_id}).encode() if self.mode == "json" else b""
        call.send_response(500 if self.mode == "error" else 200)
        if self.mode in ("header", "error", "wrong"):
            call.send_header(HEADER, "x" if self.mode == "wrong" else client_id)
        call.send_header("Content-Length", str(len(body)))
        call.end_headers()
        call.wfile.write(body)

    @property
    def received(self) -> list[dict]:
        return [json.loads(body) for body in self.bodies]

    @property
    def events(self) -> list[str]:
        return [message["event"].removeprefix("AGREEMENT_") for message in self.received]


class Hooked(AdobeSign):
    def hook(self, receiver: Receiver, user: str | None = None, **changed):
        acting = {"x-api-user": user} if user else {}
        body = {"name": "Ours", "scope": "ACCOUNT", "state": "ACTIVE", "webhookSubscriptionEvents": ["AGREEMENT_ALL"]}
        body |= {"webhookUrlInfo": {"url": receiver.url}} | changed
        return self.sandbox.http.post(f"{API}/webhooks", json=body, headers=self.headers | acting)

    def change(self, method: str, path: str, etag: str | None, **body):
        headers = self.headers | ({"If-Match": etag} if etag else {})
        return self.sandbox.http.request(method, f"{API}/webhooks/{path}", json=body or None, headers=headers)

    def turn(self, id_: str, state: str):
        return self.change("PUT", f"{id_}/state", "*", state=state)

    def quiet(self, seconds: float = 10) -> dict[str, int]:
        return self.edit("quiet", seconds=seconds)

    def wait_for(self, is_true) -> None:
        until = time.monotonic() + 10
        while not is_true() and time.monotonic() < until:
            time.sleep(0.01)
        assert is_true()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def adobe(start_sandbox) -> Hooked:
    return Hooked(start_sandbox(households=4))


@pytest.mark.parametrize("mode", ["silent", "wrong", "error"])
def test_webhook_needs_a_receiver_that_returns_the_application_id(sandbox, receiver, mode):
    receiver.mode = mode
    assert Hooked(sandbox).hook(receiver).status_code == 400


def test_id_may_come_back_in_json(adobe, receiver):
    receiver.mode = "json"
    response = adobe.hook(receiver)
    assert response.headers["Location"].endswith(f"{API}/webhooks/{response.json()['id']}")
    assert adobe.read(f"/webhooks/{response.json()['id']}")["status"] == "ACTIVE"
    adobe.send()
    assert adobe.quiet()["delivered"] == 2


def test_messages_come_in_order_and_hold_the_least(adobe, receiver):
    adobe.hook(receiver)
    id_ = adobe.send(template="Advisory agreement")
    sets = len(adobe.read(f"/agreements/{id_}")["participantSetsInfo"])
    for _ in range(sets):
        adobe.edit("sign", agreement_id=id_)
    assert adobe.quiet() == {"waiting": 0, "delivered": 2 * sets + 2, "dropped": 0, "lost": 0, "failed": 0}
    assert receiver.events == ["CREATED", *["ACTION_REQUESTED", "ACTION_COMPLETED"] * sets, "WORKFLOW_COMPLETED"]
    assert {tuple(message["agreement"]) for message in receiver.received} == {("id", "name", "status")}
    assert len({message["webhookNotificationId"] for message in receiver.received}) == len(receiver.received)
    assert receiver.received[-1]["agreement"]["status"] == "SIGNED"


def test_conditional_parameters_add_what_they_name(adobe, receiver):
    adobe.hook(receiver, webhookConditionalParams={"webhookAgreementEvents": ALL})
    id_ = adobe.send(template="Transfer of assets")
    info = adobe.read(f"/agreements/{id_}")
    for _ in info["participantSetsInfo"]:
        adobe.edit("sign", agreement_id=id_)
    pdf = adobe.get(f"/agreements/{id_}/combinedDocument").content
    adobe.quiet()
    first, last = receiver.received[0]["agreement"], receiver.received[-1]["agreement"]
    assert first["externalId"] == info["externalId"] == {"id": "orion:1001"}
    assert len(first["participantSetsInfo"]["participantSets"]) == len(info["participantSetsInfo"])
    assert base64.b64decode(last["signedDocumentInfo"]["document"]) == pdf
    assert "signedDocumentInfo" not in first


def test_messages_of_an_unprocessed_agreement_wait_for_its_documents(adobe, receiver):
    adobe.hook(receiver)
    adobe.edit("send", household_id=1001)
    assert adobe.quiet(0.2)["waiting"] == 2
    adobe.advance(6)
    assert adobe.quiet()["delivered"] == 2


def test_failing_message_holds_up_all_that_come_after_it_and_is_tried_after_a_minute_and_two(adobe, receiver):
    adobe.hook(receiver)
    receiver.mode = "silent"
    adobe.send()
    adobe.wait_for(lambda: adobe.quiet(0)["failed"] == 1)
    for seconds, attempts in ((58, 1), (3, 2), (115, 2), (7, 3)):
        adobe.advance(seconds)
        time.sleep(0.2)
        assert (adobe.quiet(0)["failed"], receiver.posts) == (attempts, attempts)
    receiver.mode = "header"
    adobe.advance(241)
    assert adobe.quiet()["waiting"] == 0
    assert receiver.events == ["CREATED", "ACTION_REQUESTED"]


def test_webhook_is_inactive_after_the_last_retry_and_what_comes_then_is_lost(start_sandbox, receiver):
    adobe = Hooked(start_sandbox(households=4, pace=FAST))
    id_ = adobe.hook(receiver).json()["id"]
    receiver.mode = "error"
    adobe.send()
    adobe.wait_for(lambda: adobe.read(f"/webhooks/{id_}")["status"] == "INACTIVE")
    assert receiver.posts <= 1 + RETRIES
    assert adobe.read("/webhooks")["userWebhookList"] == []
    receiver.mode = "header"
    adobe.send()
    assert adobe.quiet()["lost"] == 4
    assert adobe.turn(id_, "ACTIVE").status_code == 200
    adobe.send()
    adobe.quiet()
    assert receiver.events == ["CREATED", "ACTION_REQUESTED"]


def test_webhook_gives_up_at_the_fifteenth_retry_however_the_clock_is_set(adobe, receiver):
    id_ = adobe.hook(receiver).json()["id"]
    receiver.mode = "error"
    adobe.send()
    for attempt in range(1, RETRIES + 2):
        adobe.wait_for(lambda expected=attempt: receiver.posts >= expected)
        adobe.wait_for(lambda expected=attempt: adobe.quiet(0)["failed"] == expected)
        adobe.advance(min(60 * 2 ** (attempt - 1), 12 * 3600) + 1)
    assert adobe.read(f"/webhooks/{id_}")["status"] == "INACTIVE"
    assert receiver.posts == 1 + RETRIES


def test_disturbed_messages_come_twice_or_never_or_in_another_order(adobe, receiver):
    adobe.hook(receiver)
    adobe.edit("disturb", duplicates=2)
    adobe.send()
    adobe.quiet()
    assert sorted(Counter(receiver.bodies).values()) == [3, 3]
    adobe.edit("disturb", drop=1)
    adobe.send()
    assert adobe.quiet()["dropped"] == 2
    receiver.bodies.clear()
    adobe.edit("disturb", shuffle=100, seed=1)
    ids = [adobe.send() for _ in range(8)]
    adobe.advance(101)
    adobe.quiet()
    assert Counter(message["agreement"]["id"] for message in receiver.received) == dict.fromkeys(ids, 2)
    assert [message["agreement"]["id"] for message in receiver.received][::2] != ids


def test_waiting_messages_survive_a_restart(receiver, tmp_path):
    with run_sandbox(tmp_path, households=4, pace=1.0) as first:
        adobe = Hooked(first)
        adobe.hook(receiver)
        receiver.mode = "error"
        adobe.send()
        adobe.wait_for(lambda: adobe.quiet(0)["failed"] == 1)
    receiver.mode = "header"
    with run_sandbox(tmp_path, households=4, pace=1.0) as second:
        again = Hooked(second)
        again.advance(120)
        assert again.quiet()["delivered"] == 2
    assert receiver.events == ["CREATED", "ACTION_REQUESTED"]


def test_inactive_webhook_loses_what_waits(adobe, receiver):
    id_ = adobe.hook(receiver).json()["id"]
    adobe.edit("send", household_id=1001)
    assert adobe.turn(id_, "INACTIVE").status_code == 200
    assert adobe.quiet() == {"waiting": 0, "delivered": 0, "dropped": 0, "lost": 2, "failed": 0}
    receiver.mode = "silent"
    assert adobe.turn(id_, "ACTIVE").status_code == 400
    assert adobe.read(f"/webhooks/{id_}")["status"] == "INACTIVE"


def test_change_needs_the_etag_of_what_is_changed(adobe, receiver):
    id_ = adobe.hook(receiver).json()["id"]
    response = adobe.get(f"/webhooks/{id_}")
    renamed = response.json() | {"name": "Theirs", "state": "ACTIVE"}
    assert adobe.change("PUT", id_, None, **renamed).json()["code"] == "MISSING_IF_MATCH_HEADER"
    assert adobe.change("PUT", id_, response.headers["ETag"], **renamed).status_code == 200
    assert adobe.change("DELETE", id_, response.headers["ETag"]).status_code == 412
    assert adobe.change("DELETE", id_, adobe.get(f"/webhooks/{id_}").headers["ETag"]).status_code == 200
    assert adobe.get(f"/webhooks/{id_}").status_code == 404


def test_resource_webhook_receives_only_events_of_its_agreement(adobe, receiver):
    first, second = adobe.send(), adobe.send()
    adobe.hook(receiver, scope="RESOURCE", resourceType="AGREEMENT", resourceId=second)
    for id_ in (first, second):
        adobe.edit("cancel", agreement_id=id_)
    adobe.quiet()
    assert [(message["event"], message["agreement"]["id"]) for message in receiver.received] == [
        ("AGREEMENT_RECALLED", second)
    ]


def test_user_webhook_receives_events_of_its_user(adobe, receiver):
    _, other = adobe.users()
    adobe.hook(receiver, other, scope="USER", webhookSubscriptionEvents=["AGREEMENT_CREATED"])
    mine = adobe.send(sender=adobe.read(f"/users/{other.removeprefix('userid:')}")["email"])
    adobe.send()
    adobe.quiet()
    assert [message["agreement"]["id"] for message in receiver.received] == [mine]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"webhookUrlInfo": {"url": "https://example.com/hook"}}, "INVALID_WEBHOOK_URL"),
        ({"webhookUrlInfo": {"url": "ftp://127.0.0.1/hook"}}, "INVALID_WEBHOOK_URL"),
        ({"webhookSubscriptionEvents": ["AGREEMENT_EATEN"]}, "INVALID_WEBHOOK_SUBSCRIPTION_EVENTS"),
        ({"state": "INACTIVE"}, "INVALID_WEBHOOK_STATE"),
        ({"name": None}, "MISSING_REQUIRED_PARAM"),
        ({"scope": "WORLD"}, "INVALID_ARGUMENTS"),
        ({"scope": "RESOURCE", "resourceType": "X"}, "INVALID_WEBHOOK_RESOURCE_TYPE"),
        ({"scope": "RESOURCE", "resourceType": "AGREEMENT", "resourceId": "x"}, "INVALID_WEBHOOK_RESOURCE_ID"),
        ({"webhookConditionalParams": {"webhookAgreementEvents": {"all": True}}}, "INVALID_WEBHOOK_CONDITIONAL_PARAMS"),
    ],
)
def test_impossible_webhook_is_refused(sandbox, receiver, changed, code):
    response = Hooked(sandbox).hook(receiver, **changed)
    assert (response.status_code, response.json()["code"]) == (400, code)


def test_two_webhooks_are_never_alike(adobe, receiver):
    first = adobe.hook(receiver).json()["id"]
    assert adobe.hook(receiver, name="Other").json()["code"] == "DUPLICATE_WEBHOOK_CONFIGURATION"
    adobe.turn(first, "INACTIVE")
    assert adobe.hook(receiver).status_code == 201
    assert adobe.turn(first, "ACTIVE").json()["code"] == "DUPLICATE_WEBHOOK_CONFIGURATION"


def test_only_the_administrator_makes_webhooks_of_the_account(adobe, receiver):
    assert adobe.hook(receiver, adobe.users()[1]).status_code == 403


def test_message_depends_on_nothing_else_and_is_trimmed_above_the_limit():
    webhook = {"id": "w", "name": "Ours", "scope": "ACCOUNT", "webhookUrlInfo": {"url": "http://127.0.0.1/"}}
    webhook |= {"webhookConditionalParams": {"webhookAgreementEvents": ALL}, "clientId": CLIENT_ID}
    values = {"name": "Form", "sender": "rep@example.com", "documents": [{"name": "Form.pdf", "numPages": 3}]}
    agreement = create_agreement("a", values | {"participants": [{"email": "a@example.com"}]}, NOW)
    agreement.move("sign", {}, NOW)
    event = agreement.events[-1]
    whole = write_message(webhook, agreement, event, "n")
    assert write_message(webhook, agreement, event, "n") == whole
    order = ["includeSignedDocuments", "includeParticipantsInfo", "includeDocumentsInfo", "includeDetailedInfo"]
    sizes = [len(whole)]
    for count in range(1, len(order) + 1):
        trimmed = write_message(webhook, agreement, event, "n", most=sizes[-1] - 1)
        assert json.loads(trimmed)["agreement"]["conditionalParametersTrimmed"] == order[:count]
        sizes.append(len(trimmed))
