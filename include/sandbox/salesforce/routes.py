"""The table of data resources, and the composite call, which runs its parts through the same table."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from include.sandbox.salesforce import reads, rows
from include.sandbox.salesforce.call import Answer, Call
from include.sandbox.salesforce.errors import ApiError

MOST_IN_COMPOSITE = 25
_REFERENCE = re.compile(r"@\{(\w+)\.([^}]+)\}")


def answer_call(call: Call) -> Answer:
    """Answer a call.

    Raises:
        ApiError: the call as a whole is refused.
    """
    is_known = False
    for method, pattern, function in _ROUTES:
        match = pattern.fullmatch(call.path.rstrip("/"))
        is_known = is_known or match is not None
        if match is not None and method == call.method:
            return function(call, *(unquote(part) for part in match.groups()))
    if is_known:
        raise ApiError(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{call.method}' not allowed")
    raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")


def run_composite(call: Call) -> Answer:
    """Run up to 25 calls that may refer to the answers of earlier ones."""
    asked = call.body.get("compositeRequest") if isinstance(call.body, dict) else None
    if not isinstance(asked, list) or not 0 < len(asked) <= MOST_IN_COMPOSITE:
        raise ApiError(400, "BAD_REQUEST", f"compositeRequest must hold 1 to {MOST_IN_COMPOSITE} subrequests")
    is_all_or_none = bool(call.body.get("allOrNone"))
    answers: dict[str, Answer] = {}
    try:
        with call.write() as connection:
            for part in asked:
                answers[part["referenceId"]] = answer = _run_part(replace(call, connection=connection), part, answers)
                if is_all_or_none and answer.status >= 400:
                    raise _Halted
    except _Halted:
        halted = "The transaction was rolled back since another operation in the same transaction failed."
        last = list(answers)[-1]
        for part in asked:
            if part["referenceId"] != last:
                error = {"errorCode": "PROCESSING_HALTED", "message": halted}
                answers[part["referenceId"]] = Answer(400, [error])
    said = [
        {"body": answers[ref].body, "httpHeaders": {}, "httpStatusCode": answers[ref].status, "referenceId": ref}
        for ref in (part["referenceId"] for part in asked)
    ]
    return Answer(200, {"compositeResponse": said})


class _Halted(Exception):
    """A part of an all-or-none composite call failed."""


def _run_part(call: Call, part: dict[str, Any], answers: dict[str, Answer]) -> Answer:
    try:
        url = urlsplit(_fill(str(part["url"]), answers))
        prefix = f"/services/data/{call.version}"
        if not url.path.startswith(prefix):
            raise ApiError(400, "BAD_REQUEST", f"The url must begin with {prefix}")
        sub = replace(
            call,
            method=str(part["method"]).upper(),
            path=url.path.removeprefix(prefix),
            params=dict(parse_qsl(url.query)),
            body=_fill(part.get("body"), answers),
        )
        if sub.path.rstrip("/") == "/composite":
            raise ApiError(400, "BAD_REQUEST", "A composite call holds no composite call")
        return answer_call(sub)
    except ApiError as error:
        return Answer(error.status, error.body)


def _fill(value: Any, answers: dict[str, Answer]) -> Any:
    """Put earlier answers in place of `@{reference.path}`."""
    if isinstance(value, dict):
        return {name: _fill(item, answers) for name, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, answers) for item in value]
    return _REFERENCE.sub(lambda match: _look_up(match, answers), value) if isinstance(value, str) else value


def _look_up(match: re.Match[str], answers: dict[str, Answer]) -> str:
    found = answers[match[1]].body if match[1] in answers else None
    for step in re.findall(r"\w+", match[2]):
        if isinstance(found, list) and step.isdigit() and int(step) < len(found):
            found = found[int(step)]
        else:
            found = found.get(step) if isinstance(found, dict) else None
    if not isinstance(found, str | int):
        raise ApiError(
            400, "PROCESSING_HALTED", f"Invalid reference specified. No value for {match[1]}.{match[2]} found"
        )
    return str(found)


_OBJECT, _PART = r"/sobjects/(\w+)", r"/([^/]+)"
_TABLE: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", "", reads.list_resources),
    ("GET", "/limits", reads.show_limits),
    ("GET", "/jobs", reads.list_jobs),
    ("GET", "/query", reads.run_query),
    ("GET", "/queryAll", reads.run_query_all),
    ("GET", r"/query(?:All)?/(\w+)-(\d+)", reads.read_next_page),
    ("GET", "/sobjects", reads.list_objects),
    ("GET", _OBJECT + "/describe", reads.describe),
    ("GET", _OBJECT, reads.show_object),
    ("POST", _OBJECT, rows.insert_row),
    ("GET", _OBJECT + _PART, rows.read_row),
    ("PATCH", _OBJECT + _PART, rows.update_row),
    ("DELETE", _OBJECT + _PART, rows.delete_row),
    ("GET", _OBJECT + _PART + _PART, rows.read_row_by_key),
    ("PATCH", _OBJECT + _PART + _PART, rows.upsert_row),
    ("POST", "/composite/sobjects", rows.insert_collection),
    ("PATCH", "/composite/sobjects", rows.update_collection),
    ("PATCH", r"/composite/sobjects/(\w+)/(\w+)", rows.upsert_collection),
    ("GET", "/composite", reads.list_composite),
    ("POST", "/composite", run_composite),
]
_ROUTES = [(method, re.compile(pattern), function) for method, pattern, function in _TABLE]
