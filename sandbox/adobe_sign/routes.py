"""Adobe Acrobat Sign's REST v6 except webhooks: base URI, users, library documents and agreements.

Documented: the paths, parameters and fields. `GET /agreements` lists the agreements of the acting user. The documents of a new
agreement are processed for a while.

Our choices:

- The administrator may read every agreement by its id. Other users may read only their own; any other returns 403.
- Until the documents of an agreement are processed, all paths below the agreement return 404.

One fault in addition to those of `adobe_sign.endpoint`: `date_offset` (the list's dates have the offset -07:00, as in one of the vendor's
samples).
"""

import base64
from datetime import datetime, timedelta, timezone
from typing import Any

from fastapi import FastAPI, Request, Response

from sandbox.adobe_sign import views
from sandbox.adobe_sign.account import Account
from sandbox.adobe_sign.agreements import UNPROCESSED, Agreement
from sandbox.adobe_sign.endpoint import Call, answer
from sandbox.adobe_sign.ids import write_id
from sandbox.adobe_sign.login import write_error
from sandbox.adobe_sign.rows import COMPANY
from sandbox.server.faults import distort
from sandbox.server.response import Refused, reply

Row = dict[str, Any]

_LISTED_USER = ("company", "email", "firstName", "id", "isAccountAdmin", "lastName")
_LISTED_LIBRARY = ["id", "name", "creatorEmail", "modifiedDate", "sharingMode", "status", "templateTypes", "hidden"]
_INFO_LIBRARY = ["id", "name", "creatorEmail", "createdDate", "sharingMode", "status", "templateTypes"]
_BASE64 = "application/pdf;encoding=base64"


def add_routes(app: FastAPI, api: str, account: Account) -> None:
    """Add all REST routes except webhooks to `app`. Their paths begin with `api`."""
    _add_account(app, api, account)
    _add_agreements(app, api, account)
    _add_parts(app, api, account)


def find_point(request: Request) -> str:
    """Return the URL of this vendor in the sandbox, with the host that the caller used."""
    return f"{request.url.scheme}://{request.url.netloc}{request.scope['root_path']}"


def _add_account(app: FastAPI, api: str, account: Account) -> None:
    @app.get(api + "/baseUris")
    def find_base_uris(request: Request) -> Response:
        account.login.check(request.headers)
        point = find_point(request) + "/"
        return reply({"apiAccessPoint": point, "webAccessPoint": point})

    @app.get(api + "/users")
    def list_users(request: Request) -> Response:
        call = account.open(request, cursor="", pageSize="")
        rows = [{name: user[name] for name in _LISTED_USER if name in user} for user in account.users]
        return account.authorizer.list_page(call, "userInfoList", rows)

    @app.get(api + "/users/{user_id}")
    def read_user(request: Request, user_id: str) -> Response:
        account.open(request)
        return reply(_find(account.users, user_id, "INVALID_USER_ID", "The User ID specified is invalid."))

    @app.get(api + "/libraryDocuments")
    def list_library(request: Request) -> Response:
        call = account.open(request, showHiddenLibraryDocuments="", cursor="", pageSize="")
        with_hidden = call.is_true("showHiddenLibraryDocuments")
        rows = [
            {name: row[name] for name in _LISTED_LIBRARY if name in row}
            for row in account.library
            if _is_shared(row, call) and (with_hidden or not row["hidden"])
        ]
        return account.authorizer.list_page(call, "libraryDocumentList", rows)

    @app.get(api + "/libraryDocuments/{document_id}")
    def read_library(request: Request, document_id: str) -> Response:
        call = account.open(request, has_etag=True)
        message = "The Library Document ID specified is invalid."
        row = _find(account.library, document_id, "INVALID_LIBRARYDOCUMENT_ID", message)
        if not _is_shared(row, call):
            raise _deny()
        return answer(call, {name: row[name] for name in _INFO_LIBRARY if name in row})


def _add_agreements(app: FastAPI, api: str, account: Account) -> None:
    path = api + "/agreements/{agreement_id}"

    @app.get(api + "/agreements")
    def list_agreements(request: Request) -> Response:
        call = account.open(request, externalId="", showHiddenAgreements="", cursor="", pageSize="")
        with_hidden, external_id, email = (
            call.is_true("showHiddenAgreements"),
            call.query["externalId"],
            call.user["email"],
        )
        with account.world.lock:
            rows = [
                views.write_item(each, email, account.now(), account.names)
                for each in account.list_agreements(email)
                if external_id in ("", each.external_id) and (with_hidden or not each.is_hidden)
            ]
        if account.faults.take(call.path, "date_offset"):
            rows = [row | {"displayDate": _write_offset(row["displayDate"])} for row in rows]
        return account.authorizer.list_page(call, "userAgreementList", rows)

    @app.get(path)
    def read_agreement(request: Request, agreement_id: str) -> Response:
        call = account.open(request, has_etag=True)
        with account.world.lock:
            info = views.write_info(_find_agreement(account, call, agreement_id), account.now())
        return answer(call, distort(account.faults, call.path, [info])[0])

    @app.get(path + "/members")
    def read_members(request: Request, agreement_id: str) -> Response:
        call = account.open(request, has_etag=True, includeNextParticipantSet="")
        with_next = call.is_true("includeNextParticipantSet")
        with account.world.lock:
            agreement = _find_sent(account, call, agreement_id)
            email = call.user["email"]
            return answer(call, views.write_members(agreement, email, account.names, COMPANY, with_next=with_next))

    @app.get(path + "/events")
    def list_events(request: Request, agreement_id: str) -> Response:
        call = account.open(request, has_etag=True)
        with account.world.lock:
            return answer(call, views.write_events(_find_processed(account, call, agreement_id), account.names))


def _add_parts(app: FastAPI, api: str, account: Account) -> None:
    path = api + "/agreements/{agreement_id}"

    @app.get(path + "/documents")
    def list_documents(request: Request, agreement_id: str) -> Response:
        parameters = {"versionId": "", "participantId": "", "supportingDocumentContentFormat": ""}
        call = account.open(request, has_etag=True, **parameters)
        if call.query["supportingDocumentContentFormat"] not in ("", "ORIGINAL", "CONVERTED_PDF"):
            raise Refused(400, write_error("BAD_REQUEST", "There is no such supportingDocumentContentFormat."))
        with account.world.lock:
            agreement = _find_sent(account, call, agreement_id)
            _check_part(agreement, call)
            return answer(call, views.write_documents(agreement))

    @app.get(path + "/combinedDocument")
    def read_combined(request: Request, agreement_id: str) -> Response:
        parameters = dict.fromkeys(("versionId", "participantId", "attachSupportingDocuments", "attachAuditReport"), "")
        call = account.open(request, has_etag=True, **parameters)
        call.is_true("attachSupportingDocuments")
        with_audit = call.is_true("attachAuditReport")
        with account.world.lock:
            agreement = _find_sent(account, call, agreement_id)
            _check_part(agreement, call)
            return _answer_pdf(call, views.write_combined(agreement, with_audit=with_audit))

    @app.get(path + "/auditTrail")
    def read_audit_trail(request: Request, agreement_id: str) -> Response:
        call = account.open(request)
        with account.world.lock:
            return _answer_pdf(call, views.write_audit_trail(_find_processed(account, call, agreement_id)))

    @app.get(path + "/formData")
    def read_form_data(request: Request, agreement_id: str) -> Response:
        call = account.open(request, has_etag=True)
        with account.world.lock:
            return answer(call, views.write_form_data(_find_sent(account, call, agreement_id)), "text/csv")


def _find_agreement(account: Account, call: Call, id_: str) -> Agreement:
    """Return an agreement by id; raise `Refused`: 404 if it is unknown, 403 if the user may not read it."""
    agreement = account.find(id_)
    if agreement is None:
        raise Refused(404, write_error("INVALID_AGREEMENT_ID", "The Agreement ID specified is invalid."))
    if not call.user["isAccountAdmin"] and not agreement.has_party(call.user["email"]):
        raise _deny()
    return agreement


def _find_processed(account: Account, call: Call, id_: str) -> Agreement:
    agreement = _find_agreement(account, call, id_)
    if agreement.find_status(account.now()) == UNPROCESSED:
        message = "The agreement is not yet available or will have no pages to view."
        raise Refused(404, write_error("AGREEMENT_NOT_AVAILABLE", message))
    return agreement


def _find_sent(account: Account, call: Call, id_: str) -> Agreement:
    agreement = _find_processed(account, call, id_)
    if agreement.status == "DRAFT":
        raise Refused(403, write_error("AGREEMENT_IN_DRAFT_STATE", "The agreement is in draft state."))
    return agreement


def _check_part(agreement: Agreement, call: Call) -> None:
    """Raise `Refused` (404) if the call names an unknown version or participant of the agreement."""
    versions = {write_id(agreement.id, "version", number) for number in range(1, len(agreement.events) + 1)}
    if call.query["versionId"] not in {"", *versions}:
        raise Refused(404, write_error("INVALID_VERSION_ID", "The Version ID specified is invalid."))
    if call.query["participantId"] not in {"", *(each.id for each in agreement.participants)}:
        raise Refused(404, write_error("INVALID_PARTICIPANT_ID", "The participant ID specified is invalid."))


def _answer_pdf(call: Call, content: bytes) -> Response:
    if "encoding=base64" in call.request.headers.get("accept", "").replace(" ", ""):
        return answer(call, base64.b64encode(content), _BASE64)
    return answer(call, content, "application/pdf")


def _find(rows: list[Row], id_: str, code: str, message: str) -> Row:
    for row in rows:
        if row["id"] == id_:
            return row
    raise Refused(404, write_error(code, message))


def _is_shared(row: Row, call: Call) -> bool:
    """Return whether the user may see a library document: the user created it, or it is shared."""
    return bool(row["sharingMode"] != "USER" or row["creatorEmail"] == call.user["email"])


def _deny() -> Refused:
    message = "The API caller does not have the permission to execute this operation."
    return Refused(403, write_error("PERMISSION_DENIED", message))


def _write_offset(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone(timezone(timedelta(hours=-7))).isoformat()
