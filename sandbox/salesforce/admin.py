"""Admin routes for tests and the operator: changes that people make in Salesforce's pages instead of by the API."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Query, Response
from pydantic import BaseModel

from sandbox.salesforce.deletes import delete_records, merge_records
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.ingest import set_batches
from sandbox.salesforce.org import Org
from sandbox.salesforce.rules import Rule
from sandbox.salesforce.sessions import Consumer


class NewConsumer(BaseModel):
    """A connected app to register; `public_key` is the PEM text of its key."""

    client_id: str
    username: str
    client_secret: str | None = None
    public_key: str | None = None


class Allowance(BaseModel):
    """A daily limit and what remains of it, in Salesforce's field names."""

    Max: int
    Remaining: int


class Limits(BaseModel):
    """The limits to set. Instead of an allowance, a number may be given: the maximum, all of which remains."""

    DailyApiRequests: Allowance | int | None = None
    DailyBulkApiBatches: Allowance | int | None = None


class Settings(BaseModel):
    """The settings of the org that an administrator can change."""

    person_accounts: bool


class Selection(BaseModel):
    """The objects selected for change data capture."""

    objects: list[str]


class Merge(BaseModel):
    """The ids of two records of one object; `loser` is merged into `master`."""

    master: str
    loser: str


def create_router(org: Org, user_id: str) -> APIRouter:
    """Return the routes under `/_admin`; edits are made as the user `user_id`."""
    router = APIRouter(prefix="/_admin")
    _add_settings(router, org)
    _add_schema(router, org)
    _add_records(router, org, user_id)
    return router


def _add_settings(router: APIRouter, org: Org) -> None:
    """Add the routes for logins, limits and the org's settings."""

    @router.post("/consumers", status_code=201)
    def add_consumer(body: NewConsumer) -> dict[str, str]:
        """Register a connected app and its user."""
        org.sessions.add_consumer(Consumer(**body.model_dump()))
        return {"user_id": org.find_user(body.username)}

    @router.delete("/sessions", status_code=204)
    def expire_sessions() -> None:
        """Expire every token."""
        org.sessions.expire()

    @router.post("/limits", status_code=204)
    def set_limits(limits: Limits) -> None:
        """Set daily limits, such as `{"DailyApiRequests": n}` or, as in `/limits`, `{"DailyApiRequests": {"Max": n, "Remaining": k}}`."""
        if limits.DailyApiRequests is not None:
            org.sessions.set_daily_calls(*_read_allowance(limits.DailyApiRequests))
        if limits.DailyBulkApiBatches is not None:
            with org.store.write() as connection:
                set_batches(connection, *_read_allowance(limits.DailyBulkApiBatches))

    @router.get("/settings")
    def read_settings() -> dict[str, bool]:
        """Return the org's settings."""
        return {"person_accounts": org.has_person_accounts}

    @router.post("/settings")
    def change_settings(body: Settings) -> dict[str, bool]:
        """Enable person accounts: `{"person_accounts": true}`."""
        if org.has_person_accounts and not body.person_accounts:
            raise ApiError(400, "INVALID_OPERATION", "Person accounts cannot be disabled")
        if body.person_accounts and not org.has_person_accounts:
            org.enable_person_accounts()
        return read_settings()

    @router.get("/change_data_capture")
    def read_chosen() -> Selection:
        """Return the objects selected for change data capture."""
        return Selection(objects=org.bus.list_selected())

    @router.post("/change_data_capture")
    def select(body: Selection) -> Selection:
        """Select objects, as Setup > Change Data Capture does: `{"objects": ["Account"]}`."""
        org.bus.select([org.find_object(name).name for name in body.objects])
        return read_chosen()


def _add_schema(router: APIRouter, org: Org) -> None:
    """Add the routes that change fields, objects and rules; a restart undoes these changes."""

    @router.patch("/fields/{name}/{field}", status_code=204)
    def change_field(name: str, field: str, changes: Annotated[dict[str, Any], Body()]) -> None:
        """Change attributes of a field (see `schema.Field`), or create it; a restart undoes it."""
        org.change_field(name, field, {key: _freeze(value) for key, value in changes.items()})

    @router.delete("/fields/{name}/{field}", status_code=204)
    def delete_field(name: str, field: str) -> None:
        """Delete a field, or hide it from the user; a restart undoes it."""
        org.delete_field(name, field)

    @router.patch("/objects/{name}", status_code=204)
    def change_object(name: str, changes: Annotated[dict[str, Any], Body()]) -> None:
        """Change attributes of an object (see `schema.SObject`); a restart undoes it."""
        org.change_object(name, {key: _freeze(value) for key, value in changes.items()})

    @router.post("/rules", status_code=201)
    def add_rule(rule: Annotated[dict[str, str], Body()]) -> None:
        """Add an active rule: `{"kind": "DuplicateRule", "sobject": "Account", "name": ...}`; a restart removes it."""
        org.rules.append(Rule(**rule))


def _add_records(router: APIRouter, org: Org, user_id: str) -> None:
    """Add the routes that read, edit, merge and delete records."""

    @router.get("/records/{name}")
    def dump_records(name: str, is_deleted: Annotated[bool, Query()] = False) -> Response:
        """Return all stored records of an object, or all deleted ones, one JSON line per record."""
        prefix = org.store.prefixes[org.find_object(name).name]
        with org.store.read() as connection:
            lines = connection.execute(
                "select body from record where id glob ? and is_deleted = ? order by id", (f"{prefix}*", is_deleted)
            )
            text = "".join(f"{body}\n" for (body,) in lines)
        return Response(text, media_type="application/x-ndjson")

    @router.patch("/records/{name}/{record_id}")
    def edit_record(name: str, record_id: str, values: Annotated[dict[str, Any], Body()]) -> Response:
        """Edit a record as the user `user_id`, who is not the user of the project's sync."""
        sobject = org.find_object(name)
        with org.store.write() as connection:
            row = values | {"Id": record_id}
            outcome = org.writer(user_id).write(connection, sobject, "update", [row])[0]
        if outcome.error is not None:
            raise ApiError(400, outcome.error.code, outcome.error.message)
        return Response(orjson.dumps({"id": outcome.id}), media_type="application/json")

    @router.post("/records/{name}/merge", status_code=204)
    def merge(name: str, pair: Merge) -> None:
        """Merge two records of one object."""
        sobject = org.find_object(name)
        with org.store.write() as connection:
            merge_records(connection, org.schema, org.store, sobject, (pair.master, pair.loser), org.stamp())

    @router.delete("/records/{name}/{record_id}", status_code=204)
    def delete_record(name: str, record_id: str) -> None:
        """Delete one record, with the effects of the deletion on its children."""
        sobject = org.find_object(name)
        with org.store.write() as connection:
            error = delete_records(connection, org.schema, org.store, sobject, [record_id], org.stamp())[record_id]
        if error is not None:
            raise ApiError(400, error.code, error.message)

    @router.delete("/records", status_code=204)
    def delete_all_records() -> None:
        """Remove all records, deleted ones included, except users and record types."""
        with org.store.write() as connection:
            for prefix in (p for name, p in org.store.prefixes.items() if name not in {"User", "RecordType"}):
                connection.execute("delete from record where id glob ?", (f"{prefix}*",))
                connection.execute("delete from record_key where id glob ?", (f"{prefix}*",))


def _freeze(value: Any) -> Any:
    return tuple(map(_freeze, value)) if isinstance(value, list) else value


def _read_allowance(allowance: Allowance | int) -> tuple[int, int]:
    return (allowance, allowance) if isinstance(allowance, int) else (allowance.Max, allowance.Remaining)
