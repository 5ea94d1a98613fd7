"""Webhooks into a real Airflow whose triggerer or PostgreSQL is killed: every event is processed in the end."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from include.keys import register
from include.pipeline.incremental import republish
from include.vendors import named
from include.warehouse import schema
from local import airflow
from local.airflow_api import AirflowApi
from local.one_envelope import subscribe
from local.postgres import Postgres
from local.processes import Processes, find_free_port
from tests.conftest import PASSWORDS, Database, Firm, connect
from tests.faults.test_scheduled_kills import ROOT, connections, wait_until
from tests.firm_keys import KEYRING
from tests.integration.desk import pull_truth, read_states
from tests.running_sandbox import Sandbox, run_sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(900)]

VENDOR = named("docusign")
PATIENCE_S = 180


@dataclass
class WebhookRun:
    """Airflow that receives a vendor's webhooks, with one PostgreSQL server for its own state and the warehouse."""

    server: Postgres
    processes: Processes
    settings: dict[str, str]
    api: AirflowApi
    sandbox: Sandbox
    firm: Firm

    def do(self, kind: str, **values: Any) -> dict[str, Any]:
        return self.sandbox.admin(f"{VENDOR.name}/{kind}", **values)

    def send(self) -> str:
        household = int(self.sandbox.rows("Portfolio/Clients")[0]["id"])
        return str(self.do("send", household=household, template="Advisory agreement")["envelopeId"])

    def sign(self, envelope: str) -> None:
        while self.do("sign", envelope_id=envelope)["status"] != "completed":
            pass

    def await_state(self, envelope: str, status: str) -> float:
        """Wait until an envelope has this status in the warehouse; return the seconds."""
        query = "select max(status) from warehouse.envelope where recorded_to is null and envelope_key = :key"
        started = time.monotonic()
        wait_until(lambda: self.firm.database.value(query, key=envelope) == status, PATIENCE_S)
        return time.monotonic() - started

    def await_rest(self) -> None:
        """Wait until no event is pending and no run is active, and not just before the sweep, which would hide a lost notification."""
        wait_until(
            lambda: not self.count_waiting() and not self.active_runs() and datetime.now(UTC).minute % 10 < 7,
            PATIENCE_S + 180,
        )

    def count_waiting(self) -> int:
        return int(self.firm.database.value("select count(*) from control.inbox where processed_at is null"))

    def active_runs(self) -> list[dict[str, Any]]:
        return [run for run in self.runs() if run["state"] in ("queued", "running")]

    def newest_run(self) -> dict[str, Any]:
        return max(self.runs(), key=lambda run: str(run["run_after"]))

    def runs(self) -> list[dict[str, Any]]:
        return self.api._pages("dags/drain_inbox/dagRuns", "dag_runs")

    def revive(self) -> None:
        """Restart dead processes, as the host's supervisor does, until all are healthy."""
        end = time.monotonic() + PATIENCE_S
        while True:
            airflow.start(self.settings, self.processes)
            try:
                self.api.wait_healthy(30, is_hopeless=lambda: airflow.has_died(self.processes))
                return
            except Exception:
                if time.monotonic() > end:
                    raise


@pytest.fixture(scope="module")
def webhook_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebhookRun]:
    folder, now = tmp_path_factory.mktemp("hearing"), datetime.now(UTC)
    processes = Processes(folder / "state")
    server = Postgres.start(folder / "postgres")  # durable, as in production: acknowledged data survives
    try:
        server.create_database("airflow")
        server.create_database("tributary")
        schema.create_roles(server.url("tributary"), PASSWORDS)
        database = Database(server.url("tributary"))
        schema.migrate(database.url("tributary_migrate"))
        with run_sandbox(folder / "sandbox", households=6, now=now) as sandbox:
            port, connection = find_free_port(), connect(sandbox, VENDOR)
            conn = {
                "conn_type": "http",
                "host": connection.url,
                "login": connection.login,
                "password": connection.password,
            }
            secret = {"conn_type": "generic", "password": connection.extra["connect_hmac_key"]}
            settings = airflow.environment(
                folder / "home", server.url("airflow"), port, ROOT,
                connections=connections(folder, database, sandbox)
                | {VENDOR.name: json.dumps(conn | {"extra": dict(connection.extra)}), f"{VENDOR.name}_connect": json.dumps(secret)},
                variables={"tributary_crm_paused": "true"},
            )  # fmt: skip
            settings |= {"TRIBUTARY_GO_LIVE": now.isoformat()}
            api = AirflowApi(f"http://127.0.0.1:{port}", airflow.USER, airflow.read_password(folder / "home"))
            firm = Firm(VENDOR, sandbox, database, folder)
            firm.turn_to(now)
            register.check(firm.engine, KEYRING)  # as the first task does; without keys, the gateway refuses webhooks
            here = WebhookRun(server, processes, settings, api, sandbox, firm)
            airflow.start(settings, processes)
            here.api.wait_healthy(120, is_hopeless=lambda: airflow.has_died(processes))
            here.api.ensure_pool("pulls", 4)
            here.api.wait_dag("drain_inbox")
            here.api.unpause("drain_inbox")
            subscribe(VENDOR.login, connection, f"http://127.0.0.1:{port}/webhooks/{VENDOR.name}")
            yield here
            firm.engine.dispose()
    finally:
        processes.stop_all()
        server.remove()


def kill_whole(pid: int) -> None:
    """Kill a process and all its children at once."""
    for each in (parent := psutil.Process(pid), *parent.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # it ended with its parent
            each.send_signal(signal.SIGKILL)


def test_what_came_while_the_triggerer_was_dead_is_known_when_it_lives_again(
    webhook_run: WebhookRun, record_property: Callable[[str, object], None]
) -> None:
    envelope = webhook_run.send()
    webhook_run.await_state(envelope, "sent")
    webhook_run.await_rest()

    kill_whole(webhook_run.processes.start("triggerer", []))
    webhook_run.sign(envelope)
    webhook_run.do("quiet", timeout_seconds=20)
    assert (
        webhook_run.count_waiting() > 0
    )  # the gateway keeps running: acknowledged events wait, and no listener receives the notification
    webhook_run.revive()

    record_property("known_after_s", took := webhook_run.await_state(envelope, "completed"))
    assert webhook_run.newest_run()["run_type"] == "asset_triggered"
    print(f"triggerer: known {took:.1f} s after it lived again")


def test_what_came_while_postgresql_was_dead_is_known_when_it_lives_again(
    webhook_run: WebhookRun, record_property: Callable[[str, object], None]
) -> None:
    signed, sent = webhook_run.send(), webhook_run.send()
    webhook_run.await_state(signed, "sent")
    webhook_run.await_state(sent, "sent")

    pid = webhook_run.server.pid
    assert pid is not None
    kill_whole(pid)
    webhook_run.sign(signed)
    webhook_run.do("decline", envelope_id=sent, reason="not mine")
    time.sleep(3)  # the vendor's deliveries are rejected as unavailable
    assert webhook_run.do("quiet", timeout_seconds=0)["waiting"] > 0
    Postgres.start(webhook_run.server.data_dir, webhook_run.server.port)
    webhook_run.revive()
    # The vendor would retry after some minutes, and our hourly run requests redelivery, as here.
    assert republish(webhook_run.firm.vendor_run(webhook_run.firm.new_run())) > 0

    record_property("known_after_s", took := webhook_run.await_state(signed, "completed"))
    webhook_run.await_state(sent, "declined")
    print(f"PostgreSQL: known {took:.1f} s after Airflow was well again")


def test_final_state_matches_the_vendor(webhook_run: WebhookRun, postgres: Postgres, tmp_path: Path) -> None:
    wait_until(lambda: not webhook_run.count_waiting(), PATIENCE_S)
    states = read_states(webhook_run.firm)
    assert sorted(each["status"] for each in states.values()) == ["completed", "completed", "declined"]
    webhook_run.firm.now = max(webhook_run.firm.now, datetime.now(UTC))
    with pull_truth(webhook_run.firm, postgres, tmp_path) as expected:
        assert states == {name: expected[name] for name in states}
    assert webhook_run.firm.database.value("select count(*) from control.inbox where error is not null") == 0
