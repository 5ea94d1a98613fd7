"""DocuSign in the sandbox: lists of envelopes, statuses and templates, and the firm's data."""

import re

import pytest

from sandbox.docusign.stamps import write_stamp
from tests.running_sandbox import NOW
from tests.sandbox.docusign.caller import SINCE, DocuSign


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
