"""A demo with two schedulers and two triggerers, whose DAGs have short schedules and deadlines."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import requests

from local.demo import Demo
from local.postgres import Postgres
from local.sandbox_process import ROOT
from tests.outbound.conftest import SECRET

DOUBLED = ("scheduler", "triggerer")
HOUSEHOLDS = 6
DEADLINE_S = 20
"""Deadline of the vendors' runs and of the Salesforce sync, shorter than most of them take."""
CRONS = {
    "audit_trail": "*/5 * * * *",
    "deliver_events": "*/2 * * * *",
    "drain_inbox": "*/2 * * * *",
    "dag_file": "* * * * *",
    "salesforce_sync": "*/10 * * * *",
    "serve_requests": "*/2 * * * *",
    "store_documents": "*/4 * * * *",
    "subscribe_salesforce": "*/5 * * * *",
    "vendor_day": "*/15 * * * *",
    "vendor_live": "*/3 * * * *",
    "watch_lateness": "*/3 * * * *",
}
"""The cron of all DAGs in a file, by the file's name; the harness unpauses these DAGs."""
NEVER = "0 0 1 1 *"
_CRON = re.compile(r'(Cron\w+Timetable\()(?:"[^"]*"|vendor\.\w+), ')
_TABLE = """
create table if not exists execution (dag_id text, run_id text, task_id text, map_index int, try_number int,
    at timestamptz default clock_timestamp())
"""


@dataclass(frozen=True)
class Pair(Demo):
    """The demo; `receiver_port` is the port of the receiver of alerts and events."""

    receiver_port: int = 0

    @property
    def dags(self) -> Path:
        """The folder of the DAGs."""
        return self.folder / "dags"

    def write_dags(self, crons: Mapping[str, str]) -> None:
        """Write the project's DAGs and those of the harness with other crons; a file without one never runs by schedule."""
        self.dags.mkdir(parents=True, exist_ok=True)
        for path in [*(ROOT / "dags").glob("*.py"), Path(__file__).with_name("dag_file.py")]:
            text = _CRON.sub(rf'\g<1>"{crons.get(path.stem, NEVER)}", ', path.read_text())
            draft = self.dags / f"{path.name}.draft"
            draft.write_text(text)
            draft.rename(self.dags / path.name)

    def start_seconds(self) -> None:
        """Start a second scheduler and a second triggerer; the supervisor restarts them too."""
        for name in DOUBLED:
            first = self.processes._find(name)
            folder = Path(first.folder) if first.folder else None
            self.processes.start(f"{name}-2", first.command, environment=first.environment, folder=folder)

    def _create_databases(self, postgres: Postgres, passwords: dict[str, str]) -> None:
        super()._create_databases(postgres, passwords)
        postgres.create_database("twice")
        with psycopg.connect(postgres.url("twice")) as database:
            database.execute(_TABLE)

    def _environment(
        self,
        postgres: Postgres,
        urls: Mapping[str, str],
        settings: Mapping[str, Any],
        vendors: Mapping[str, dict[str, Any]],
    ) -> dict[str, str]:
        """Return the demo's environment with our DAGs, deadlines and receiver, and with Salesforce's change events."""
        objects = {"objects": ["Account", "Contact", "Opportunity"]}
        capture = f"http://127.0.0.1:{settings['sandbox_port']}/salesforce/_admin/change_data_capture"
        requests.post(capture, json=objects, timeout=30).raise_for_status()
        environment = super()._environment(postgres, urls, settings, vendors)
        salesforce = json.loads(environment["AIRFLOW_CONN_SALESFORCE"])
        salesforce["extra"] |= {
            "pubsub": vendors["salesforce"]["extra"]["pubsub"],
            "change_fields": json.dumps({"Contact": ["Title"]}),
        }
        receiver, now = f"127.0.0.1:{self.receiver_port}", datetime.now(UTC)
        subscriber = {
            "conn_type": "http",
            "host": f"http://{receiver}/events",
            "password": SECRET,
            "extra": {"networks": "127.0.0.0/8"},
        }
        alerts = {"conn_type": "generic", "password": f"json://{receiver}/alerts"}
        return environment | {
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW_CONN_SALESFORCE": json.dumps(salesforce),
            "AIRFLOW_CONN_RECEIVER": json.dumps(subscriber),
            "AIRFLOW_CONN_TRIBUTARY_ALERTS": json.dumps(alerts),
            "AIRFLOW_VAR_TRIBUTARY_SUBSCRIBERS": "receiver",
            "AIRFLOW_VAR_TRIBUTARY_BACKUP_HOURS": "0.02",
            "TRIBUTARY_GO_LIVE": (now - timedelta(days=4)).isoformat(),
            "TRIBUTARY_DEADLINE_HOURS": str(DEADLINE_S / 3600),
            "TWICE_DATABASE": postgres.url("twice"),
            "TWICE_START": now.isoformat(),
        }
