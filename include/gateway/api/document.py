"""The OpenAPI document, in version 3.0: of the programs that import it, some read no newer one.

python -m include.gateway.api.document > docs/openapi.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from include.gateway.api.fields import schemas_of
from include.gateway.api.messages import ReplayOrder, RunOrder
from include.gateway.api.reading import is_pushable
from include.gateway.api.records import MAX_ROWS
from include.gateway.api.scopes import SCOPES
from include.gateway.api.settings import Settings
from include.vendors import VENDORS

DESCRIPTION = """Starts runs, takes records, and tells of runs, freshness, findings and dead letters.

Whatever changes something needs an Idempotency-Key: sent again with the same, it is done once and answered the same.
Lists come in pages: ask again with `cursor` set to `next` until that is null.
What is not served is a problem detail (RFC 9457); 429 and 503 say in Retry-After when to come again."""
TOKEN_URL = "https://identity.example/oauth2/token"  # noqa: S105
JSON = "application/json"
TAGS = {
    "runs": "Runs on demand, and their outcome.",
    "records": "Rows that callers push, and their outcome.",
    "vendors": "Vendors, their tables and fields, and how new the data is.",
    "findings": "Findings of the business rules.",
    "dead_letters": "Rows that could not be loaded, and their replay.",
}
"""By which generators divide a client into modules."""

_PROBLEM = {
    "type": "object",
    "description": "Why a call was not served (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "Always about:blank."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was wrong, for people."},
        "rejected": {
            "type": "array",
            "description": "For pushRecords: the rejected rows. Nothing was stored.",
            "items": {"$ref": "#/components/schemas/RejectedRow"},
        },
    },
    "example": {
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": "This needs the scope runs:write",
    },
}
_RECORDS = {
    "type": "array",
    "description": "Rows of the table, in the vendor's own field names. Each states every field, null where it has no value: getTable lists "
    "them, as does the schema that is called after vendor and table.",
    "minItems": 1,
    "maxItems": MAX_ROWS,
    "items": {"type": "object", "additionalProperties": True},
    "example": [{"id": 1, "name": "Sample"}],
}
_WAIT = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
_WHO = {"WWW-Authenticate": {"description": "What is asked for (RFC 6750).", "schema": {"type": "string"}}}
_REFUSALS: Mapping[int, tuple[str, dict[str, Any]]] = {
    400: ("The body ended before its end; or, in plain text, this is no HTTP that can be read.", {}),
    401: ("Nobody known: no token or key, or none that is good.", _WHO),
    403: ("The caller lacks the scope.", _WHO),
    404: ("There is nothing that is called so.", {}),
    408: ("The body did not arrive in time.", {}),
    413: ("The body is too large.", {}),
    415: ("The body is not application/json.", {}),
    422: ("What was sent does not fit, can't be had, or uses an Idempotency-Key again for something else.", {}),
    429: ("Too many calls.", _WAIT),
    503: ("Not served now, and not kept; send it again.", _WAIT),
}


def security(scope: str) -> list[dict[str, list[str]]]:
    """Either of the two ways to prove who calls; a program that knows only one takes the first."""
    return [{"oauth2": [scope]}, {"apiKey": []}]


def tell(
    tag: str, scope: str, body: type[BaseModel] | str | None = None, *, has_id: bool = False, leads_to: str = ""
) -> dict[str, Any]:
    """Returns what the document says of a route, beside what its parameters say.

    Args:
        tag: One of `TAGS`.
        scope: That callers need.
        body: What they send.
        has_id: Whether the path may name something that there is not.
        leads_to: The operation that tells what became of it.
    """
    statuses = {400, 401, 403, 422, 429, 503} | ({404} if has_id else set()) | ({408, 413, 415} if body else set())
    extra: dict[str, Any] = {"security": security(scope)}
    if body:
        name = body if isinstance(body, str) else body.__name__
        extra["requestBody"] = {"required": True, "content": {JSON: {"schema": _ref(name)}}}
    told: dict[int, Any] = {status: _refusal(status) for status in sorted(statuses)}
    if leads_to:
        link = {"operationId": leads_to, "parameters": {"id": "$response.body#/id"}}
        told[202] = {"description": "Kept; it will be done.", "links": {leads_to: link}}
    return {"tags": [tag], "responses": told, "openapi_extra": extra}


def build(app: FastAPI, settings: Settings) -> dict[str, Any]:
    """Returns the document of an app."""
    document = get_openapi(
        title="Tributary",
        version="1",
        summary=None,
        description=DESCRIPTION,
        openapi_version="3.0.3",
        routes=app.routes,
        tags=[{"name": name, "description": description} for name, description in TAGS.items()],
    )
    for operation in (each for path in document["paths"].values() for each in path.values()):
        for parameter in operation.get("parameters", ()):
            parameter["schema"] = _without_null(parameter["schema"])
    document["servers"] = [{"url": settings.url}]
    schemas = document["components"]["schemas"]
    for model in (RunOrder, ReplayOrder):
        schemas[model.__name__] = model.model_json_schema()
    schemas |= {"Problem": _PROBLEM, "Records": _RECORDS}
    for vendor in VENDORS:
        for table in filter(is_pushable, vendor.asked):
            schemas |= schemas_of(vendor, table)
    flow = {"tokenUrl": settings.token_url or TOKEN_URL, "scopes": SCOPES}
    document["components"]["securitySchemes"] = {
        "oauth2": {
            "type": "oauth2",
            "description": "A token of the firm's identity provider, whose address stands here.",
            "flows": {"clientCredentials": flow},
        },
        "apiKey": {
            "type": "apiKey",
            "in": "header",
            "name": "X-API-Key",
            "description": "An API key; a program that can set no other header sends it as Authorization: Bearer.",
        },
    }
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    lowered: dict[str, Any] = _lower(document)
    return lowered


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _refusal(status: int) -> dict[str, Any]:
    description, headers = _REFUSALS[status]
    content = {"application/problem+json": {"schema": _ref("Problem")}}
    if status == 400:  # the server's own word, before the request is one of ours
        content["text/plain"] = {"schema": {"type": "string"}}
    told = {"description": description, "content": content}
    return told | ({"headers": headers} if headers else {})


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is left out, and never null."""
    rest: list[dict[str, Any]] = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(rest) != 1:
        return schema
    return {name: value for name, value in schema.items() if name != "anyOf"} | rest[0]


def _lower(node: Any) -> Any:
    """Says in the words of 3.0 what pydantic says in those of 3.1; and takes its titles away, which repeat names."""
    if isinstance(node, list):
        return [_lower(each) for each in node]
    if not isinstance(node, dict):
        return node
    if {"type": "null"} in (node.get("anyOf") or ()):
        node = _without_null(node) | {"nullable": True}
    if "const" in node:
        node = {name: value for name, value in node.items() if name != "const"} | {"enum": [node["const"]]}
    is_titled = isinstance(node.get("title"), str) and ("type" in node or "enum" in node or "$ref" in node)
    return {
        name: value if name == "example" else _lower(value)
        for name, value in node.items()
        if not (is_titled and name == "title")
    }


def render(app: FastAPI) -> str:
    """Returns the document as it is kept among the docs, without what a firm chose."""
    return json.dumps(build(app, Settings()), indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Writes the document."""
    from include.gateway.api.app import create_app
    from include.gateway.api.callers import Issuer

    def refuse_database() -> Any:
        raise AssertionError("nothing is asked")

    sys.stdout.write(render(create_app(refuse_database, Settings, lambda: Issuer(Settings()))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
