"""The life of an envelope: sent, signed, declined, voided."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.docusign import life
from sandbox.docusign.rows import TEMPLATES, write_envelope
from tests.running_sandbox import NOW
from tests.sandbox.docusign.caller import DocuSign, give_keys

ANN, BOB = ("Ann Sample", "ann@example.org"), ("Bob Sample", "bob@example.org")


def make(*, extra=None, copy=ANN):
    return write_envelope("e1", TEMPLATES[0], [ANN, BOB], "orion:1", copy, NOW, extra or {})


def test_sent_envelope_waits_for_the_first_in_turn(docusign):
    id_ = docusign.send(signers=[{"name": "Ann Sample", "email": "ann@example.org"}], household=1001)
    envelope = docusign.get(f"/envelopes/{id_}", include="recipients").json()
    assert envelope["status"] == "sent"
    assert envelope["sentDateTime"] == envelope["statusChangedDateTime"] == envelope["lastModifiedDateTime"]
    assert envelope["recipients"]["signers"][0]["status"] == "sent"
    assert id_ in [row["envelopeId"] for row in docusign.list(from_date="2026-11-20T22:59:00Z")]


def test_last_signer_completes_the_envelope_and_the_copy_is_sent():
    envelope = make()
    life.launch(envelope, NOW)
    assert life.sign(envelope, "1", NOW)[-2:] == [("recipient-completed", "1"), ("recipient-sent", "2")]
    events = life.sign(envelope, "2", NOW)
    assert events == [
        ("recipient-delivered", "2"),
        ("recipient-completed", "2"),
        ("recipient-sent", "3"),
        ("recipient-completed", "3"),
        ("envelope-completed", None),
    ]
    assert (envelope["status"], envelope["recipients"]["carbonCopies"][0]["status"]) == ("completed", "completed")


def test_whose_turn_it_is_not_cannot_sign():
    envelope = make()
    life.launch(envelope, NOW)
    with pytest.raises(life.Impossible, match="recipient 2 is created"):
        life.sign(envelope, "2", NOW)
    with pytest.raises(KeyError):
        life.sign(envelope, "9", NOW)


def test_certified_delivery_is_complete_when_opened_and_is_not_signed():
    envelope = make(extra={"certifiedDeliveries": BOB})
    life.launch(envelope, NOW)
    life.sign(envelope, "1", NOW)
    life.sign(envelope, "2", NOW)
    assert envelope["recipients"]["currentRoutingOrder"] == "3"
    assert ("envelope-completed", None) in life.deliver(envelope, "3", NOW)


def test_decline_and_void_end_an_envelope_with_a_reason(docusign):
    declined, voided = docusign.send(), docusign.send()
    docusign.edit("decline", envelope_id=declined, reason="Wrong amount")
    docusign.edit("void", envelope_id=voided, reason="Replaced")
    row = docusign.get(f"/envelopes/{declined}", include="recipients").json()
    assert (row["status"], row["recipients"]["signers"][0]["declinedReason"]) == ("declined", "Wrong amount")
    row = docusign.get(f"/envelopes/{voided}").json()
    assert (row["status"], row["voidedReason"], "voidedDateTime" in row) == ("voided", "Replaced", True)
    for id_ in (declined, voided):
        assert docusign.http.post("/_sandbox/docusign/sign", json={"envelope_id": id_}).status_code == 400


@pytest.mark.parametrize("kind", ["deliver", "sign", "decline", "void", "resend", "correct"])
def test_nothing_happens_to_an_ended_envelope(kind):
    envelope = make()
    life.launch(envelope, NOW)
    life.void(envelope, "Replaced", NOW)
    more = {"deliver": ("1",), "sign": ("1",), "decline": ("1", "no"), "void": ("no",), "correct": ("1", {})}
    with pytest.raises(life.Impossible, match="is voided"):
        getattr(life, kind)(envelope, *more.get(kind, ()), NOW)


def test_correction_and_reminder_move_the_modification_and_no_status(docusign):
    id_ = docusign.send()
    before = docusign.get(f"/envelopes/{id_}").json()
    docusign.edit("correct", envelope_id=id_, recipient="1", set={"email": "new@example.org"})
    docusign.edit("resend", envelope_id=id_)
    after = docusign.get(f"/envelopes/{id_}", include="recipients").json()
    assert after["recipients"]["signers"][0]["email"] == "new@example.org"
    assert after["lastModifiedDateTime"] > before["lastModifiedDateTime"]
    assert after["statusChangedDateTime"] == before["statusChangedDateTime"]


def test_draft_is_sent_later(docusign):
    id_ = docusign.send(draft=True)
    assert docusign.get(f"/envelopes/{id_}").json()["status"] == "created"
    assert docusign.edit("send", envelope_id=id_)["status"] == "sent"


def test_changes_outlive_a_restart_and_other_envelopes_stay_as_they_were(start_sandbox, tmp_path):
    give_keys(tmp_path / "state")
    docusign = DocuSign(start_sandbox()).log_in()
    id_, whole = docusign.send(), docusign.list(order_by="created")
    while docusign.edit("sign", envelope_id=id_)["status"] != "completed":
        pass
    again = DocuSign(start_sandbox(now=NOW + timedelta(days=1))).log_in()
    assert again.get(f"/envelopes/{id_}").json()["status"] == "completed"
    assert [row for row in again.list(order_by="created") if row["envelopeId"] != id_] == [
        row for row in whole if row["envelopeId"] != id_
    ]
    assert again.send() != id_


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("explode", {}),
        ("send", {"household": 9}),
        ("send", {"signers": []}),
        ("send", {"household": 1001, "template": "None"}),
        ("sign", {"envelope_id": "none"}),
        ("void", {}),
    ],
)
def test_impossible_edit_is_refused_and_changes_nothing(docusign, kind, values):
    whole = docusign.list(to_date="2035-01-01")
    assert docusign.http.post(f"/_sandbox/docusign/{kind}", json=values).status_code == 400
    assert docusign.list(to_date="2035-01-01") == whole


@given(
    st.lists(st.tuples(st.sampled_from(["deliver", "sign", "decline", "void", "resend"]), st.sampled_from("123456")))
)
def test_an_ended_envelope_stays_ended_and_sends_its_events_once(steps):
    envelope = make(extra={"witnesses": BOB, "inPersonSigners": BOB})
    events = life.launch(envelope, NOW)
    for kind, recipient_id in steps:
        before = envelope["status"]
        try:
            if kind in ("deliver", "sign"):
                events += getattr(life, kind)(envelope, recipient_id, NOW)
            elif kind == "decline":
                events += life.decline(envelope, recipient_id, "no", NOW)
            else:
                events += life.void(envelope, "no", NOW) if kind == "void" else life.resend(envelope, NOW)
        except (life.Impossible, KeyError):
            assert envelope["status"] == before
        assert before not in life.ENDED or envelope["status"] == before
    ended = [event for event in events if event[0] in {f"envelope-{status}" for status in life.ENDED}]
    assert len(ended) == (envelope["status"] in life.ENDED)
    completed = [event for event in events if event[0] == "recipient-completed"]
    assert len(completed) == len(set(completed))
