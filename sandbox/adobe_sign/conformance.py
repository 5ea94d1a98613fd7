"""The served part of Adobe Acrobat Sign's API document (of 2022, Swagger 1.2 converted to 2.0), and the document's known errors.

The document requires fields that its own text, or the vendor's newer guide, says are not returned: `nextCursor` on a last page, `state`
(which is write-only), `fileInfos`, and event fields that most events have no value for.
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
"""Definition -> required properties that may be missing from a response."""


class _Fitted(Surface):
    """The surface with the OPTIONAL fields optional, and without a media type for empty responses."""

    def cut(self, document: Document, caller: Caller) -> Document:
        """Return the document with only the served routes, with parameters that exist."""
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
    """Create webhooks to a receiver that listens on a free port until the process ends."""
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
    """Accepts every notification."""

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
