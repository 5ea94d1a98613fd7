"""The table of data resources. The parts of a composite request are looked up in the same table."""

import re
from collections.abc import Callable
from functools import partial
from urllib.parse import unquote

from sandbox.salesforce import composite, reads, replication, rows, sobject_collections, trees
from sandbox.salesforce.call import Answer, Call
from sandbox.salesforce.errors import ApiError


def answer_call(call: Call) -> Answer:
    """Find the resource of a call and return its response.

    Raises:
        ApiError: The whole call is rejected, or there is no such resource or method.
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


_OBJECT, _PART = r"/sobjects/(\w+)", r"/([^/]+)"
_TABLE: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", "", reads.list_resources),
    ("GET", "/limits", reads.show_limits),
    ("GET", "/jobs", reads.list_jobs),
    ("GET", "/query", reads.run_query),
    ("GET", "/queryAll", reads.run_query_all),
    ("GET", "/tooling/query", reads.run_tooling_query),
    ("GET", r"/query(?:All)?/(\w+)-(\d+)", reads.read_next_page),
    ("GET", "/sobjects", reads.list_objects),
    ("GET", _OBJECT + "/describe", reads.describe),
    ("GET", _OBJECT + "/updated", replication.list_updated),
    ("GET", _OBJECT + "/deleted", replication.list_deleted),
    ("GET", _OBJECT, reads.show_object),
    ("POST", _OBJECT, rows.insert_row),
    ("GET", _OBJECT + _PART, rows.read_row),
    ("PATCH", _OBJECT + _PART, rows.update_row),
    ("DELETE", _OBJECT + _PART, rows.delete_row),
    ("GET", _OBJECT + _PART + _PART, rows.read_row_by_key),
    ("PATCH", _OBJECT + _PART + _PART, rows.upsert_row),
    ("POST", "/composite/sobjects", sobject_collections.insert_records),
    ("PATCH", "/composite/sobjects", sobject_collections.update_records),
    ("DELETE", "/composite/sobjects", sobject_collections.delete_records),
    ("GET", r"/composite/sobjects/(\w+)", sobject_collections.read_records_of_url),
    ("POST", r"/composite/sobjects/(\w+)", sobject_collections.read_records_of_body),
    ("PATCH", r"/composite/sobjects/(\w+)/(\w+)", sobject_collections.upsert_records),
    ("POST", r"/composite/tree/(\w+)", trees.insert_tree),
    ("POST", "/composite/batch", partial(composite.run_batch, answer_call)),
    ("POST", "/composite/graph", partial(composite.run_graphs, answer_call)),
    ("GET", "/composite", reads.list_composite),
    ("POST", "/composite", partial(composite.run_composite, answer_call)),
]
_ROUTES = [(method, re.compile(pattern), function) for method, pattern, function in _TABLE]
