"""Clients, and the table that is requested per client."""

from __future__ import annotations

import json
from typing import Any, Protocol

from include.contract import BOOLEAN, INTEGER, MONEY, STRING, TIMESTAMP, FanOut, Table, column, ignored, sensitive
from include.extract.source import Keys
from tests.conftest import Database
from tests.extract.vendor_server import Answer, Listener, Puller, RecordedCall, Reply, vendor_of
from tests.firm_keys import KEYRING

CLIENTS = Table(
    "clients", "clients", ("client_id",),
    (column("client_id", "id", STRING, required=True), column("is_open", "open", BOOLEAN), column("plan", "plan", INTEGER)),
)  # fmt: skip
ACCOUNTS = Table(
    "accounts", "clients/{client_id}/accounts", ("account_id",), shape=FanOut("clients"), omits_nulls=True, money="worth_usd",
    columns=(
        column("account_id", "id", STRING, required=True),
        column("client_id", "@client_id", STRING, required=True),
        column("name", "name", STRING),
        column("worth_usd", "value.amount", MONEY),
        column("requested_at", "@requested_at", TIMESTAMP, required=True),
        sensitive("account_number", "accountNumber"),
        *ignored("note"),
    ),
)  # fmt: skip
VENDOR = vendor_of(CLIENTS, ACCOUNTS, connections=3)
NUMBER = "4711-0815-77"


class Serve(Protocol):
    def __call__(self, answer: Answer, **options: Any) -> tuple[Puller, Listener]: ...


def client_of(path: str) -> str:
    return path.split("/")[2]


def accounts(call: RecordedCall) -> Reply:
    """Reply with two accounts for every client."""
    client = client_of(call.path)
    return Reply([account(f"{client}-{n}", n) for n in range(2)])


def account(id_: str, worth: float) -> dict[str, Any]:
    return {"id": id_, "value": {"amount": worth}, "accountNumber": NUMBER, "note": "left behind"}


def clients(*ids: str) -> list[Keys]:
    return [{"client_id": id_} for id_ in ids]


def read_stored_responses(database: Database, run_id: str) -> dict[str, bytes]:
    """Read the stored responses of a run, decrypted."""
    rows = database.rows("select * from control.answer where starts_with(run_id, :run || ' ')", run=run_id)
    names = ("run_id", "vendor", "table_name", "request_key")
    places = [json.dumps(["answer", *(row[name] for name in names)]) for row in rows]
    opened = [KEYRING.staging.open_file(bytes(row["rows"]), place) for row, place in zip(rows, places, strict=True)]
    return {row["request_key"]: content for row, content in zip(rows, opened, strict=True)}
