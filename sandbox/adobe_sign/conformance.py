"""The surface of Adobe Acrobat Sign: the part of its API document that the sandbox serves, with known errors corrected.

The document is of 2022, converted from Swagger 1.2 to 2.0. It marks response fields as required although its own text, or the
vendor's newer guide, says that responses may omit them: `nextCursor` on the last page, `state` (which is write-only), `fileInfos`,
and fields for which most events have no value.
"""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

from sandbox.adobe_sign.login import INTEGRATION_KEY
from sandbox.adobe_sign.webhooks import CLIENT_HEADER
from sandbox.server.surface import Caller, Document, Surface

_ROOT = "/adobe_sign/api/rest/v6"

OPTIONAL = {
    "PageInfo": ("nextCursor",),
    "AgreementInfo": ("fileInfos", "state"),
    "LibraryDocumentInfo": ("fileInfos", "state"),
    "WebhookInfo": ("state",),
    "AgreementEvent": (
        "deviceLocation",
        "devicePhoneNumber",
        "digitalSignatureInfo",
        "synchronizationId",
        "vaultEventId",
        "vaultProviderName",
    ),
}
"""Properties that the document requires but a response may omit, by definition."""


class _Fitted(Surface):
    """A surface that corrects the document: OPTIONAL fields are optional, and empty responses have no media type."""

    def cut(self, document: Document, caller: Caller) -> Document:
        """Return the corrected document, reduced to served routes and to the caller's values."""
        definitions = dict(document["definitions"])
        for name, optional in OPTIONAL.items():
            required = [each for each in definitions[name]["required"] if each not in optional]
            definition = {key: value for key, value in definitions[name].items() if key != "required"}
            definitions[name] = definition | ({"required": required} if required else {})
        fitted = super().cut(document | {"definitions": definitions, "produces": []}, caller)
        for operation in (each for methods in fitted["paths"].values() for each in methods.values()):
            is_file = any(media != "application/json" for media in operation["produces"])
            if not is_file and not any("schema" in answer for answer in operation["responses"].values()):
                del operation["produces"]
        return fitted


def _log_in(url: str) -> Caller:
    """Return the caller, after creating webhooks. Their receiver listens on a free port until the process ends."""
    headers, root = {"Authorization": f"Bearer {INTEGRATION_KEY}"}, url + _ROOT
    receiver = _start_receiver()
    webhooks = [_write_webhook(f"{receiver}/{number}") for number in range(16)]
    created = [
        requests.post(f"{root}/webhooks", headers=headers, json=each, timeout=10).json() for each in webhooks[:12]
    ]

    def list_ids(path: str, name: str) -> list[str]:
        rows = requests.get(root + path, headers=headers, timeout=30).json()[name]
        return [row["id"] for row in rows]

    users = list_ids("/users", "userInfoList")
    parameters = {
        "x-api-user": [f"userid:{users[0]}", "email:nobody"],
        "x-on-behalf-of-user": [f"userid:{users[0]}"],
        "If-Match": ["*"],
        "userId": users,
        "agreementId": list_ids("/agreements", "userAgreementList"),
        "libraryDocumentId": list_ids("/libraryDocuments", "libraryDocumentList"),
        "webhookId": [each["id"] for each in created],
    }
    properties = {name: [webhook[name] for webhook in webhooks] for name in webhooks[0]}
    return Caller(headers, parameters, {"WebhookInfo": properties})


def _write_webhook(url: str) -> dict[str, Any]:
    return {
        "name": "Conformance",
        "scope": "ACCOUNT",
        "state": "ACTIVE",
        "webhookSubscriptionEvents": ["AGREEMENT_ALL"],
        "webhookUrlInfo": {"url": url},
    }


class _Receiver(BaseHTTPRequestHandler):
    """A receiver that confirms every webhook."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header(CLIENT_HEADER, self.headers[CLIENT_HEADER])
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


def _start_receiver() -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


SURFACE = _Fitted(
    document="adobe-sign-v6.*.json",
    root=_ROOT,
    routes={
        "/baseUris": ("get",),
        "/users": ("get",),
        "/users/{userId}": ("get",),
        "/agreements": ("get",),
        "/agreements/{agreementId}": ("get",),
        "/agreements/{agreementId}/members": ("get",),
        "/agreements/{agreementId}/events": ("get",),
        "/agreements/{agreementId}/documents": ("get",),
        "/agreements/{agreementId}/combinedDocument": ("get",),
        "/agreements/{agreementId}/auditTrail": ("get",),
        "/agreements/{agreementId}/formData": ("get",),
        "/libraryDocuments": ("get",),
        "/libraryDocuments/{libraryDocumentId}": ("get",),
        "/webhooks": ("get", "post"),
        "/webhooks/{webhookId}": ("get", "put", "delete"),
        "/webhooks/{webhookId}/state": ("put",),
    },
    log_in=_log_in,
)
