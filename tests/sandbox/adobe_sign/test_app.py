import base64
import json
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.adobe_sign.app import CLIENT_ID, CLIENT_SECRET, INTEGRATION_KEY, REFRESH_TOKEN, list_true_matches
from sandbox.firm.world import World
from sandbox.server.clock import Clock
from sandbox.server.pdf import write_pdf
from tests.running_sandbox import NOW, run_sandbox

ROOT = "/adobe_sign"
API = ROOT + "/api/rest/v6"
DAY = 86_400
LIFE = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}


class AdobeSign:
    """A caller with the integration key."""

    def __init__(self, sandbox) -> None:
        self.sandbox, self.headers = sandbox, {"Authorization": f"Bearer {INTEGRATION_KEY}"}

    def get(self, path: str, user: str | None = None, headers=None, **params):
        acting = {"x-api-user": user} if user else {}
        return self.sandbox.http.get(API + path, headers=self.headers | acting | (headers or {}), params=params)

    def read(self, path: str, user: str | None = None, **params):
        response = self.get(path, user, **params)
        assert response.status_code == 200, response.text
        return response.json()

    def users(self) -> list[str]:
        return [f"userid:{user['id']}" for user in self.read("/users")["userInfoList"]]

    def list(self, user: str | None = None, **params) -> list[dict]:
        return self.read("/agreements", user, pageSize=500, **params)["userAgreementList"]

    def edit(self, kind: str, **values) -> dict:
        return self.sandbox.admin(f"adobe_sign/{kind}", **values)

    def send(self, **values) -> str:
        return self.edit("send", **{"household_id": 1001, "processing_seconds": 0} | values)["agreement_id"]

    def refuse(self, kind: str, **values) -> None:
        assert self.sandbox.http.post(f"/_sandbox/adobe_sign/{kind}", json=values).status_code == 400

    def post(self, path: str, **form):
        return self.sandbox.http.post(f"{ROOT}/oauth/v2/{path}", data=form)

    def refresh(self, token: str = REFRESH_TOKEN):
        return self.post("refresh", refresh_token=token, **LIFE)

    def log_in(self, token: str) -> None:
        self.headers = {"Authorization": f"Bearer {token}"}

    def advance(self, seconds: float) -> None:
        self.sandbox.admin("clock", advance_seconds=seconds)

    def fault(self, kind: str, path: str, **options) -> None:
        self.sandbox.http.post("/_sandbox/faults", json={"route": API + path, "kind": kind} | options)


@pytest.fixture
def shared(sandbox) -> AdobeSign:
    """A shared, read-only caller."""
    return AdobeSign(sandbox)


@pytest.fixture(scope="module")
def lived(tmp_path_factory) -> Iterator[AdobeSign]:
    """A shared caller for tests that use only agreements of their own."""
    with run_sandbox(tmp_path_factory.mktemp("lived"), households=4) as sandbox:
        yield AdobeSign(sandbox)


@pytest.fixture
def adobe(start_sandbox) -> AdobeSign:
    """A caller of a fresh sandbox with the vendor's own limits."""
    return AdobeSign(start_sandbox(households=4))


def test_refresh_gives_an_access_token_of_an_hour_and_no_refresh_token(adobe):
    token = adobe.refresh().json()
    assert set(token) == {"access_token", "token_type", "expires_in"}
    adobe.log_in(token["access_token"])
    assert adobe.get("/users").status_code == 200
    adobe.advance(3601)
    assert adobe.get("/users").json()["code"] == "INVALID_ACCESS_TOKEN"


def test_refresh_token_dies_after_sixty_days_of_which_every_use_begins_the_first(adobe, start_sandbox):
    for _ in range(2):
        adobe.advance(59 * DAY)
        assert adobe.refresh().status_code == 200
    again = AdobeSign(start_sandbox(households=4))
    again.sandbox.admin("clock", now=NOW.isoformat(), advance_seconds=118 * DAY + 60 * DAY + 60)
    assert again.refresh().json()["error"] == "invalid_grant"


def test_code_is_good_once_and_for_five_minutes(adobe):
    form = LIFE | {"grant_type": "authorization_code"}
    code = adobe.edit("authorize")["code"]
    granted = adobe.post("token", code=code, **form).json()
    assert adobe.refresh(granted["refresh_token"]).status_code == 200
    assert granted["api_access_point"] == f"{adobe.sandbox.url}{ROOT}"
    assert adobe.post("token", code=code, **form).status_code == 400
    late = adobe.edit("authorize")["code"]
    adobe.advance(301)
    assert adobe.post("token", code=late, **form).status_code == 400


def test_revoked_access_token_takes_its_refresh_token_along(adobe):
    token = adobe.refresh().json()["access_token"]
    assert adobe.post("revoke", token=token).content == b""
    assert adobe.post("revoke", token=token).json()["code"] == "EXPIRED_TOKEN"
    assert adobe.refresh().status_code == 400
    assert [adobe.post("revoke", token=each).json()["code"] for each in ("", "x")] == [
        "INVALID_REQUEST",
        "INVALID_TOKEN",
    ]


def test_application_of_another_secret_is_refused(shared):
    assert shared.post("refresh", **LIFE | {"refresh_token": REFRESH_TOKEN, "client_secret": "x"}).status_code == 401


def test_connections_open_the_login(shared):
    extra = shared.sandbox.http.get("/_sandbox/connections").json()["adobe_sign"]["extra"]
    names = ("client_id", "client_secret", "refresh_token")
    form = {name: extra[name] for name in names} | {"grant_type": "refresh_token"}
    assert shared.sandbox.http.post(extra["token_url"], data=form).status_code == 200


def test_base_uris_are_the_sandbox_s_own(shared):
    point = f"{shared.sandbox.url}{ROOT}/"
    assert shared.read("/baseUris") == {"apiAccessPoint": point, "webAccessPoint": point}


def test_wrong_shard_is_an_error(shared):
    shared.fault("wrong_shard", "/agreements", times=1)
    response = shared.get("/agreements")
    assert (response.status_code, response.json()["code"]) == (401, "INVALID_API_ACCESS_POINT")
    assert shared.get("/agreements").status_code == 200


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


def test_etag_spares_what_is_known(lived):
    path = f"/agreements/{lived.send()}"
    etag = lived.get(path).headers["ETag"]
    assert lived.get(path, headers={"If-None-Match": etag}).status_code == 304
    lived.edit("cancel", agreement_id=path.rpartition("/")[2])
    changed = lived.get(path, headers={"If-None-Match": etag})
    assert (changed.status_code, changed.json()["status"]) == (200, "CANCELLED")


def test_fourth_identical_get_in_a_minute_is_too_many(adobe):
    administrator, other = adobe.users()
    for _ in range(3):
        adobe.list(administrator)
    response = adobe.get("/agreements", administrator, pageSize=500)
    assert response.status_code == 429
    assert response.headers["Retry-After"] == str(response.json()["retryAfter"]) == "60"
    assert response.json()["code"] == "THROTTLING_TOO_MANY_REQUESTS"
    assert adobe.get("/agreements", other, pageSize=500).status_code == 200
    assert adobe.get("/agreements", administrator, pageSize=499).status_code == 200


def test_early_retry_begins_the_wait_anew(adobe):
    for _ in range(3):
        adobe.list()
    waits = []
    for seconds in (0, 50, 50, 61):
        adobe.advance(seconds)
        waits.append(adobe.get("/agreements", pageSize=500).status_code)
    assert waits == [429, 429, 429, 200]


def test_conditional_get_above_the_limit_is_304_even_if_all_has_changed(adobe):
    path = f"/agreements/{adobe.send()}"
    etag = adobe.get(path).headers["ETag"]
    adobe.edit("cancel", agreement_id=path.rpartition("/")[2])
    statuses = [adobe.get(path, headers={"If-None-Match": etag}).status_code for _ in range(4)]
    assert statuses == [200, 200, 304, 304]


def test_high_load_returns_reason_and_retry_time(shared):
    shared.fault("high_load", "/users", times=1, retry_after=7)
    response = shared.get("/users")
    assert (response.status_code, response.headers["X-Throttling-Reason"]) == (429, "high-system-load")
    assert response.json()["code"] == "THROTTLING_HIGH_SYSTEM_LOAD"
    assert response.headers["Retry-After"] == "7"
    shared.sandbox.admin("clock", advance_seconds=8)
    assert shared.get("/users").status_code == 200


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


@given(st.lists(st.lists(st.text(max_size=20), max_size=4), min_size=1, max_size=4))
def test_pdf_has_correct_object_offsets(pages):
    whole = write_pdf(pages)
    start = int(re.search(rb"startxref\n(\d+)\n%%EOF\n$", whole)[1])
    assert whole[start:].startswith(b"xref\n")
    places = [int(each) for each in re.findall(rb"(\d{10}) 00000 n \n", whole[start:])]
    assert all(whole[place:].startswith(b"%d 0 obj\n" % number) for number, place in enumerate(places, 1))
    assert len(places) == 3 + 2 * len(pages)


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
