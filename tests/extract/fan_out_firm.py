"""Clients, and the table that is requested per client."""

from __future__ import annotations

from typing import Any, Protocol

from include.contract import (
    BOOLEAN,
    INTEGER,
    MONEY,
    STRING,
    TIMESTAMP,
    FanOut,
    Table,
    column,
    ignored,
    sensitive,
)
from include.extract.source import Keys
from tests.extract.vendor_server import Answer, Listener, Puller, RecordedCall, Reply, vendor_of

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
