"""An org that sends change events over gRPC, a real subscriber, and its database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.connection import Connection
from include.crm.changes.subscriber import TOPICS, listen
from include.pipeline.refresh import plan_refresh
from include.warehouse import schema
from tests.conftest import Database
from tests.crm.conftest import SECRET
from tests.firm_keys import KEYRING, register_inbox_key
from tests.running_sandbox import Sandbox, run_sandbox

DATA = "/services/data/v66.0"
LISTED = {
    "Account": ["LastName"],
    "Contact": ["Email", "FirstName", "MailingCity", "Phone", "Title"],
}
"""The fields whose values the firm of the tests stores, beside those that Tributary uses."""
OBJECTS = ["Account", "Contact", "Opportunity"]
ACCOUNTS, CONTACTS, DEALS, REFRESHES = (topic.name for topic in TOPICS)


@dataclass
class Subscription:
    """An org that a user edits (`http`), and the events that the subscriber receives."""

    database: Database
    sandbox: Sandbox
    connection: Connection = field(init=False)
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.engine = schema.engine(self.database.url())
        register_inbox_key(self.database)
        self.listener = schema.engine(self.database.url("tributary_listener"))  # the triggerer's role
        self.admin("consumers", client_id="tributary", client_secret=SECRET, username="load@tributary.example")
        self.admin("consumers", client_id="person", client_secret=SECRET, username="person@sample-wealth.example")
        self.admin("change_data_capture", objects=OBJECTS)
        connection = self.sandbox.http.get("/_sandbox/connections").json()["salesforce"]
        extra = connection["extra"] | {"grant": "client_credentials", "change_fields": json.dumps(LISTED)}
        self.connection = Connection(connection["host"], "tributary", SECRET, extra)
        self.http = httpx.Client(base_url=self.sandbox.org_url, headers=self.log_in("person"), timeout=20)

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Call the API as a user; log in again if the session has expired."""
        response = self.http.request(method, f"{DATA}/{path}", **options)
        if response.status_code == 401:
            self.http.headers.update(self.log_in("person"))
            response = self.http.request(method, f"{DATA}/{path}", **options)
        assert response.is_success, response.text
        return response

    def log_in(self, name: str) -> dict[str, str]:
        form = {"grant_type": "client_credentials", "client_id": name, "client_secret": SECRET}
        token = self.sandbox.org.post("/services/oauth2/token", data=form).json()["access_token"]
        return {"Authorization": f"Bearer {token}"}

    def admin(self, path: str, **values: Any) -> None:
        response = self.sandbox.http.post(f"/salesforce/_admin/{path}", json=values)
        assert response.is_success, response.text

    def fault(self, kind: str, topic: str, **options: Any) -> None:
        response = self.sandbox.http.post(
            "/_sandbox/faults", json={"route": topic, "kind": kind, "times": 1, **options}
        )
        assert response.status_code == 200, response.text

    def turn(self, **clock: Any) -> None:
        assert self.sandbox.http.post("/_sandbox/clock", json=clock).status_code == 200

    def make(self, sobject: str, **values: Any) -> str:
        return str(self.send("POST", f"sobjects/{sobject}", json=values).json()["id"])

    def delete(self, sobject: str, record_id: str) -> None:
        self.send("DELETE", f"sobjects/{sobject}/{record_id}")

    def change(self, sobject: str, record_id: str, client: str = "", **values: Any) -> None:
        headers = {"Sforce-Call-Options": f"client={client}"} if client else {}
        self.send("PATCH", f"sobjects/{sobject}/{record_id}", json=values, headers=headers)

    def make_many(self, sobject: str, rows: Sequence[dict[str, Any]]) -> list[str]:
        records = [{"attributes": {"type": sobject}, **row} for row in rows]
        return [each["id"] for each in self.send("POST", "composite/sobjects", json={"records": records}).json()]

    def make_deal(self, stage: str = "Prospecting", **values: Any) -> str:
        return self.make(
            "Opportunity", **{"Name": "Sample deal", "StageName": stage, "CloseDate": "2026-12-01"} | values
        )

    def changes(self, record_id: str) -> list[tuple[str, dict[str, Any]]]:
        rows = self.database.rows(
            "select change_type, fields from warehouse.crm_change where salesforce_id = :id order by change_id",
            id=record_id,
        )
        return [(row["change_type"], row["fields"]) for row in rows]

    def kinds(self, record_id: str) -> list[str]:
        return [kind for kind, _ in self.changes(record_id)]

    def record(self, record_id: str) -> dict[str, Any]:
        [row] = self.database.rows("select * from warehouse.crm_record where salesforce_id = :id", id=record_id)
        return dict(row["fields"])

    def place(self, topic: str) -> dict[str, Any]:
        rows = self.database.rows("select * from control.crm_topic where topic = :topic", topic=topic)
        return rows[0] if rows else {}

    @contextlib.contextmanager
    def listening(self, *names: str, is_ready: bool = True) -> Iterator[list[tuple[str, int]]]:
        """Subscribe to topics (all by default) while the block runs; yield the received messages. Leaving it is a kill."""
        topics = [topic for topic in TOPICS if not names or topic.name in names]
        messages: list[tuple[str, int]] = []
        loop = asyncio.new_event_loop()
        started: list[asyncio.Task[None]] = []

        async def run() -> None:
            started.append(asyncio.current_task())  # type: ignore[arg-type]
            with contextlib.suppress(asyncio.CancelledError):
                await listen(
                    self.listener,
                    self.connection,
                    plan_refresh,
                    lambda *each: messages.append(each),
                    KEYRING.receiving_key,
                    topics,
                )

        thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
        thread.start()
        try:
            if is_ready:
                for topic in topics:
                    wait_for(lambda topic=topic: self.place(topic.name).get("replay_id"))  # type: ignore[misc]
            yield messages
        finally:
            loop.call_soon_threadsafe(started[0].cancel)
            thread.join(20)
            loop.close()
            assert not thread.is_alive()


def wait_for(probe: Callable[[], Any], seconds: float = 10) -> Any:
    """Call `probe` until its result is true; return the result."""
    until = time.monotonic() + seconds
    while not (result := probe()):
        assert time.monotonic() < until, "no result in time"
        time.sleep(0.02)
    return result


@pytest.fixture
def subscription(database: Database, tmp_path: Path) -> Iterator[Subscription]:
    """An org of the test's own with a keep-alive every third of a second, and an empty warehouse."""
    with run_sandbox(tmp_path / "sandbox", households=2) as sandbox:
        subscription = Subscription(database, sandbox)
        subscription.turn(rate=900.0)
        yield subscription
        subscription.http.close()
        subscription.engine.dispose()
        subscription.listener.dispose()
