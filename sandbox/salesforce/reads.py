"""Respond to calls that read the org's limits, its resources, its objects, and its records by query."""

from sandbox.salesforce.call import Answer, Call
from sandbox.salesforce.describe import describe_object, describe_org, summarize_object
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.identity import identity_url
from sandbox.salesforce.ingest import BATCHES, read_batches
from sandbox.salesforce.rules import REST, TOOLING, find_queried_object, list_rules


def show_limits(call: Call) -> Answer:
    """Return the daily limits, and how much of each remains."""
    with call.read() as connection:
        batches = read_batches(connection)
        queries = connection.execute("select count(*) from job where body ->> 'jobType' = 'V2Query'").fetchone()[0]
    sessions = call.org.sessions
    pairs = {
        "DailyApiRequests": (sessions.daily_calls, sessions.calls_used),
        BATCHES: batches,
        "DailyBulkV2QueryJobs": (10_000, queries),
        "DailyBulkV2QueryFileStorageMB": (976_562, 0),
    }
    return Answer(200, {name: {"Max": most, "Remaining": max(0, most - used)} for name, (most, used) in pairs.items()})


def list_resources(call: Call) -> Answer:
    """List the resources of this API version."""
    root = f"/services/data/{call.version}"
    names = ("sobjects", "query", "queryAll", "limits", "composite", "jobs")
    return Answer(200, {name: f"{root}/{name}" for name in names} | {"identity": identity_url(call.base, call.user_id)})


def list_jobs(call: Call) -> Answer:
    """List the resources of bulk jobs: `ingest` and `query`."""
    return Answer(200, {kind: f"/services/data/{call.version}/jobs/{kind}" for kind in ("ingest", "query")})


def list_composite(call: Call) -> Answer:
    """List the composite resources."""
    root = f"/services/data/{call.version}/composite"
    return Answer(200, {name: f"{root}/{name}" for name in ("batch", "graph", "sobjects", "tree")})


def list_objects(call: Call) -> Answer:
    """List all objects of the org, without their fields."""
    return Answer(200, describe_org(call.org.schema, call.org.store.prefixes, call.version))


def show_object(call: Call, name: str) -> Answer:
    """Return the short description of one object, without its fields."""
    org, sobject = call.org, call.org.find_object(name)
    summary = summarize_object(sobject, org.store.prefixes[sobject.name], call.version)
    return Answer(200, {"objectDescribe": summary, "recentItems": []})


def describe(call: Call, name: str) -> Answer:
    """Return the full description of one object, with its fields, record types and child relationships."""
    org, sobject = call.org, call.org.find_object(name)
    types = org.record_type_ids(sobject)
    return Answer(200, describe_object(org.schema, sobject, org.store.prefixes[sobject.name], types, call.version))


def run_query(call: Call, is_all: bool = False) -> Answer:
    """Run the query in the parameter `q`; return its first page."""
    query = _read_query(call)
    if find_queried_object(query).lower() == REST.lower():
        return Answer(200, list_rules(call.org.rules, query, call.version))
    return Answer(200, call.queries.answer(query, call.version, call.page_rows, is_all))


def run_tooling_query(call: Call) -> Answer:
    """Run a query of the Tooling API, which knows only validation rules here."""
    query = _read_query(call)
    if (name := find_queried_object(query)).lower() != TOOLING.lower():
        raise ApiError(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.")
    return Answer(200, list_rules(call.org.rules, query, call.version))


def _read_query(call: Call) -> str:
    if "q" not in call.params:
        raise ApiError(400, "MALFORMED_QUERY", "The parameter q is missing")
    return call.params["q"]


def run_query_all(call: Call) -> Answer:
    """Run the query in the parameter `q` on all records, deleted ones included; return its first page."""
    return run_query(call, is_all=True)


def read_next_page(call: Call, cursor: str, start: str) -> Answer:
    """Return the page of a stored query that begins with row `start`."""
    return Answer(200, call.queries.answer_page(cursor, int(start), call.version, call.page_rows))
