import io
import re
import time
import zipfile
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from sandbox.docusign.limits import BURST, HOURLY, POLLED_IN_A_BURST
from sandbox.docusign.stamps import read_ticks, write_american, write_stamp
from sandbox.server.pdf import write_pdf
from tests.running_sandbox import NOW, run_sandbox
from tests.sandbox.docusign.caller import SINCE, DocuSign, give_keys

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    state = tmp_path_factory.mktemp("docusign")
    give_keys(state)
    with run_sandbox(state, households=40, pace=1.0) as sandbox:
        yield sandbox


@pytest.fixture
def docusign(used) -> DocuSign:
    return DocuSign(used).tidy()


@pytest.fixture
def reader(sandbox) -> DocuSign:
    """A caller of the shared sandbox, who must change nothing."""
    return DocuSign(sandbox).log_in()


def make_other_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*form).decode()


# Login


def test_token_is_given_for_a_signed_assertion_and_no_refresh_token_with_it(reader):
    token = reader.request_token().json()
    assert (token["token_type"], token["expires_in"]) == ("Bearer", 3600)
    assert "refresh_token" not in token


@pytest.mark.parametrize(
    ("claims", "description"),
    [
        ({"iss": "somebody"}, "issuer_not_found"),
        ({"aud": "account-d.docusign.com"}, "issuer_not_found"),
        ({"aud": "http://127.0.0.1"}, "issuer_not_found"),
        ({"sub": "somebody"}, "user_not_found"),
        ({"exp": int(time.time()) - 60}, "expired_grant"),
        ({"scope": None}, "no_valid_keys_or_signatures"),
    ],
)
def test_assertion_with_a_wrong_claim_is_refused(reader, claims, description):
    response = reader.request_token(assertion=reader.sign(**claims))
    assert (response.status_code, response.json()) == (
        400,
        {"error": "invalid_grant", "error_description": description},
    )


def test_assertion_signed_with_another_key_is_refused(reader):
    response = reader.request_token(assertion=reader.sign(make_other_key()))
    assert response.json()["error_description"] == "no_valid_keys_or_signatures"


def test_both_scopes_and_consent_are_needed(docusign):
    assert docusign.request_token(assertion=docusign.sign(scope="signature")).json() == {"error": "consent_required"}
    docusign.edit("consent", is_given=False)
    assert docusign.request_token().json() == {"error": "consent_required"}
    docusign.edit("consent", is_given=True)
    assert docusign.request_token().status_code == 200


def test_another_grant_is_refused(reader):
    assert reader.request_token(grant_type="password").json() == {"error": "unsupported_grant_type"}


def test_rest_api_is_at_the_userinfo_address(reader):
    account = reader.http.get("/docusign/oauth/userinfo", headers=reader.headers).json()["accounts"][0]
    assert account["is_default"] is True
    url = f"{account['base_uri']}/restapi/v2.1/accounts/{account['account_id']}/templates"
    assert reader.http.get(url, headers=reader.headers).status_code == 200


def test_token_ages_by_the_sandbox_s_clock(docusign):
    docusign.sandbox.admin("clock", advance_seconds=3590)
    assert docusign.get("/templates").status_code == 200
    docusign.sandbox.admin("clock", advance_seconds=20)
    assert docusign.get("/templates").json()["errorCode"] == "USER_AUTHENTICATION_FAILED"


def test_calls_without_token_or_of_another_account_are_refused(reader):
    other = reader.root.rpartition("/")[0] + "/00000000-0000-0000-0000-000000000000/templates"
    response = reader.http.get(other, headers=reader.headers)
    assert (response.status_code, response.json()["errorCode"]) == (401, "USER_DOES_NOT_BELONG_TO_SPECIFIED_ACCOUNT")
    response = reader.http.get(reader.root + "/templates", headers={"Authorization": ""})
    assert (response.status_code, response.json()["errorCode"]) == (401, "PARTNER_AUTHENTICATION_FAILED")


# Lists


def test_from_date_is_needed_unless_ids_are_given(reader):
    response = reader.get("/envelopes")
    assert (response.status_code, response.json()["errorCode"]) == (400, "INVALID_REQUEST_PARAMETER")
    envelope_id = reader.list()[0]["envelopeId"]
    assert [row["envelopeId"] for row in reader.get("/envelopes", envelope_ids=envelope_id).json()["envelopes"]] == [
        envelope_id
    ]


def test_pages_contain_every_envelope_once_with_counts_as_text(reader):
    whole, ids, start = [row["envelopeId"] for row in reader.list()], [], 0
    while True:
        body = reader.get("/envelopes", from_date=SINCE, count=7, start_position=start).json()
        ids += [row["envelopeId"] for row in body["envelopes"]]
        assert body["totalSetSize"] == str(len(whole))
        assert int(body["endPosition"]) == start + int(body["resultSetSize"]) - 1
        if "nextUri" not in body:
            break
        start += 7
    assert ids == whole
    assert len(set(ids)) == len(ids)


def test_default_page_is_a_hundred(start_sandbox):
    docusign = DocuSign(start_sandbox(households=80)).log_in()
    body = docusign.get("/envelopes", from_date=SINCE).json()
    assert (body["resultSetSize"], len(body["envelopes"])) == ("100", 100)


def test_next_uri_is_relative_and_its_dates_have_lost_their_offset_and_fraction(reader):
    first = reader.get("/envelopes", from_date="2026-10-01T07:00:00.25Z", count=3).json()
    path, _, query = first["nextUri"].partition("?")
    assert path == reader.root.partition("/v2.1")[2] + "/envelopes"
    assert "from_date=10%2F1%2F2026+12%3A00%3A00+AM" in query
    following = reader.http.get(f"/docusign/restapi/v2.1{first['nextUri']}", headers=reader.headers).json()
    assert following["startPosition"] == "3"


def test_continuation_token_continues_the_same_query_only(reader):
    first = reader.get("/envelopes", from_date=SINCE, count=3).json()
    token = first["continuationToken"]
    following = reader.get("/envelopes", from_date=SINCE, count=3, continuation_token=token).json()
    assert following["startPosition"] == "3"
    other = reader.get("/envelopes", from_date=SINCE, count=3, continuation_token=token, status="sent")
    assert other.status_code == 400


def test_drafts_are_returned_only_on_request(reader):
    assert "created" not in {row["status"] for row in reader.list()}
    assert "created" not in {row["status"] for row in reader.list(status="any", from_to_status="created")}
    assert {row["status"] for row in reader.list(status="created,sent")} == {"created", "sent"}


@pytest.mark.parametrize(
    ("qualifier", "status"), [("delivered", "created,sent"), ("completed", "delivered"), ("timedout", "voided")]
)
def test_contradiction_is_an_empty_list(reader, qualifier, status):
    body = reader.get("/envelopes", from_date=SINCE, from_to_status=qualifier, status=status).json()
    assert (body["totalSetSize"], body["envelopes"]) == ("0", [])


def test_period_is_that_of_the_stamp_that_goes_with_the_status(reader):
    whole = reader.list()
    since, until = "2026-10-20T00:00:00Z", "2026-11-05T00:00:00Z"
    for qualifier, stamp in (
        ("sent", "sentDateTime"),
        ("completed", "completedDateTime"),
        ("voided", "voidedDateTime"),
    ):
        envelopes = reader.list(from_to_status=qualifier, from_date=since, to_date=until)
        assert {row["envelopeId"] for row in envelopes} == {
            row["envelopeId"] for row in whole if since <= row.get(stamp, "") <= until
        }


def test_delivered_selects_any_status_change_as_documented(reader):
    period = {"from_date": "2026-10-20T00:00:00Z", "to_date": "2026-11-05T00:00:00Z"}
    assert reader.list(from_to_status="delivered", **period) == reader.list(**period)


def test_seventh_decimal_counts(reader):
    stamps = sorted(row["statusChangedDateTime"] for row in reader.list())
    last = stamps[-1]
    later = re.sub(r"(\d)Z$", lambda digit: f"{min(int(digit[1]) + 1, 9)}Z", last)
    assert len(reader.list(from_date=last)) == 1
    assert later == last or reader.list(from_date=later) == []


def test_order_and_search_text_select(reader):
    whole = reader.list(order_by="created", order="desc")
    stamps = [row["createdDateTime"] for row in whole]
    assert stamps == sorted(stamps, reverse=True)
    field = {row["envelopeId"] for row in reader.list(custom_field="Household=orion:1001")}
    assert 0 < len(field) < len(whole)
    name = reader.list(include="recipients")[0]["recipients"]["signers"][0]["name"]
    envelopes = reader.list(search_text=name, include="recipients")
    assert all(any(name in str(kind) for kind in row["recipients"].values()) for row in envelopes)


def test_parts_are_returned_only_on_request(reader):
    assert not {"recipients", "customFields", "envelopeDocuments", "folders"} & set(reader.list()[0])
    row = reader.list(include="recipients,custom_fields,documents,folders")[0]
    assert {"recipients", "customFields", "envelopeDocuments", "folders"} <= set(row)
    assert "recipients" not in reader.list(include="recipients", exclude="recipients")[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"from_date": "yesterday"},
        {"count": "many"},
        {"status": "lost"},
        {"from_to_status": "lost"},
        {"order_by": "luck"},
        {"brand_new": "1"},
        {"folder_ids": "inbox"},
        {"email": "a@example.org"},
    ],
)
def test_wrong_or_unknown_parameter_is_refused_in_docusign_s_form(reader, wrong):
    response = reader.get("/envelopes", **{"from_date": SINCE} | wrong)
    assert (response.status_code, set(response.json())) == (400, {"errorCode", "message"})


def test_unknown_path_method_and_envelope_are_refused_in_docusign_s_form(reader):
    for response in (reader.get("/nothing"), reader.call("POST", "/templates"), reader.get("/envelopes/none")):
        assert (response.status_code in (404, 405), set(response.json())) == (True, {"errorCode", "message"})


def test_statuses_are_requested_by_ids_in_a_required_body(reader):
    ids = sorted(row["envelopeId"] for row in reader.list()[:2])
    params = {"envelope_ids": "request_body"}
    assert reader.call("PUT", "/envelopes/status", params=params).json()["errorCode"] == "INVALID_REQUEST_BODY"
    envelopes = reader.call("PUT", "/envelopes/status", params=params, json={"envelopeIds": ids}).json()["envelopes"]
    assert sorted(row["envelopeId"] for row in envelopes) == ids
    query = {"envelope_ids": ",".join(ids)}
    assert reader.call("PUT", "/envelopes/status", params=query, json={}).json()["totalSetSize"] == "2"


def test_templates_are_listed_in_the_order_of_their_names(reader):
    rows = reader.get("/templates").json()["envelopeTemplates"]
    names = [row["name"] for row in rows]
    assert names == sorted(names)
    assert "New account application" in names
    assert "recipients" not in rows[0]
    assert "recipients" in reader.get("/templates", include="recipients").json()["envelopeTemplates"][0]


# Data


def test_firm_s_envelopes_have_every_status_and_every_kind_of_recipient(start_sandbox):
    docusign = DocuSign(start_sandbox(households=120)).log_in()
    rows = docusign.list(status="any", include="recipients,custom_fields") + docusign.list(status="created")
    assert {row["status"] for row in rows} == {"created", "sent", "delivered", "completed", "declined", "voided"}
    kinds = {kind for row in rows for kind, value in row.get("recipients", {}).items() if value and kind[-1] == "s"}
    assert {"signers", "carbonCopies", "certifiedDeliveries", "inPersonSigners", "witnesses"} <= kinds
    assert any(row["createdDateTime"] < "2026-09-15" for row in rows)
    assert all(row["lastModifiedDateTime"] < write_stamp(NOW) for row in rows)


def test_envelopes_name_households_of_orion_and_people_in_them(reader):
    clients = {f"orion:{row['id']}" for row in reader.sandbox.rows("Portfolio/Clients")}
    for row in reader.list(include="recipients,custom_fields"):
        fields = {each["name"]: each["value"] for each in row["customFields"]["textCustomFields"]}
        assert fields["Household"] in clients
        assert fields["Purpose"]
        number = fields["Household"].rpartition(":")[2]
        assert all(f".{number}@" in signer["email"] for signer in row["recipients"]["signers"])


def test_values_are_text_everywhere(reader):
    def list_leaves(value):
        if isinstance(value, dict):
            return [leaf for each in value.values() for leaf in list_leaves(each)]
        return [leaf for each in value for leaf in list_leaves(each)] if isinstance(value, list) else [value]

    row = reader.get(
        f"/envelopes/{reader.list()[0]['envelopeId']}", include="recipients,custom_fields,documents"
    ).json()
    assert {type(leaf) for leaf in list_leaves(row)} == {str}
    assert all(re.fullmatch(r"[\dT:-]{19}\.\d{7}Z", row[name]) for name in row if name.endswith("DateTime"))


def test_another_sandbox_of_the_seed_has_the_same_envelopes(start_sandbox, tmp_path):
    first, second = (DocuSign(start_sandbox(state=tmp_path / name)).log_in() for name in "ab")
    stamps = [{row["envelopeId"]: row["status"] for row in each.list()} for each in (first, second)]
    assert stamps[0] == stamps[1]


def test_own_data_is_served_instead(start_sandbox, tmp_path):
    folder = tmp_path / "data" / "docusign"
    folder.mkdir(parents=True)
    stamp = '"2026-11-01T00:00:00.0000001Z"'
    line = f'{{"envelopeId":"e1","status":"sent","statusChangedDateTime":{stamp},"lastModifiedDateTime":{stamp}}}\n'
    (folder / "envelopes.jsonl").write_text(line)
    (folder / "templates.jsonl").write_text('{"templateId":"t1","name":"Mine"}\n')
    served = DocuSign(start_sandbox(data=tmp_path / "data")).log_in()
    assert [row["envelopeId"] for row in served.list()] == ["e1"]
    assert served.get("/templates").json()["envelopeTemplates"] == [{"templateId": "t1", "name": "Mine"}]


# Documents


def is_pdf(content: bytes) -> bool:
    """Whether every offset of the cross-reference table points at its object."""
    start = int(re.search(rb"startxref\n(\d+)\n%%EOF\n$", content)[1])
    offsets = re.findall(rb"(\d{10}) 00000 n ", content[start:])
    hits = [content[int(offset) :].startswith(b"%d 0 obj\n" % n) for n, offset in enumerate(offsets, 1)]
    return content.startswith(b"%PDF-1.") and bool(hits) and all(hits)


@given(st.lists(st.lists(st.text(), max_size=4), min_size=1, max_size=4))
def test_any_text_makes_a_valid_pdf(pages):
    content = write_pdf(pages)
    assert is_pdf(content)
    assert content.count(b"/Type /Page ") == len(pages)
    assert content == write_pdf(pages)


def test_combined_has_all_documents_and_the_certificate_unless_it_is_not_wanted(reader):
    id_ = reader.list(status="completed", from_to_status="completed")[0]["envelopeId"]
    listed = reader.get(f"/envelopes/{id_}/documents").json()["envelopeDocuments"]
    assert listed[-1]["documentId"] == "certificate"
    response = reader.get(f"/envelopes/{id_}/documents/combined")
    assert response.headers["Content-Type"] == "application/pdf"
    assert response.headers["Content-Disposition"] == 'file; filename="combined.pdf"; documentid="combined"'
    assert is_pdf(response.content)
    assert response.content.count(b"/Type /Page ") == len(listed)
    bare = reader.get(f"/envelopes/{id_}/documents/combined", certificate="false").content
    assert bare.count(b"/Type /Page ") == len(listed) - 1


def test_one_document_the_certificate_and_the_archive_can_be_had(reader):
    id_ = reader.list(status="completed")[0]["envelopeId"]
    assert is_pdf(reader.get(f"/envelopes/{id_}/documents/1").content)
    assert b"Certificate Of Completion" in reader.get(f"/envelopes/{id_}/documents/certificate").content
    archive = zipfile.ZipFile(io.BytesIO(reader.get(f"/envelopes/{id_}/documents/archive").content))
    assert "Summary.pdf" in archive.namelist()
    assert reader.get(f"/envelopes/{id_}/documents/99").status_code == 404


def test_audit_events_name_the_signers(reader):
    row = reader.list(status="completed", include="recipients")[0]
    events = reader.get(f"/envelopes/{row['envelopeId']}/audit_events").json()["auditEvents"]
    fields = [{each["name"]: each["value"] for each in event["eventFields"]} for event in events]
    assert [each["logTime"] for each in fields] == sorted(each["logTime"] for each in fields)
    signed = {each["UserName"] for each in fields if each["Action"] == "Signed"}
    assert {signer["name"] for signer in row["recipients"]["signers"]} <= signed


# Limits


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


# Dates


@given(st.datetimes(timezones=st.just(UTC)))
def test_stamp_is_its_moment_to_the_microsecond(moment):
    assert read_ticks(write_stamp(moment)) // 10 == (moment - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    "same",
    [
        "2017-05-02T01:44:00Z",
        "2017-05-01T21:44:00-04:00",
        "2017-05-01T18:44",
        "5/1/2017 6:44:00 PM",
        "05/01/2017 18:44:00",
    ],
)
def test_dates_without_an_offset_are_those_of_the_vendor_s_servers(same):
    assert read_ticks(same) == read_ticks("2017-05-02T01:44:00.0000000Z")
    assert write_american(read_ticks(same)) == "5/1/2017 6:44:00 PM"
