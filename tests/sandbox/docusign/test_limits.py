"""DocuSign's limits on calls, polling and downloads, and faults."""

import pytest

from sandbox.docusign.limits import BURST, HOURLY, POLLED_IN_A_BURST
from tests.running_sandbox import NOW
from tests.sandbox.docusign.caller import SINCE


def test_every_response_has_rate_limits_and_a_trace(docusign):
    first, second = docusign.get("/templates"), docusign.get("/nothing")
    assert first.headers["X-RateLimit-Limit"] == str(HOURLY)
    assert int(second.headers["X-RateLimit-Remaining"]) == int(first.headers["X-RateLimit-Remaining"]) - 1
    assert int(second.headers["X-BurstLimit-Remaining"]) == BURST - 2
    assert int(first.headers["X-RateLimit-Reset"]) == int(NOW.timestamp()) + 3600
    assert first.headers["X-DocuSign-TraceToken"] != second.headers["X-DocuSign-TraceToken"]


def test_burst_is_refused_by_its_code_and_is_over_after_thirty_seconds(docusign, monkeypatch):
    monkeypatch.setattr("sandbox.docusign.limits.BURST", 5)
    responses = [docusign.get("/connect") for _ in range(6)]
    assert [response.status_code for response in responses] == [200] * 5 + [400]
    assert responses[5].json()["errorCode"] == "BURST_APIINVOCATION_LIMIT_EXCEEDED"
    assert responses[5].headers["X-BurstLimit-Remaining"] == "0"
    assert docusign.http.get("/_sandbox/calls").json()["violations"] == {"docusign_burst": 1}
    docusign.sandbox.admin("clock", advance_seconds=31)
    assert docusign.get("/connect").status_code == 200


def test_hour_s_calls_are_back_at_the_reset(docusign, monkeypatch):
    monkeypatch.setattr("sandbox.docusign.limits.HOURLY", 5)
    docusign.sandbox.admin("clock", advance_seconds=3500)
    refused = [docusign.get("/connect") for _ in range(6)][5]
    assert refused.json()["errorCode"] == "HOURLY_APIINVOCATION_LIMIT_EXCEEDED"
    wait = int(refused.headers["X-RateLimit-Reset"]) - NOW.timestamp() - 3500
    assert 95 < wait <= 100
    docusign.sandbox.admin("clock", advance_seconds=wait)
    docusign.log_in()
    assert docusign.get("/connect").status_code == 200


@pytest.mark.parametrize("status", [400, 429])
def test_limit_can_be_made_to_strike_with_either_status(docusign, status):
    fault = {"route": "/docusign/*", "kind": "hourly_limit", "times": 1, "status": status}
    docusign.http.post("/_sandbox/faults", json=fault)
    response = docusign.get("/connect")
    assert (response.status_code, response.json()["errorCode"]) == (status, "HOURLY_APIINVOCATION_LIMIT_EXCEEDED")


def test_polling_an_envelope_is_flagged_first_and_refused_in_the_end(docusign):
    path = f"/envelopes/{docusign.list()[0]['envelopeId']}"
    assert docusign.get(path).status_code == 200
    assert docusign.http.get("/_sandbox/calls").json()["violations"] == {}
    statuses = [docusign.get(path).status_code for _ in range(POLLED_IN_A_BURST)]
    assert (statuses[0], statuses[-1]) == (200, 400)
    assert docusign.get(path).json()["errorCode"] == "Burst_Envelope_Polling_Limit_Exceeded"
    assert docusign.http.get("/_sandbox/calls").json()["violations"][f"docusign_polling {docusign.root}{path}"] > 1
    assert docusign.get(f"{path}/recipients").status_code == 200


def test_downloads_of_an_unfinished_envelope_are_throttled(docusign):
    path = f"/envelopes/{docusign.send()}/documents/combined"
    responses = [docusign.get(path) for _ in range(4)]
    assert [response.status_code for response in responses] == [200] * 3 + [400]
    assert responses[3].json()["errorCode"] == "API_REQUEST_IS_THROTTLED"


def test_transport_and_row_faults_strike(docusign):
    path = docusign.root + "/envelopes"
    fault = {"route": path, "kind": "field_renamed", "field": "status", "to": "state"}
    docusign.http.post("/_sandbox/faults", json=fault)
    assert "state" in docusign.list()[0]
    docusign.http.post("/_sandbox/faults", json={"route": path, "kind": "server_error", "times": 1})
    assert docusign.get("/envelopes", from_date=SINCE).status_code == 503
    docusign.http.post("/_sandbox/faults", json={"route": path, "kind": "token_expired", "times": 1})
    assert docusign.get("/envelopes", from_date=SINCE).status_code == 401
