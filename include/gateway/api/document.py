"""Build the OpenAPI document, in version 3.0, because some programs that import it can't read a newer version.

python -m include.gateway.api.document > docs/reference/openapi.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel

from include.gateway.api.fields import schemas_of
from include.gateway.api.messages import ReplayOrder, RunOrder
from include.gateway.api.reading import is_pushable
from include.gateway.api.records import MAX_ROWS
from include.gateway.api.scopes import SCOPES
from include.gateway.api.settings import Settings
from include.vendors import VENDORS

DESCRIPTION = """Start runs, push records, and read runs, freshness, findings and dead letters.

Every POST needs an Idempotency-Key: a request that is retried with the same key is done once and gets the same response.
A scope holds for all vendors. Append `:<vendor>` or `:<vendor>.<table>` to limit it; findings:read and metrics:read can be limited to a vendor only.
Requests for other vendors and tables are then refused with 403, and lists leave them out.
Lists come in pages: repeat the request with `cursor` set to `next` until `next` is null.
Errors are problem details (RFC 9457); 429 and 503 state in Retry-After when to retry."""
TOKEN_URL = "https://identity.example/oauth2/token"  # noqa: S105
JSON = "application/json"
TAGS = {
    "runs": "Runs on demand, and their outcome.",
    "records": "Rows that callers push, and their outcome.",
    "vendors": "Vendors, their tables and fields, and data freshness.",
    "findings": "Findings of the business rules.",
    "dead_letters": "Rows that could not be loaded, and their replay.",
    "health": "Health signals, for a monitor.",
}
"""Descriptions by tag. Programs that generate API clients make one module per tag."""

_PROBLEM = {
    "type": "object",
    "description": "Why a request was not served (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "Always about:blank."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "The reason, for people."},
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
        "detail": "This request needs the scope runs:write",
    },
}
_RECORDS = {
    "type": "array",
    "description": "Rows of the table, in the vendor's field names. Each row must contain every field, null if it has no value. For the "
    "fields, see getTable or the schema named after the vendor and the table.",
    "minItems": 1,
    "maxItems": MAX_ROWS,
    "items": {"type": "object", "additionalProperties": True},
    "example": [{"id": 1, "name": "Sample"}],
}
_WAIT = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
_CHALLENGE = {"WWW-Authenticate": {"description": "The required credentials (RFC 6750).", "schema": {"type": "string"}}}
_REFUSALS: Mapping[int, tuple[str, dict[str, Any]]] = {
    400: ("The body is incomplete, or the request is not valid HTTP.", {}),
    401: ("No valid credentials: the token or key is missing or invalid.", _CHALLENGE),
    403: (
        "The caller lacks the scope, or its scope is limited to other vendors or tables. `detail` names the missing scope.",
        _CHALLENGE,
    ),
    404: ("Not found.", {}),
    408: ("The body did not arrive in time.", {}),
    413: ("The body is too large.", {}),
    415: ("The body is not application/json.", {}),
    422: ("The request is invalid or impossible, or its Idempotency-Key was used for a different request.", {}),
    429: ("Too many requests.", _WAIT),
    503: ("Temporarily unavailable; nothing was stored. Retry.", _WAIT),
}


def security(scope: str) -> list[dict[str, list[str]]]:
    """Return the two alternative ways to authenticate, for a scope. A program that supports only one alternative uses the first."""
    return [{"oauth2": [scope]}, {"apiKey": []}]


def read_scope(route: APIRoute) -> str:
    """Return the scope that a route of `describe_route` needs."""
    [scope] = (route.openapi_extra or {})["security"][0]["oauth2"]
    return str(scope)


def describe_route(
    tag: str, scope: str, body: type[BaseModel] | str | None = None, *, has_id: bool = False, leads_to: str = ""
) -> dict[str, Any]:
    """Return the arguments of a route's decorator that describe the route in the document: tag, responses, security, request body.

    Args:
        tag: One of `TAGS`.
        scope: The scope that callers need.
        body: Schema of the request body, or the schema's name; None for no body.
        has_id: Whether the path names an object, so that the response may be a 404.
        leads_to: The operation that returns the state of the accepted request; "" for none.
    """
    statuses = {400, 401, 403, 422, 429, 503} | ({404} if has_id else set()) | ({408, 413, 415} if body else set())
    extra: dict[str, Any] = {"security": security(scope)}
    if body:
        name = body if isinstance(body, str) else body.__name__
        extra["requestBody"] = {"required": True, "content": {JSON: {"schema": _ref(name)}}}
    responses: dict[int, Any] = {status: _refusal(status) for status in sorted(statuses)}
    if leads_to:
        link = {"operationId": leads_to, "parameters": {"id": "$response.body#/id"}}
        responses[202] = {"description": "Accepted: stored, and will be done.", "links": {leads_to: link}}
    return {"tags": [tag], "responses": responses, "openapi_extra": extra}


def build(app: FastAPI, settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI document of an app."""
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
        for table in vendor.requested_tables:
            if is_pushable(vendor, table):
                schemas |= schemas_of(vendor, table)
    flow = {"tokenUrl": settings.token_url or TOKEN_URL, "scopes": SCOPES}
    document["components"]["securitySchemes"] = {
        "oauth2": {
            "type": "oauth2",
            "description": "A token from the firm's identity provider; `tokenUrl` is its token endpoint.",
            "flows": {"clientCredentials": flow},
        },
        "apiKey": {
            "type": "apiKey",
            "in": "header",
            "name": "X-API-Key",
            "description": "An API key; a program that can't set this header may send it as Authorization: Bearer.",
        },
    }
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    lowered: dict[str, Any] = _lower(document)
    return lowered


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _refusal(status: int) -> dict[str, Any]:
    description, headers = _REFUSALS[status]
    response = {"description": description, "content": {"application/problem+json": {"schema": _ref("Problem")}}}
    return response | ({"headers": headers} if headers else {})


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without its null alternative, because callers leave a parameter out and never send null.

    A schema that is not a choice of null and one other schema is returned unchanged.
    """
    rest: list[dict[str, Any]] = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(rest) != 1:
        return schema
    return {name: value for name, value in schema.items() if name != "anyOf"} | rest[0]


def _lower(node: Any) -> Any:
    """Convert a part of pydantic's OpenAPI 3.1 document to 3.0, and remove titles, which only repeat names."""
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
    """Return the document as JSON for `docs/reference/openapi.json`, with default settings."""
    return json.dumps(build(app, Settings()), indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the document to standard output."""
    from include.gateway.api.app import create_app
    from include.gateway.api.callers import Issuer

    def refuse() -> Any:
        raise AssertionError("the document needs neither a database nor a key")

    sys.stdout.write(render(create_app(refuse, Settings, lambda: Issuer(Settings()), refuse)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
