"""The wake-up trigger: it emits an event soon after work arrives and while work waits, even if a notification was lost."""

from __future__ import annotations

import hashlib
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.control import inbox
from include.control.inbox import Delivery
from include.warehouse import schema
from local.postgres import Postgres
from tests.conftest import Database
from tests.dags.airflow_home import ROOT, environment
from tests.firm_keys import KEYRING, register_inbox_key
from tests.running_pgbouncer import needs_pgbouncer, pool, run_pgbouncer

pytestmark = pytest.mark.airflow

POLL_S = 2.0
_LISTEN = f"""
import asyncio
import psycopg
from tributary import connections
from tributary.triggers import wake_up

wake_up.POLL_S = {POLL_S}

async def listen():
    with psycopg.connect(connections.database_url()) as db:
        for question in wake_up.WAITING.values():
            print("WAITS", db.execute(question).fetchone()[0], flush=True)
    async for event in wake_up.WakeUp("tributary_inbox").run():
        print("EVENT", flush=True)

asyncio.run(listen())
"""


class Notifier:
    """The trigger in a process as in Airflow, and a sender of deliveries."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.engine = database, schema.engine(database.url())
        register_inbox_key(database)
        environ = environment(folder, {"tributary_db": database.url("tributary_listener")})
        environ["PYTHONPATH"] = f"{ROOT}:{ROOT / 'plugins'}"
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LISTEN], env=environ, cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.waits = [self._lines.get(timeout=60) for _ in range(3)]

    def _read(self) -> None:
        for line in self._process.stdout or ():
            if line.startswith(("EVENT", "WAITS")):  # skip lines of logs
                self._lines.put(line.strip())

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self.engine.dispose()

    def deliver(self, body: bytes) -> None:
        name = hashlib.sha256(body).hexdigest()
        inbox.receive(self.engine, Delivery("sample", body, name, None, {}), KEYRING.receiving_key)

    def settle(self) -> None:
        """Mark all deliveries as processed, and consume the pending events."""
        self.database.do("update control.inbox set processed_at = clock_timestamp() where processed_at is null")
        while self.emits_within(POLL_S + 1):
            pass

    def emits_within(self, seconds: float) -> bool:
        try:
            return self._lines.get(timeout=seconds) == "EVENT"
        except queue.Empty:
            return False


@pytest.fixture(scope="module")
def listening(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notifier]:
    notifier = Notifier(shared_database, tmp_path_factory.mktemp("trigger"))
    yield notifier
    notifier.end()


@pytest.fixture
def notifier(listening: Notifier) -> Notifier:
    listening.settle()
    return listening


def test_without_waiting_rows_no_event_is_emitted(notifier: Notifier) -> None:
    assert notifier.waits == ["WAITS False"] * 3
    assert not notifier.emits_within(POLL_S + 1)


def test_an_event_follows_a_delivery_soon_and_once_for_many(notifier: Notifier) -> None:
    started = time.monotonic()
    for n in range(5):
        notifier.deliver(b"%d" % n)

    assert notifier.emits_within(POLL_S / 2)
    assert time.monotonic() - started < POLL_S / 2
    assert not notifier.emits_within(0.5)


def test_it_keeps_emitting_while_work_waits(notifier: Notifier) -> None:
    notifier.deliver(b"nobody drains")

    assert notifier.emits_within(POLL_S)
    assert notifier.emits_within(2 * POLL_S)


def test_a_lost_notification_is_made_good_by_a_look(notifier: Notifier) -> None:
    notifier.database.do(
        "insert into control.inbox (sender, body, content_hash, headers) values ('sample', '', 'quiet', '{}')"
    )

    assert notifier.emits_within(2 * POLL_S)


def test_it_resumes_when_its_connection_was_cut(notifier: Notifier) -> None:
    cut = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'tributary_listener'"
    assert notifier.database.rows(cut)
    notifier.deliver(b"after the cut")

    assert notifier.emits_within(3 * POLL_S)


@needs_pgbouncer
def test_through_a_pool_in_transaction_mode_a_look_finds_each_delivery(
    database: Database, postgres: Postgres, tmp_path: Path
) -> None:
    with run_pgbouncer(postgres, "transaction") as port:
        notifier = Notifier(pool(database, port), tmp_path)
        try:
            for n in range(2):
                notifier.deliver(b"%d" % n)
                assert notifier.emits_within(3 * POLL_S)
                notifier.settle()
        finally:
            notifier.end()
