"""List the records of an object that were updated or deleted in a time range, for replication tools."""

from datetime import datetime

from sandbox.salesforce.call import Answer, Call
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.store import ID_END
from sandbox.salesforce.values import format_time


def list_updated(call: Call, name: str) -> Answer:
    """List the ids of records that were created or changed at or after the parameter `start` and before `end`."""
    rows, end = _list_stamped(call, name, is_deleted=False)
    return Answer(200, {"ids": [record_id for record_id, _ in rows], "latestDateCovered": end})


def list_deleted(call: Call, name: str) -> Answer:
    """List the records that were deleted at or after the parameter `start` and before `end`. The sandbox keeps all deleted records."""
    rows, end = _list_stamped(call, name, is_deleted=True)
    with call.read() as connection:
        first = connection.execute("select min(json_extract(body, '$.CreatedDate')) from record").fetchone()[0]
    records = [{"id": record_id, "deletedDate": stamp} for record_id, stamp in rows]
    return Answer(200, {"deletedRecords": records, "earliestDateAvailable": first, "latestDateCovered": end})


def _list_stamped(call: Call, name: str, is_deleted: bool) -> tuple[list[tuple[str, str]], str]:
    """Return the ids and timestamps of the object's records in the time range of the call, and the end of that range.

    Raises:
        ApiError: MALFORMED_QUERY, `start` or `end` is not a time; INVALID_REPLICATION_DATE, `start` is not before `end`.
    """
    sobject = call.org.find_object(name)
    start, end = (_read_time(call, bound) for bound in ("start", "end"))
    if start >= end:
        raise ApiError(400, "INVALID_REPLICATION_DATE", "startDate before endDate is required")
    prefix, stamp = call.org.store.prefixes[sobject.name], "json_extract(body, '$.SystemModstamp')"
    with call.read() as connection:
        rows = connection.execute(
            f"select id, {stamp} from record where id >= ? and id < ? and is_deleted = ? and {stamp} >= ? and {stamp} < ?"  # noqa: S608
            " order by id",
            (prefix, prefix + ID_END, is_deleted, start, end),
        )
        return rows.fetchall(), end


def _read_time(call: Call, name: str) -> str:
    try:
        # A plus sign that a client did not encode arrives as a space.
        moment = datetime.fromisoformat(call.params.get(name, "").replace(" ", "+"))
    except ValueError as error:
        raise ApiError(400, "MALFORMED_QUERY", f"{name} must be a time with its offset") from error
    if moment.tzinfo is None:
        raise ApiError(400, "MALFORMED_QUERY", f"{name} must be a time with its offset")
    return format_time(moment)
