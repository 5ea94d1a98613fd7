"""Adobe Sign in the sandbox: users, agreements, documents, edits, errors and own data."""

import base64
import json

import pytest

from sandbox.adobe_sign.app import list_true_matches
from sandbox.firm.world import World
from sandbox.server.clock import Clock
from tests.running_sandbox import NOW
from tests.sandbox.adobe_sign.caller import AdobeSign


@pytest.mark.parametrize(
    ("header", "value", "status", "code"),
    [
        ("x-api-user", "someone@example.com", 400, "INVALID_X_API_USER_HEADER"),
        ("x-api-user", "email:nobody@example.com", 401, "INVALID_USER"),
        ("x-on-behalf-of-user", "me", 400, "INVALID_ON_BEHALF_OF_USER_HEADER"),
        ("x-on-behalf-of-user", "userid:x", 401, "INVALID_ON_BEHALF_OF_USER"),
        ("Authorization", "Bearer x", 401, "INVALID_ACCESS_TOKEN"),
    ],
)
def test_call_for_an_unknown_user_is_rejected(shared, header, value, status, code):
    response = shared.get("/agreements", headers={header: value})
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_every_user_sees_what_concerns_them_and_together_they_see_all(shared, tmp_path):
    clock = Clock()
    clock.set(NOW)
    drawn = dict(list_true_matches(World(tmp_path, clock, households=40)))
    seen = set()
    for user in shared.users():
        email = shared.read(f"/users/{user.removeprefix('userid:')}")["email"]
        listed = shared.list(user)
        assert 0 < len(listed) < len(drawn)
        for row in listed:
            info = shared.read(f"/agreements/{row['id']}", user)
            sets = [member["email"] for each in info["participantSetsInfo"] for member in each["memberInfos"]]
            assert email in [info["senderEmail"], *sets, *(cc["email"] for cc in info["ccs"])]
            assert drawn[f"agreements:{row['id']}"] == f"household:{info['externalId']['id'].removeprefix('orion:')}"
        seen |= {f"agreements:{row['id']}" for row in listed}
    assert seen == drawn.keys()


def test_agreement_of_another_user_is_denied_except_to_the_administrator(shared):
    administrator, other = shared.users()
    foreign = {row["id"] for row in shared.list(administrator)} - {row["id"] for row in shared.list(other)}
    path = f"/agreements/{foreign.pop()}"
    assert shared.get(path, other).json()["code"] == "PERMISSION_DENIED"
    own = {row["id"] for row in shared.list(other)} - {row["id"] for row in shared.list(administrator)}
    assert shared.get(f"/agreements/{own.pop()}", administrator).status_code == 200


def test_statuses_of_all_kinds_are_drawn(shared):
    rows = [row for user in shared.users() for row in shared.list(user)]
    assert len({row["status"] for row in rows}) >= 10
    assert {"SIGNED", "OUT_FOR_SIGNATURE", "CANCELLED", "EXPIRED", "DRAFT"} <= {row["status"] for row in rows}


def test_status_in_the_list_is_relative_to_the_caller(lived):
    id_ = lived.send(template="Beneficiary change")
    member = lived.read(f"/agreements/{id_}")["participantSetsInfo"][0]["memberInfos"][0]
    lived.edit("sign", agreement_id=id_, participant=member["email"])
    by_id = {row["id"]: row["status"] for row in lived.list()}
    assert by_id[id_] == "WAITING_FOR_MY_APPROVAL"
    assert lived.read(f"/agreements/{id_}")["status"] == "OUT_FOR_APPROVAL"


def test_pages_follow_each_other_and_the_last_has_no_cursor(shared):
    ids, cursor, pages = [], {}, 0
    while True:
        body = shared.read("/agreements", pageSize=7, **cursor)
        ids += [row["id"] for row in body["userAgreementList"]]
        pages += 1
        if "nextCursor" not in body["page"]:
            break
        cursor = {"cursor": body["page"]["nextCursor"]}
    assert ids == [row["id"] for row in shared.list()]
    assert pages == -(-len(ids) // 7)


def test_cursor_of_another_query_is_invalid(shared):
    administrator, other = shared.users()
    cursor = shared.read("/agreements", pageSize=1)["page"]["nextCursor"]
    for user, params in (
        (other, {}),
        (administrator, {"externalId": "orion:1001"}),
        (None, {"showHiddenAgreements": True}),
    ):
        response = shared.get("/agreements", user, cursor=cursor, pageSize=1, **params)
        assert (response.status_code, response.json()["code"]) == (400, "INVALID_CURSOR")
    assert shared.get("/agreements", cursor="x").json()["code"] == "INVALID_CURSOR"


@pytest.mark.parametrize("size", ["0", "501", "-1", "x"])
def test_impossible_page_size_is_refused(shared, size):
    assert shared.get("/agreements", pageSize=size).json()["code"] == "INVALID_PAGE_SIZE"


def test_external_id_finds_a_household_s_agreements(shared):
    rows = shared.list(externalId="orion:1001")
    assert rows
    assert {shared.read(f"/agreements/{row['id']}")["externalId"]["id"] for row in rows} == {"orion:1001"}


def test_new_agreement_is_processed_for_a_while(adobe):
    id_ = adobe.edit("send", household_id=1001)["agreement_id"]
    assert adobe.read(f"/agreements/{id_}")["status"] == "DOCUMENTS_NOT_YET_PROCESSED"
    parts = ("members", "events", "documents", "combinedDocument", "auditTrail", "formData")
    assert [adobe.get(f"/agreements/{id_}/{part}").status_code for part in parts] == [404] * 6
    adobe.refuse("sign", agreement_id=id_)
    adobe.advance(6)
    assert adobe.read(f"/agreements/{id_}")["status"] == "OUT_FOR_SIGNATURE"
    assert [adobe.get(f"/agreements/{id_}/{part}").status_code for part in parts] == [200] * 6


def test_combined_document_is_the_same_pdf_every_time_and_in_base64(shared):
    id_ = shared.list()[0]["id"]
    pages = sum(each["numPages"] for each in shared.read(f"/agreements/{id_}/documents")["documents"])
    response = shared.get(f"/agreements/{id_}/combinedDocument")
    assert response.headers["Content-Type"] == "application/pdf"
    assert response.content.count(b"/Type /Page ") == pages
    assert response.content == shared.get(f"/agreements/{id_}/combinedDocument").content
    encoded = shared.get(f"/agreements/{id_}/combinedDocument", headers={"Accept": "application/pdf;encoding=base64"})
    assert base64.b64decode(encoded.content, validate=True) == response.content
    audited = shared.get(f"/agreements/{id_}/combinedDocument", attachAuditReport=True).content
    assert audited.count(b"/Type /Page ") == pages + 1


def test_last_signature_completes_and_a_restart_keeps_it(adobe, start_sandbox):
    id_ = adobe.send(template="Transfer of assets")
    parties = adobe.read(f"/agreements/{id_}")["participantSetsInfo"]
    adobe.edit("view", agreement_id=id_)
    for _ in parties:
        assert adobe.read(f"/agreements/{id_}", adobe.users()[0])["status"] == "OUT_FOR_SIGNATURE"
        adobe.edit("sign", agreement_id=id_)
    again = AdobeSign(start_sandbox(households=4))
    again.advance(60)
    assert again.read(f"/agreements/{id_}")["status"] == "SIGNED"
    assert {each["status"] for each in again.read(f"/agreements/{id_}/members")["participantSets"]} == {"COMPLETED"}
    kinds = [event["type"] for event in again.read(f"/agreements/{id_}/events")["events"]]
    assert kinds[:3] == ["CREATED", "ACTION_REQUESTED", "EMAIL_VIEWED"]
    assert kinds.count("ACTION_COMPLETED") == kinds.count("ACTION_REQUESTED") == len(parties)


def test_agreement_keeps_its_name_when_the_household_is_renamed(adobe, start_sandbox):
    before = {row["id"]: row["name"] for user in adobe.users() for row in adobe.list(user)}
    for client in adobe.sandbox.rows("Portfolio/Clients"):
        adobe.sandbox.admin("orion/rename_household", client_id=client["id"], name="Renamed")
    again = AdobeSign(start_sandbox(households=4))
    assert {row["id"]: row["name"] for user in again.users() for row in again.list(user)} == before


@pytest.mark.parametrize(
    ("kind", "status", "event"),
    [("reject", "CANCELLED", "REJECTED"), ("cancel", "CANCELLED", "RECALLED"), ("expire", "EXPIRED", "EXPIRED")],
)
def test_end_applies_to_all_participants(lived, kind, status, event):
    id_ = lived.send()
    lived.edit(kind, agreement_id=id_, comment="Never mind")
    assert lived.read(f"/agreements/{id_}")["status"] == status
    members = lived.read(f"/agreements/{id_}/members", includeNextParticipantSet=True)
    assert {each["status"] for each in members["participantSets"]} == {status}
    assert members["nextParticipantSets"] == []
    assert lived.read(f"/agreements/{id_}/events")["events"][-1]["type"] == event
    lived.refuse("sign", agreement_id=id_)


def test_only_an_expired_agreement_is_restarted_and_awaits_again(lived):
    id_ = lived.send()
    lived.refuse("restart", agreement_id=id_)
    lived.edit("expire", agreement_id=id_)
    lived.edit("restart", agreement_id=id_)
    assert lived.read(f"/agreements/{id_}")["status"] == "OUT_FOR_SIGNATURE"
    assert [event["type"] for event in lived.read(f"/agreements/{id_}/events")["events"]][-2:] == [
        "OTHER",
        "ACTION_REQUESTED",
    ]


def test_impossible_edit_keeps_nothing(adobe, start_sandbox):
    adobe.refuse("sign", agreement_id="x")
    adobe.refuse("frobnicate", agreement_id=adobe.send())
    adobe.refuse("send", household_id=1)
    adobe.refuse("disturb", drop=2)
    sandboxes = (adobe.sandbox, start_sandbox(households=4))
    assert len({len(AdobeSign(each).list()) for each in sandboxes}) == 1


def test_draft_is_its_sender_s_alone_until_it_is_issued(lived):
    administrator, other = lived.users()
    id_ = lived.send(state="DRAFT", ccs=[lived.read(f"/users/{other.removeprefix('userid:')}")["email"]])
    assert {row["id"]: row["status"] for row in lived.list(administrator)}[id_] == "DRAFT"
    assert id_ not in {row["id"] for row in lived.list(other)}
    assert lived.get(f"/agreements/{id_}/members").json()["code"] == "AGREEMENT_IN_DRAFT_STATE"
    lived.edit("issue", agreement_id=id_)
    assert id_ in {row["id"] for row in lived.list(other)}


def test_library_document_that_is_not_shared_is_its_creator_s(shared):
    listed = {user: shared.read("/libraryDocuments", user)["libraryDocumentList"] for user in shared.users()}
    alone = [row for rows in listed.values() for row in rows if row["sharingMode"] == "USER"]
    (mine,) = alone
    strangers = [user for user, rows in listed.items() if mine not in rows]
    assert shared.get(f"/libraryDocuments/{mine['id']}", strangers[0]).status_code == 403


def test_edited_library_document_stays_edited(adobe, start_sandbox):
    row = adobe.read("/libraryDocuments")["libraryDocumentList"][0]
    adobe.edit("set_fields", table="library_documents", id=row["id"], set={"name": "Renamed"})
    again = AdobeSign(start_sandbox(households=4))
    assert again.read(f"/libraryDocuments/{row['id']}")["name"] == "Renamed"


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("/agreements", {"status": "SIGNED"}, 400),
        ("/agreements", {"showHiddenAgreements": "maybe"}, 400),
        ("/search", {}, 404),
        ("/agreements/x", {}, 404),
        ("/users/x", {}, 404),
        ("/libraryDocuments/x", {}, 404),
    ],
)
def test_error_has_the_vendor_s_form(shared, path, params, status):
    response = shared.get(path, **params)
    assert (response.status_code, set(response.json())) == (status, {"code", "message"})


def test_row_faults_and_transport_faults_strike(shared):
    shared.fault("field_renamed", "/agreements", field="id", to="agreementId", times=1)
    assert "agreementId" in shared.list()[0]
    shared.fault("date_offset", "/agreements", times=1)
    assert shared.list()[0]["displayDate"].endswith("-07:00")
    shared.fault("server_error", "/agreements", times=1)
    assert shared.get("/agreements").status_code == 503


def test_own_data_is_served_instead_and_can_be_edited(start_sandbox, tmp_path):
    folder = tmp_path / "data" / "adobe_sign"
    folder.mkdir(parents=True)
    user = {"id": "u1", "email": "rep@example.com", "isAccountAdmin": True, "status": "ACTIVE"}
    sets = [{"memberInfos": [{"email": "a@example.com"}], "order": 1, "role": "SIGNER"}]
    agreement = {"id": "a1", "name": "Ours", "senderEmail": "rep@example.com", "status": "OUT_FOR_SIGNATURE"}
    agreement |= {"createdDate": "2026-11-01T10:00:00Z", "participantSetsInfo": sets, "signatureType": "ESIGN"}
    library = {"id": "l1", "name": "Form", "sharingMode": "ACCOUNT", "modifiedDate": "2026-01-01T00:00:00Z"}
    library |= {"templateTypes": ["DOCUMENT"], "creatorEmail": "rep@example.com", "status": "ACTIVE"}
    for table, row in (("users", user), ("agreements", agreement), ("library_documents", library)):
        (folder / f"{table}.jsonl").write_text(json.dumps(row) + "\n")
    served = AdobeSign(start_sandbox(data=tmp_path / "data", households=4))
    assert [(row["id"], row["status"]) for row in served.list()] == [("a1", "OUT_FOR_SIGNATURE")]
    assert [row["id"] for row in served.read("/libraryDocuments")["libraryDocumentList"]] == ["l1"]
    served.edit("sign", agreement_id="a1")
    assert served.read("/agreements/a1")["status"] == "SIGNED"


def test_line_that_cannot_be_read_is_named(start_sandbox, tmp_path):
    folder = tmp_path / "data" / "adobe_sign"
    folder.mkdir(parents=True)
    (folder / "users.jsonl").write_text('{"id": "u1", "email": "rep@example.com", "isAccountAdmin": true}\n')
    agreement = {"id": "a1", "name": "Ours", "senderEmail": "rep@example.com", "status": "OUT_FOR_SIGNATURE"}
    agreement |= {"createdDate": "soon", "participantSetsInfo": []}
    (folder / "agreements.jsonl").write_text(json.dumps(agreement) + "\n")
    with pytest.raises(ValueError, match=r"agreements\.jsonl, id a1"):
        start_sandbox(data=tmp_path / "data", households=4)
