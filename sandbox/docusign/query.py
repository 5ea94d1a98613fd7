"""Queries for lists of envelopes and templates: the parameters, filters and sort orders.

Documented:

- The parameters. `from_date` is required unless the query has ids.
- The timestamp and the statuses that belong to each value of `from_to_status`. If `status` contradicts it, the response is 200
  with an empty list.
- Drafts are listed only on request.

Our choices:

- Rows with the same sort key are ordered by id.
- A query by id also finds drafts.
- A documented parameter that this sandbox does not support is rejected, not ignored.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

from fastapi import Request

from sandbox.docusign.life import Envelope, list_recipients
from sandbox.docusign.limits import refuse
from sandbox.docusign.rows import INCLUDES
from sandbox.docusign.stamps import read_ticks, write_stamp

STATUSES = ("created", "sent", "delivered", "signed", "completed", "declined", "voided", "deleted")
_ALL = (*STATUSES, "processing", "timedout", "any", "template")
_QUALIFIERS = {
    "changed": ("statusChangedDateTime", STATUSES),
    "any": ("statusChangedDateTime", STATUSES),
    "created": ("createdDateTime", STATUSES),
    "sent": ("sentDateTime", STATUSES[1:]),
    "delivered": ("statusChangedDateTime", STATUSES[2:]),
    "signed": ("statusChangedDateTime", STATUSES[3:]),
    "completed": ("completedDateTime", STATUSES[4:]),
    "declined": ("statusChangedDateTime", STATUSES[5:]),
    "voided": ("voidedDateTime", STATUSES[6:]),
    "deleted": ("statusChangedDateTime", STATUSES[7:]),
    "timedout": ("statusChangedDateTime", ()),
    "processing": ("statusChangedDateTime", ()),
}
"""By value of `from_to_status`: the timestamp that must be in the period, and the statuses that an envelope can have then."""
_ORDERS = {
    "last_modified": "lastModifiedDateTime",
    "status_changed": "statusChangedDateTime",
    "created": "createdDateTime",
    "sent": "sentDateTime",
    "completed": "completedDateTime",
    "expire": "expireDateTime",
    "status": "status",
    "subject": "emailSubject",
    "envelope_name": "emailSubject",
    "modified": "lastModified",
    "used": "lastUsed",
    "name": "name",
}
_PAGED = ("start_position", "count")
STATUS_PARAMETERS = (
    *_PAGED,
    *("from_date", "to_date", "from_to_status", "status", "envelope_ids", "transaction_ids", "user_name", "email"),
)
ENVELOPE_PARAMETERS = (
    *STATUS_PARAMETERS,
    *("include", "exclude", "order", "order_by", "search_text", "custom_field", "user_id", "continuation_token"),
    "last_queried_date",
)
TEMPLATE_PARAMETERS = (
    *_PAGED,
    *("include", "order", "order_by", "search_text", "from_date", "to_date", "created_from_date", "created_to_date"),
    *("modified_from_date", "modified_to_date", "used_from_date", "used_to_date"),
)
_FIELD_OF = {"from": "created", "to": "created", "created": "created", "modified": "lastModified", "used": "lastUsed"}
_TRANSACTION_DAYS = 7
Query = dict[str, str]


def read(request: Request, names: Iterable[str]) -> Query:
    """Return the query parameters of a request, without empty ones. `names` are the allowed parameters.

    Raises:
        Refused: 400, if a parameter is unknown or repeated.
    """
    pairs = request.query_params.multi_items()
    for name, _ in pairs:
        if name not in names:
            raise create_bad_request(f"Query parameter '{name}' is unknown.")
        if len(request.query_params.getlist(name)) > 1:
            raise create_bad_request(f"Query parameter '{name}' is repeated.")
    return {name: value for name, value in pairs if value}


def create_bad_request(message: str) -> Exception:
    """Return the error for an invalid parameter (400), to be raised."""
    return refuse(400, "INVALID_REQUEST_PARAMETER", message)


def read_names(query: Query, name: str, known: Iterable[str]) -> set[str]:
    """Return the values of a comma-separated parameter, in lower case.

    Raises:
        Refused: 400, if a value is not in `known`.
    """
    names = {word.strip().lower() for word in query.get(name, "").split(",")} - {""}
    if unknown := sorted(names - set(known)):
        raise create_bad_request(f"Query parameter '{name}' has the unknown value '{unknown[0]}'.")
    return names


def read_include(query: Query) -> set[str]:
    """Return the parts that the query requests: `include` without `exclude`.

    Raises:
        Refused: 400, if a value is unknown.
    """
    include = read_names(query, "include", INCLUDES)
    return include - read_names(query, "exclude", ("recipients", "powerforms", "folders"))


def select_envelopes(query: Query, envelopes: Iterable[Envelope], now: datetime) -> list[Envelope]:
    """Return the envelopes that a query selects, in the requested order, by default by last change.

    Raises:
        Refused: 400, if the query is invalid.
    """
    tests = [*_test_ids(query, now), *_test_period(query, now), *_test_words(query)]
    selected = [envelope for envelope in envelopes if all(test(envelope) for test in tests)]
    return _sort(query, selected, "last_modified", "envelopeId")


Test = Callable[[Envelope], bool]


def _test_ids(query: Query, now: datetime) -> Iterable[Test]:
    ids, transactions = query.get("envelope_ids"), query.get("transaction_ids")
    if ids is not None:
        envelope_ids = {id_.strip().lower() for id_ in ids.split(",")}
        yield lambda envelope: envelope["envelopeId"] in envelope_ids
    if transactions is not None:
        transaction_ids = {id_.strip() for id_ in transactions.split(",")}
        since = read_ticks(write_stamp(now)) - _TRANSACTION_DAYS * 86_400 * 10_000_000
        yield (
            lambda envelope: (
                envelope.get("transactionId") in transaction_ids and _ticks(envelope, "createdDateTime") > since
            )
        )
    if ids is None and transactions is None and "from_date" not in query:
        raise create_bad_request(
            "Query parameter 'from_date' must be set to a valid DateTime, or 'envelope_ids' or 'transaction_ids' must be"
            " specified."
        )


def _test_period(query: Query, now: datetime) -> Iterable[Test]:
    qualifier = query.get("from_to_status", "changed").lower()
    if qualifier not in _QUALIFIERS:
        raise create_bad_request(f"Query parameter 'from_to_status' has the unknown value '{qualifier}'.")
    stamp, possible = _QUALIFIERS[qualifier]
    statuses = read_names(query, "status", _ALL)
    end = read_date(query, "to_date") if "to_date" in query else read_ticks(write_stamp(now))
    if not possible or (statuses and "any" not in statuses and not statuses & set(possible)):
        yield lambda envelope: False
    if "from_date" in query:
        start = read_date(query, "from_date")
        yield lambda envelope: start <= _ticks(envelope, stamp) <= end
    if statuses and "any" not in statuses:
        yield lambda envelope: envelope["status"] in statuses
    elif "from_date" in query:
        yield lambda envelope: envelope["status"] != "created"


def _test_words(query: Query) -> Iterable[Test]:
    if text := query.get("search_text", "").lower():
        yield lambda envelope: text in _write_searched(envelope)
    if custom_field := query.get("custom_field"):
        name, equals, value = custom_field.partition("=")
        if not equals:
            raise create_bad_request("Query parameter 'custom_field' must be name=value.")
        yield lambda envelope: (name, value) in _list_fields(envelope)
    if user := query.get("user_id"):
        yield lambda envelope: envelope["sender"]["userId"] == user.lower()
    if ("email" in query) != ("user_name" in query):
        raise create_bad_request("Query parameters 'email' and 'user_name' must be given together.")
    if "email" in query:
        pair = (query["email"].lower(), query["user_name"].lower())
        yield lambda envelope: (envelope["sender"]["email"].lower(), envelope["sender"]["userName"].lower()) == pair
    if "last_queried_date" in query:
        before = read_date(query, "last_queried_date")
        yield lambda envelope: _ticks(envelope, "lastModifiedDateTime") < before


def select_templates(query: Query, templates: Iterable[Envelope]) -> list[Envelope]:
    """Return the templates that a query selects, in the requested order, by default by name.

    Raises:
        Refused: 400, if the query is invalid.
    """
    selected, text = list(templates), query.get("search_text", "").lower()
    for name in query:
        if not name.endswith("_date"):
            continue
        field, limit = _FIELD_OF[name.split("_")[0]], read_date(query, name)
        selected = [row for row in selected if (_ticks(row, field) >= limit) is ("from" in name)]
    selected = [row for row in selected if text in row["name"].lower()]
    return _sort(query, selected, "name", "templateId")


def _sort(query: Query, rows: list[Envelope], by: str, id_: str) -> list[Envelope]:
    by, order = query.get("order_by", by).lower(), query.get("order", "asc").lower()
    if by not in (*_ORDERS, "action_required", "signer_list", "user_name"):
        raise create_bad_request(f"Query parameter 'order_by' has the unknown value '{by}'.")
    if order not in ("asc", "desc"):
        raise create_bad_request("Query parameter 'order' must be asc or desc.")
    field = _ORDERS.get(by, "")
    return sorted(rows, key=lambda row: (_write_key(row.get(field, "")), row[id_]), reverse=order == "desc")


def _write_key(value: str) -> str:
    try:
        return f"{read_ticks(value):020d}"
    except ValueError:
        return value.lower()


def read_date(query: Query, name: str) -> int:
    """Return the date in a parameter as ticks (see `stamps.read_ticks`).

    Raises:
        Refused: 400, if the value is not a date.
    """
    try:
        return read_ticks(query[name])
    except ValueError as error:
        raise create_bad_request(f"Query parameter '{name}' must be set to a valid DateTime.") from error


def _ticks(row: Envelope, name: str) -> int:
    return read_ticks(row[name]) if row.get(name) else -1


def _list_fields(envelope: Envelope) -> list[tuple[str, str]]:
    fields = envelope.get("customFields", {})
    return [(each["name"], each["value"]) for kind in fields.values() for each in kind]


def _write_searched(envelope: Envelope) -> str:
    texts = [envelope["emailSubject"], envelope["sender"]["userName"], envelope["sender"]["email"]]
    for _, recipient in list_recipients(envelope):
        texts += [recipient["name"], recipient.get("email", "")]
    return "\n".join(texts).lower()
