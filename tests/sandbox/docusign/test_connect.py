"""DocuSign's Connect: configurations, signed messages, retries and logs."""

import base64
import hashlib
import hmac
import json
import threading
import time

import pytest

from sandbox.docusign.connect import Sender, sign, write_message
from sandbox.docusign.rows import TEMPLATES, write_envelope
from sandbox.docusign.store import CONNECT_KEY, Store
from sandbox.server.clock import Clock
from tests.running_sandbox import NOW
from tests.sandbox.docusign.caller import DocuSign, Listener, give_keys

SENT = ("envelope-sent", "envelope-completed", "envelope-voided")
AT = "2026-11-20T23:00:00.0000000Z"


@pytest.fixture
def listener():
    listener = Listener()
    yield listener
    listener.close()


def wait(docusign, seconds=10.0):
    return docusign.edit("quiet", timeout_seconds=seconds)


def read(listener):
    return [json.loads(body) for _, body in listener.received]


def wait_until(is_true, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not is_true() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert is_true()


# Messages


def test_signature_is_that_of_rfc_4231():
    expected_digest = bytes.fromhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    signed = sign(b"what do ya want for nothing?", ["Jefe"])
    assert signed["X-DocuSign-Signature-1"] == base64.b64encode(expected_digest).decode()
    assert sign(b"", []) == {}


def test_message_has_numbers_where_the_document_has_them_and_a_summary_only_with_data():
    envelope = write_envelope("e1", TEMPLATES[0], [("Ann Sample", "ann@example.org")], "orion:1", None, NOW)
    whole = json.loads(write_message(envelope, "recipient-sent", generated_at=AT, recipient_id="1", retry_count=2))
    assert list(whole) == [
        *("event", "apiVersion", "uri", "retryCount", "configurationId", "generatedDateTime", "data"),
    ]
    assert (whole["retryCount"], whole["configurationId"], whole["apiVersion"]) == (2, 1, "v2.1")
    assert list(whole["data"]) == ["accountId", "userId", "recipientId", "envelopeId", "envelopeSummary"]
    assert whole["data"]["envelopeSummary"]["customFields"]["textCustomFields"][0]["value"] == "orion:1"
    bare = json.loads(write_message(envelope, "envelope-sent", generated_at=AT, include=()))
    assert list(bare["data"]) == ["accountId", "userId", "envelopeId"]


def test_documents_are_files_on_request():
    envelope = write_envelope("e1", TEMPLATES[0], [("Ann Sample", "ann@example.org")], None, None, NOW)
    body = write_message(envelope, "envelope-completed", generated_at=AT, include=["documents"])
    for document in json.loads(body)["data"]["envelopeSummary"]["envelopeDocuments"]:
        assert base64.b64decode(document["PDFBytes"]).startswith(b"%PDF-")


# Delivery


def test_events_are_sent_in_their_order_signed_and_acknowledged(docusign, listener):
    config = docusign.subscribe(listener.url, "envelope-sent", "recipient-completed", "envelope-completed")
    id_ = docusign.send()
    while docusign.edit("sign", envelope_id=id_)["status"] != "completed":
        pass
    counts = wait(docusign)
    messages = read(listener)
    assert counts == {"sent": len(messages), "acknowledged": len(messages), "failed": 0, "lost": 0, "waiting": 0}
    assert (messages[0]["event"], messages[-1]["event"]) == ("envelope-sent", "envelope-completed")
    assert {message["configurationId"] for message in messages} == {int(config["connectId"])}
    assert {message["data"]["envelopeId"] for message in messages} == {id_}
    assert messages[-1]["data"]["envelopeSummary"]["status"] == "completed"
    for headers, body in listener.received:
        digest = base64.b64encode(hmac.digest(CONNECT_KEY.encode(), body, hashlib.sha256)).decode()
        assert headers["x-docusign-signature-1"] == digest
        assert headers["x-authorization-digest"] == "HMACSHA256"


def test_every_live_key_signs_and_connections_hand_out_the_first(docusign, listener):
    docusign.subscribe(listener.url, *SENT)
    docusign.edit("connect_keys", keys=["new", "old"])
    docusign.send()
    wait(docusign)
    headers, body = listener.received[0]
    assert {name: headers[name.lower()] for name in sign(body, ["new", "old"])} == sign(body, ["new", "old"])
    assert DocuSign(docusign.sandbox).extra["connect_hmac_key"] == "new"


def test_only_requested_events_are_sent(docusign, listener):
    docusign.subscribe(listener.url, "envelope-voided")
    docusign.subscribe(listener.url, *SENT, allowEnvelopePublish="false")
    docusign.subscribe(listener.url, *SENT, allUsers="false", userIds=["testbank"])
    docusign.edit("void", envelope_id=docusign.send(), reason="Replaced")
    wait(docusign)
    assert [message["event"] for message in read(listener)] == ["envelope-voided"]


def test_changes_and_looking_for_messages_never_wait_for_each_other(tmp_path):
    store = Store(tmp_path)
    sender = Sender(store, Clock())
    envelope = write_envelope("e1", TEMPLATES[0], [("Ann Sample", "ann@example.org")], None, None, NOW)

    def change():
        for _ in range(2000):
            with store.write():
                sender.publish(envelope, [("envelope-sent", None)])

    sender.start()
    changing = threading.Thread(target=change, daemon=True)
    changing.start()
    changing.join(20)
    assert not changing.is_alive()
    sender.stop()
    store.close()


def test_failure_takes_the_configuration_down_and_a_success_lets_all_follow_in_order(docusign, listener):
    docusign.edit("retries", seconds=[3600, 3600])
    docusign.subscribe(listener.url, *SENT)
    listener.answer = lambda body: 503
    ids = [docusign.send() for _ in range(3)]
    wait_until(lambda: listener.received)
    time.sleep(0.2)
    ids.append(docusign.send())
    time.sleep(0.1)
    assert len(listener.received) == 1
    failures = docusign.get("/connect/failures").json()["failures"]
    assert [failure["error"] for failure in failures] == ["HTTP 503", "Pending", "Pending", "Pending"]
    listener.answer = lambda body: 200
    docusign.sandbox.admin("clock", advance_seconds=3601)
    assert wait(docusign)["waiting"] == 0
    messages = read(listener)[1:]
    assert [message["data"]["envelopeId"] for message in messages] == ids
    assert [message["retryCount"] for message in messages] == [1, 0, 0, 0]
    assert messages[0]["generatedDateTime"] == read(listener)[0]["generatedDateTime"]
    assert docusign.log_in().get("/connect/failures").json()["failures"] == []


def test_retries_end_and_republishing_sends_a_new_body(docusign, listener):
    docusign.edit("retries", seconds=[0, 0])
    docusign.subscribe(listener.url, *SENT)
    listener.answer = lambda body: 500
    id_ = docusign.send()
    assert wait(docusign) == {"sent": 3, "acknowledged": 0, "failed": 1, "lost": 0, "waiting": 0}
    listener.answer = lambda body: 200
    response = docusign.call("PUT", f"/connect/envelopes/{id_}/retry_queue")
    assert response.json()["retryQueue"][0]["envelopeId"] == id_
    wait(docusign)
    first, last = read(listener)[0], read(listener)[-1]
    assert (first["event"], last["event"], last["retryCount"]) == ("envelope-sent", "envelope-sent", 0)
    assert last["generatedDateTime"] > first["generatedDateTime"]


def test_envelope_that_did_not_fail_can_also_be_republished(docusign, listener):
    docusign.subscribe(listener.url, *SENT)
    ids = [docusign.send() for _ in range(2)]
    wait(docusign)
    body = {"envelopeIds": ids}
    assert len(docusign.call("PUT", "/connect/envelopes/retry_queue", json=body).json()["retryQueue"]) == 2
    wait(docusign)
    assert [message["data"]["envelopeId"] for message in read(listener)] == ids + ids


def test_without_acknowledgement_nothing_is_tried_again(docusign, listener):
    docusign.subscribe(listener.url, *SENT, requiresAcknowledgement="false")
    listener.answer = lambda body: 500 if len(listener.received) == 1 else 200
    docusign.send()
    docusign.send()
    assert wait(docusign) == {"sent": 2, "acknowledged": 1, "failed": 1, "lost": 0, "waiting": 0}


def test_messages_wait_for_a_gateway_that_is_down_over_a_restart(start_sandbox, tmp_path):
    give_keys(tmp_path / "state")
    closed = Listener()
    closed.close()
    with_gateway_down = DocuSign(start_sandbox()).log_in()
    with_gateway_down.edit("retries", seconds=[1] * 20)
    with_gateway_down.subscribe(closed.url, *SENT)
    id_ = with_gateway_down.send()
    wait_until(lambda: with_gateway_down.get("/connect/failures").json()["failures"])
    with_gateway_down.sandbox.http.post("/_sandbox/docusign/quiet", json={"timeout_seconds": 0})
    again, listener = DocuSign(start_sandbox()).log_in(), Listener(closed.port)
    try:
        assert wait(again)["waiting"] == 0
        assert {message["data"]["envelopeId"] for message in read(listener)} == {id_}
    finally:
        listener.close()


def test_gateway_that_dies_or_is_slow_has_not_acknowledged(docusign, listener):
    docusign.edit("retries", seconds=[0] * 5, ack_seconds=0.15)
    docusign.subscribe(listener.url, *SENT)

    def response(body):
        if len(listener.received) == 1:
            return None  # the connection is closed without a response
        if len(listener.received) == 2:
            time.sleep(0.3)
        return 200

    listener.answer = response
    docusign.send()
    assert wait(docusign) == {"sent": 3, "acknowledged": 1, "failed": 0, "lost": 0, "waiting": 0}
    assert [message["retryCount"] for message in read(listener)] == [0, 1, 2]


def test_messages_can_be_doubled_shuffled_and_lost(docusign, listener):
    docusign.subscribe(listener.url, *SENT)
    docusign.edit("retries", seconds=[3600])
    listener.answer = lambda body: 503
    ids = [docusign.send() for _ in range(20)]
    wait_until(lambda: listener.received)
    listener.received.clear()
    listener.answer = lambda body: 200
    docusign.edit("disturb", copies=2, shuffle=20, lost=0.3, seed=5)
    docusign.sandbox.admin("clock", advance_seconds=3601)
    counts = wait(docusign)
    assert counts["lost"] + counts["acknowledged"] == 20
    assert 0 < counts["lost"] < 20
    envelope_ids = [message["data"]["envelopeId"] for message in read(listener)]
    assert len(envelope_ids) == 2 * counts["acknowledged"]
    assert envelope_ids[::2] == envelope_ids[1::2]
    assert envelope_ids[::2] != [id_ for id_ in ids if id_ in envelope_ids]


# Administration


def test_configuration_is_made_changed_read_and_deleted(docusign):
    config = docusign.subscribe("https://hooks.example.com/docusign", *SENT)
    path = f"/connect/{config['connectId']}"
    changed = docusign.call("PUT", "/connect", json={"connectId": config["connectId"], "name": "Mine"}).json()
    assert (changed["name"], changed["events"]) == ("Mine", list(SENT))
    assert docusign.get(path).json() == {"configurations": [changed], "totalRecords": "1"}
    assert docusign.get("/connect").json()["configurations"] == [changed]
    assert docusign.call("DELETE", path).status_code == 200
    assert docusign.get(path).status_code == 404


def test_publishing_is_off_unless_it_is_turned_on(docusign):
    response = docusign.call("POST", "/connect", json={"urlToPublishTo": "https://hooks.example.com/", "events": []})
    assert response.json()["allowEnvelopePublish"] == "false"


@pytest.mark.parametrize(
    "changed",
    [
        {"urlToPublishTo": "http://hooks.example.com/"},
        {"urlToPublishTo": "ftp://127.0.0.1/"},
        {"events": ["envelope-eaten"]},
        {"events": "envelope-sent"},
        {"allUsers": True},
        {"deliveryMode": "aggregate"},
        {"eventData": {"version": "legacy"}},
        {"eventData": {"includeData": ["secrets"]}},
    ],
)
def test_wrong_configuration_is_refused(docusign, changed):
    response = docusign.call("POST", "/connect", json={"urlToPublishTo": "https://a.example/", "events": []} | changed)
    assert (response.status_code, response.json()["errorCode"]) == (400, "INVALID_CONNECT_CONFIGURATION")
    assert docusign.get("/connect").json()["totalRecords"] == "0"


def test_account_has_at_most_twenty_configurations(docusign):
    for _ in range(20):
        docusign.subscribe("https://hooks.example.com/", *SENT)
    response = docusign.call("POST", "/connect", json={"urlToPublishTo": "https://hooks.example.com/"})
    assert response.status_code == 400


def test_log_lists_deliveries_if_enabled(docusign, listener):
    docusign.subscribe(listener.url, *SENT)
    docusign.subscribe(listener.url, *SENT, enableLog="false")
    id_ = docusign.send()
    wait(docusign)
    logs = docusign.get("/connect/logs").json()["logs"]
    assert [(log["envelopeId"], log["status"], log["retryCount"]) for log in logs] == [(id_, "Sent", "0")]
    docusign.sandbox.admin("clock", advance_seconds=16 * 86_400)
    assert docusign.log_in().get("/connect/logs").json()["logs"] == []
