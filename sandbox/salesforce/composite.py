"""Composite, composite graph and composite batch requests. Each part runs as a call of its own, through `routes.answer_call`."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from sandbox.salesforce.call import Answer, Call
from sandbox.salesforce.errors import ApiError

MOST_PARTS = 25
MOST_GRAPHS, MOST_NODES = 75, 500
_REFERENCE = re.compile(r"@\{(\w+)\.([^}]+)\}")
_REFERENCE_ID = re.compile(r"[A-Za-z0-9]\w*", re.ASCII)
_NO_PART = re.compile(r"/composite(/(batch|graph|tree/\w+))?/?")

Run = Callable[[Call], Answer]
Part = dict[str, Any]


class _Halted(Exception):
    """A part of an all-or-none call failed."""


def run_composite(run: Run, call: Call) -> Answer:
    """Run up to 25 calls in one transaction. A call may reference the response of an earlier one."""
    parts = _read_parts(call.body, "compositeRequest", MOST_PARTS)
    return Answer(200, _run_parts(run, call, parts, is_all_or_none=bool(call.body.get("allOrNone")))[0])


def run_graphs(run: Run, call: Call) -> Answer:
    """Run up to 75 graphs of calls, with up to 500 calls in total. If a call fails, its whole graph is rolled back."""
    graphs = _read_list(call.body, "graphs", MOST_GRAPHS)
    parts = [_read_parts(graph, "compositeRequest", MOST_NODES) for graph in graphs]
    ids = [graph.get("graphId") for graph in graphs]
    if not all(isinstance(graph_id, str) for graph_id in ids) or len(set(ids)) < len(ids):
        raise _malformed("every graph needs a unique graphId")
    if sum(map(len, parts)) > MOST_NODES:
        raise ApiError(400, "LIMIT_EXCEEDED", f"A request holds at most {MOST_NODES} nodes")
    answers = []
    for graph_id, nodes in zip(ids, parts, strict=True):
        body, is_done = _run_parts(run, call, nodes, is_all_or_none=True, within="/sobjects/")
        answers.append({"graphId": graph_id, "graphResponse": body, "isSuccessful": is_done})
    return Answer(200, {"graphs": answers})


def run_batch(run: Run, call: Call) -> Answer:
    """Run up to 25 independent calls. With `haltOnError`, no call runs after a failed one."""
    parts = _read_list(call.body, "batchRequests", MOST_PARTS)
    if not all(isinstance(part.get(name), str) for part in parts for name in ("method", "url")):
        raise _malformed("every subrequest needs method and url")
    is_halting, results = bool(call.body.get("haltOnError")), list[Answer]()
    halted = ApiError(412, "BATCH_PROCESSING_HALTED", "Batch processing halted per request")
    for part in parts:
        if is_halting and any(answer.status >= 400 for answer in results):
            results.append(Answer(halted.status, halted.body))
            continue
        url = part["url"] if part["url"].startswith("/") else f"/services/data/{part['url']}"
        results.append(_run_part(run, call, part["method"], url, part.get("richInput")))
    body = {
        "hasErrors": any(answer.status >= 400 for answer in results),
        "results": [{"statusCode": answer.status, "result": answer.body} for answer in results],
    }
    return Answer(200, body)


def _run_parts(
    run: Run, call: Call, parts: list[Part], is_all_or_none: bool, within: str = "/"
) -> tuple[dict[str, Any], bool]:
    """Run parts in one transaction; return the body of the response, and whether every part succeeded.

    With `is_all_or_none`, the first failed part ends the call and rolls back all parts. `within` is the start of each allowed path.
    """
    answers: dict[str, Answer] = {}
    try:
        with call.write() as connection:
            for part in parts:
                inner = replace(call, connection=connection)
                answers[part["referenceId"]] = answer = _run_referring_part(run, inner, part, answers, within)
                if is_all_or_none and answer.status >= 400:
                    raise _Halted
    except _Halted:
        message = "The transaction was rolled back since another operation in the same transaction failed."
        halted = Answer(400, [{"errorCode": "PROCESSING_HALTED", "message": message}])
        last = list(answers)[-1]
        answers = {part["referenceId"]: halted for part in parts} | {last: answers[last]}
    body = {
        "compositeResponse": [
            {"body": answer.body, "httpHeaders": answer.headers, "httpStatusCode": answer.status, "referenceId": ref}
            for ref, answer in answers.items()
        ]
    }
    return body, all(answer.status < 400 for answer in answers.values())


def _run_referring_part(run: Run, call: Call, part: Part, answers: dict[str, Answer], within: str) -> Answer:
    try:
        url, body = _fill(part["url"], answers), _fill(part.get("body"), answers)
    except ApiError as error:
        return Answer(error.status, error.body)
    return _run_part(run, call, part["method"], url, body, within)


def _run_part(run: Run, call: Call, method: str, url: str, body: Any, within: str = "/") -> Answer:
    address, _, query = url.partition("?")
    prefix = f"/services/data/{call.version}"
    path = address.removeprefix(prefix)
    try:
        if path == address or not path.startswith("/"):
            raise ApiError(400, "BAD_REQUEST", f"The url must begin with {prefix}")
        if _NO_PART.fullmatch(path) or not path.startswith(within):
            raise ApiError(400, "BAD_REQUEST", f"{path} cannot be part of this call")
        params = dict(parse_qsl(query))
        return run(replace(call, method=method.upper(), path=path, params=params, body=body))
    except ApiError as error:
        return Answer(error.status, error.body)


def _read_parts(body: Any, name: str, most: int) -> list[Part]:
    """Return the subrequests of a composite call, or of one graph, after checking their form.

    Raises:
        ApiError: JSON_PARSER_ERROR, the form is invalid; LIMIT_EXCEEDED, there are too many. The whole call is rejected.
    """
    parts = _read_list(body, name, most)
    for part in parts:
        for required in ("method", "url", "referenceId"):
            if not isinstance(part.get(required), str):
                raise _malformed(f"every subrequest needs {required}")
        if not _REFERENCE_ID.fullmatch(part["referenceId"]):
            raise _malformed(
                f"Provided referenceId ('{part['referenceId']}') must start with a letter or a number, and it can "
                "contain only letters, numbers and underscores ('_')."
            )
    if len({part["referenceId"] for part in parts}) < len(parts):
        raise _malformed("every subrequest needs a unique referenceId")
    return parts


def _read_list(body: Any, name: str, most: int) -> list[Part]:
    items = body.get(name) if isinstance(body, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise _malformed(f"{name} must be a list of objects")
    if not 0 < len(items) <= most:
        raise ApiError(400, "LIMIT_EXCEEDED", f"{name} must hold 1 to {most} items")
    return items


def _malformed(message: str) -> ApiError:
    return ApiError(400, "JSON_PARSER_ERROR", message)


def _fill(value: Any, answers: dict[str, Answer]) -> Any:
    """Return the value with each `@{reference.path}` replaced by that value of an earlier response.

    Raises:
        ApiError: PROCESSING_HALTED, the earlier response has no such value.
    """
    if isinstance(value, dict):
        return {name: _fill(item, answers) for name, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, answers) for item in value]
    return _REFERENCE.sub(lambda match: _look_up(match, answers), value) if isinstance(value, str) else value


def _look_up(match: re.Match[str], answers: dict[str, Answer]) -> str:
    value = answers[match[1]].body if match[1] in answers else None
    for step in re.findall(r"\w+", match[2]):
        if isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            value = value.get(step) if isinstance(value, dict) else None
    if not isinstance(value, str | int):
        raise ApiError(
            400, "PROCESSING_HALTED", f"Invalid reference specified. No value for {match[1]}.{match[2]} found"
        )
    return str(value)
