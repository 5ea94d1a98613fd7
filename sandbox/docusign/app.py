"""DocuSign's eSignature REST API v2.1 and Connect. Each module states which behavior is documented and which is our choice.

Documented: the paths, and the format of responses and errors.

Our choices: which of the many paths the sandbox serves, the status of errors except the documented 400s, and the rejection of
unknown paths and parameters.

Faults in addition to the common ones: `token_expired`, `hourly_limit` and `burst_limit`. The last two have the option `status`, by default 400.
"""

import io
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Body, FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from sandbox.docusign import connect_routes
from sandbox.docusign import pages as docusign_pages
from sandbox.docusign import query as docusign_query
from sandbox.docusign.documents import CERTIFICATE, write_certificate, write_document
from sandbox.docusign.life import ENDED, Envelope, list_recipients
from sandbox.docusign.limits import Limits, refuse, write_trace
from sandbox.docusign.login import Tokens, write_user
from sandbox.docusign.office import Office
from sandbox.docusign.rows import ACCOUNT_ID, show
from sandbox.server.calls import Calls
from sandbox.server.faults import Faults, distort, shift
from sandbox.server.pdf import Page, write_pdf
from sandbox.server.response import Refused, create_vendor_app, read_form, reply

__all__ = ["Office", "create_admin", "create_app"]

API = "/restapi/v2.1"
MOST_TEMPLATES = 2000
_ACCOUNT = API + "/accounts/{account_id}"
_ENVELOPE = _ACCOUNT + "/envelopes/{envelope_id}"
_FLAGS = ("include_tabs", "include_metadata", "include_extended", "include_anchor_tab_locations")
_FILE_PARAMETERS = ("certificate", "language", "show_changes", "watermark", "encoding")


def create_app(office: Office, faults: Faults, calls: Calls) -> FastAPI:
    """Return the application to mount at `/docusign`. Connect sends its messages while the application runs.

    Args:
        office: The account.
        faults: The active faults.
        calls: Counts calls and rate-limit violations (`docusign`, `docusign_burst`, `docusign_polling <path>`, ...).
    """
    docusign = _DocuSign(office, faults, calls)
    app = create_vendor_app()
    app.router.lifespan_context = docusign.run_lifespan
    app.exception_handler(HTTPException)(_refuse_route)
    app.middleware("http")(docusign.answer)
    _add_login(app, docusign)
    connect_routes.add_routes(app, office, _ACCOUNT)
    _add_lists(app, docusign)
    _add_envelopes(app, docusign)
    return app


def create_admin(office: Office) -> APIRouter:
    """Return the router of `POST /_sandbox/docusign/quiet`.

    The route waits until Connect has no waiting message, at most `timeout_seconds` (30 by default), and returns Connect's counts.
    """
    router = APIRouter()

    @router.post("/_sandbox/docusign/quiet")
    def wait(values: Annotated[dict[str, Any] | None, Body()] = None) -> Response:
        return reply(office.sender.wait(float((values or {}).get("timeout_seconds", 30))))

    return router


def _refuse_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return reply({"errorCode": "RESOURCE_NOT_FOUND", "message": "The URL provided is not served."}, status)


def _add_login(app: FastAPI, docusign: "_DocuSign") -> None:
    @app.post("/oauth/token")
    async def log_in(request: Request) -> Response:
        form = await read_form(request)
        return reply(await run_in_threadpool(docusign.tokens.open, form, request.headers.get("host", "")))

    @app.get("/oauth/userinfo")
    def get_user(request: Request) -> Response:
        docusign.tokens.check(request.headers)
        return reply(write_user(f"{request.url.scheme}://{request.url.netloc}{request.scope['root_path']}"))


def _add_lists(app: FastAPI, docusign: "_DocuSign") -> None:
    @app.get(_ACCOUNT + "/envelopes")
    def list_envelopes(request: Request) -> Response:
        query = docusign_query.read(request, docusign_query.ENVELOPE_PARAMETERS)
        return reply(docusign.list_envelopes(request, query))

    @app.put(_ACCOUNT + "/envelopes/status")
    async def list_statuses(request: Request) -> Response:
        query = docusign_query.read(request, docusign_query.STATUS_PARAMETERS)
        body = await connect_routes.read_body(request)
        for name, field in (("envelope_ids", "envelopeIds"), ("transaction_ids", "transactionIds")):
            if query.get(name) == "request_body":
                query[name] = ",".join(map(str, body.get(field) or []))
        return reply(await run_in_threadpool(docusign.list_envelopes, request, query))

    @app.get(_ACCOUNT + "/templates")
    def list_templates(request: Request) -> Response:
        query = docusign_query.read(request, docusign_query.TEMPLATE_PARAMETERS)
        return reply(docusign.list_templates(query))


def _add_envelopes(app: FastAPI, docusign: "_DocuSign") -> None:
    @app.get(_ENVELOPE)
    def get_envelope(request: Request, envelope_id: str) -> Response:
        query = docusign_query.read(request, ("include",))
        return reply(show(docusign.poll(request, envelope_id), docusign_query.read_include(query)))

    @app.get(_ENVELOPE + "/recipients")
    def list_recipients_(request: Request, envelope_id: str) -> Response:
        docusign_query.read(request, _FLAGS)
        return reply(docusign.poll(request, envelope_id)["recipients"])

    @app.get(_ENVELOPE + "/documents")
    def list_documents(request: Request, envelope_id: str) -> Response:
        docusign_query.read(request, ("include_metadata", "include_tabs"))
        envelope = docusign.poll(request, envelope_id)
        return reply({"envelopeId": envelope["envelopeId"], "envelopeDocuments": list(_list_documents(envelope))})

    @app.get(_ENVELOPE + "/audit_events")
    def list_audit_events(request: Request, envelope_id: str) -> Response:
        docusign_query.read(request, ())
        return reply({"auditEvents": list(_list_audit_events(docusign.poll(request, envelope_id)))})

    @app.get(_ENVELOPE + "/documents/{document_id}")
    def get_document(request: Request, envelope_id: str, document_id: str) -> Response:
        query = docusign_query.read(request, _FILE_PARAMETERS)
        return docusign.download(request, envelope_id, document_id, query.get("certificate") != "false")


class _DocuSign:
    def __init__(self, office: Office, faults: Faults, calls: Calls) -> None:
        self.office, self.faults = office, faults
        self.limits = Limits(calls, faults)
        self.tokens = Tokens(office.world.path.parent, office.clock, office.store)

    @asynccontextmanager
    async def run_lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Start Connect with the server, and stop it with the server."""
        self.office.sender.start()
        yield
        await run_in_threadpool(self.office.sender.stop)
        self.office.store.close()

    async def answer(self, request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        """Authorize a REST request, and add the trace and rate-limit headers to its response."""
        path = request.url.path
        is_rest = API + "/" in path
        try:
            if is_rest:
                self._admit(request, path)
            answer = await call(request)
        except Refused as error:
            answer = reply(error.body, error.status)
        answer.headers.update(write_trace() | (self.limits.write_headers() if is_rest else {}))
        return answer

    def _admit(self, request: Request, path: str) -> None:
        if self.faults.take(path, "token_expired"):
            self.tokens.forget(request.headers)
        self.tokens.check(request.headers)
        account = path.partition("/accounts/")[2].partition("/")[0]
        if account.lower() != ACCOUNT_ID:
            message = "The specified User is not a member of the specified Account."
            raise refuse(401, "USER_DOES_NOT_BELONG_TO_SPECIFIED_ACCOUNT", message)
        self.limits.admit(path)

    def list_envelopes(self, request: Request, query: docusign_query.Query) -> Envelope:
        """Return the response to a list of envelopes: one page."""
        include, path = docusign_query.read_include(query), request.url.path
        now = self.office.clock.now()
        envelopes = docusign_query.select_envelopes(query, self.office.list_envelopes(), now)
        start = int(query.get("start_position", "0")) if query.get("start_position", "0").isdigit() else 0
        rows = shift(self.faults, path, envelopes, start)
        page, paging = docusign_pages.cut(query, rows, f"/accounts/{ACCOUNT_ID}/envelopes")
        return paging | {"envelopes": distort(self.faults, path, [show(envelope, include) for envelope in page])}

    def list_templates(self, query: docusign_query.Query) -> Envelope:
        """Return the response to a list of templates: one page."""
        templates = docusign_query.select_templates(query, self.office.list_templates())[:MOST_TEMPLATES]
        page, paging = docusign_pages.cut(query, templates, f"/accounts/{ACCOUNT_ID}/templates", MOST_TEMPLATES)
        paging.pop("continuationToken", None)
        hidden = {"documents", "recipients"} - {part.strip() for part in query.get("include", "").split(",")}
        rows = [{name: value for name, value in row.items() if name not in hidden} for row in page]
        return paging | {"envelopeTemplates": rows}

    def poll(self, request: Request, envelope_id: str) -> Envelope:
        """Return an envelope, and count the request as a status poll.

        Raises:
            Refused: 404 for an unknown envelope, 400 if the polling limit is heavily exceeded.
        """
        envelope = self.office.find_envelope(envelope_id)
        self.limits.poll(request.url.path)
        return distort(self.faults, request.url.path, [envelope])[0]

    def download(self, request: Request, envelope_id: str, document_id: str, has_certificate: bool) -> Response:
        """Return a file of an envelope. `document_id` is a document's id, or `combined`, `archive` or `certificate`.

        Raises:
            Refused: 404 for an unknown envelope or document, 400 if the download limit is exceeded.
        """
        envelope = self.office.find_envelope(envelope_id)
        if envelope["status"] not in ENDED:
            self.limits.download(request.url.path)
        if document_id == "archive":
            return _attach(_write_archive(envelope), "application/zip", "documents.zip", document_id)
        pages, name = _find_pages(envelope, document_id, has_certificate)
        return _attach(write_pdf(pages), "application/pdf", name, document_id)


def _find_pages(envelope: Envelope, document_id: str, has_certificate: bool) -> tuple[list[Page], str]:
    """Return the pages and the name of a file: one document, the combined documents, or the certificate.

    The combined documents of a completed envelope end with the certificate, if `has_certificate`.
    """
    documents = envelope["envelopeDocuments"]
    if document_id == CERTIFICATE:
        return [write_certificate(envelope)], "Summary.pdf"
    if document_id == "combined":
        last = [write_certificate(envelope)] if has_certificate and envelope["status"] == "completed" else []
        return [*(write_document(envelope, document) for document in documents), *last], "combined.pdf"
    for document in documents:
        if document["documentId"] == document_id:
            return [write_document(envelope, document)], document["name"]
    raise refuse(404, "DOCUMENT_DOES_NOT_EXIST", "The document specified was not found.")


def _write_archive(envelope: Envelope) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for document in envelope["envelopeDocuments"]:
            entry = zipfile.ZipInfo(document["name"])  # dated 1980, so that the bytes are always the same
            archive.writestr(entry, write_pdf([write_document(envelope, document)]))
        archive.writestr(zipfile.ZipInfo("Summary.pdf"), write_pdf([write_certificate(envelope)]))
    return file.getvalue()


def _attach(content: bytes, kind: str, name: str, document_id: str) -> Response:
    disposition = f'file; filename="{name}"; documentid="{document_id}"'
    return Response(content, media_type=kind, headers={"Content-Disposition": disposition})


def _list_documents(envelope: Envelope) -> Iterator[Envelope]:
    yield from envelope["envelopeDocuments"]
    if envelope["status"] != "created":
        uri = f"{envelope['envelopeUri']}/documents/{CERTIFICATE}"
        yield {"documentId": CERTIFICATE, "name": "Summary", "type": "summary", "uri": uri, "order": "999"}


def _list_audit_events(envelope: Envelope) -> Iterator[Envelope]:
    """Yield audit events, one per timestamp of the envelope and its recipients. The fields of an event are our choice."""
    events = [(envelope[name], name, envelope["sender"]["userName"]) for name in envelope if name.endswith("DateTime")]
    for _, each in list_recipients(envelope):
        events += [(each[name], name, each["name"]) for name in each if name.endswith("DateTime")]
    hidden = ("lastModifiedDateTime", "statusChangedDateTime", "initialSentDateTime", "expireDateTime")
    for at, name, user in sorted(row for row in events if row[1] not in hidden):
        fields = {"logTime": at, "UserName": user, "Action": name.removesuffix("DateTime").capitalize()}
        yield {"eventFields": [{"name": key, "value": value} for key, value in fields.items()]}
