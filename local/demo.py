"""The demo: PostgreSQL, the sandbox, Airflow and a supervisor that restarts dead processes, in one folder on one machine."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include import business_dates
from include.connection import Connection
from include.errors import ConfigurationError, TargetUnavailable
from include.keys import keyring, register
from include.vendors import named
from include.warehouse import schema
from local import airflow, supervisor
from local.airflow_api import AirflowApi, ReportLine
from local.one_envelope import Step, live, subscribe
from local.postgres import Postgres
from local.private_file import write_private
from local.processes import Processes, find_free_port
from local.sandbox_process import PACE, ROOT, START_SECONDS, Served, start_sandbox

if TYPE_CHECKING:
    from local.own_data import Checked

STATE = ROOT / ".tributary"
DATABASE = "tributary"
SIGNING, PORTFOLIO = "docusign", "orion"
"""The vendor that sends the demo's envelope, and the vendor whose household receives it."""

_EVENING_HOURS = 17
"""Hours from the evening of a trading day in which the next one has certainly not closed."""
IDLE_SECONDS = 120
"""Seconds after which PostgreSQL ends an Airflow session with an idle transaction, so that a stopped process holds no locks."""


@dataclass(frozen=True, slots=True)
class Place:
    """The addresses and credentials of a started demo.

    Attributes:
        read_url: URL of the database, as the reading role.
        airflow_url: URL of Airflow's web UI.
        password: Password of Airflow's user `admin`.
        alerts: File that alerts are appended to.
        api: Airflow's API, logged in.
        sandbox_url: URL of the sandbox's vendors.
        connections: The settings of each vendor's connection to the sandbox, by vendor.
        is_org_full: Whether the Salesforce org had records of the clients before the first sync.
    """

    read_url: str
    airflow_url: str
    password: str
    alerts: Path
    api: AirflowApi
    sandbox_url: str
    connections: Mapping[str, dict[str, Any]]
    is_org_full: bool = False


PREFERRED_PORTS = {"airflow": 8080, "sandbox": 8765, "org": 8766}
RESTARTS = 5
"""If a component is restarted this often before Airflow is healthy, the start is given up."""


@dataclass(frozen=True)
class Demo:
    """The demo's processes and data in one folder. Several demos can run at once, each in its own folder.

    Attributes:
        folder: Folder of databases, settings, logs and the sandbox's firm.
        ports: Preferred ports of `airflow`, `sandbox`, `org` (the sandbox's Salesforce) and `postgres`. If a port is in use, a free one is
            taken instead. The next start uses the same ports again.
    """

    folder: Path = field(default_factory=lambda: STATE)
    ports: Mapping[str, int] = field(default_factory=lambda: PREFERRED_PORTS)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", self.folder.absolute())

    @property
    def processes(self) -> Processes:
        """The record of the demo's processes: Airflow's components, the sandbox and the supervisor."""
        return Processes(self.folder / "processes")

    @property
    def postgres(self) -> Postgres:
        """The demo's PostgreSQL server, running or not."""
        return Postgres(self.folder / "postgres", int(self._settings().get("postgres_port") or 0))

    def pids(self) -> dict[str, int]:
        """Return the pids of the running processes, by name: `postgres`, `sandbox`, `supervisor` and those in `airflow.COMPONENTS`."""
        server = self.postgres.pid
        return ({"postgres": server} if server else {}) | self.processes.pids()

    def start(
        self,
        report_line: ReportLine,
        data: Checked | None = None,
        households: int | None = None,
        *,
        is_org_full: bool = False,
        shape: str | None = None,
    ) -> Place:
        """Start all processes that do not run yet, with a supervisor that restarts dead ones. A repeated call changes nothing.

        Args:
            report_line: Called with each line of progress.
            data: Own data to serve instead of a generated firm. The evening of its last day counts as the present.
            households: Number of households to generate; None keeps the existing firm, or generates 200.
            is_org_full: Fill the Salesforce org, unless it was filled by an earlier start.
            shape: What the Salesforce org is; None keeps the existing org.

        Raises:
            ConfigurationError: The demo runs or has loaded another firm; the message says what to do.
            TributaryError: A component did not start; the message contains its output or names its log.
        """
        households = self._find_households(households)
        settings = self._update_settings(str(data.folder.resolve()) if data else "", data.evening if data else None)
        behind = timedelta(seconds=settings["present"]["behind_s"])
        served = Served(households, data.served if data else None, is_org_full, behind, shape)
        supervisor.stop(self.processes)  # the old supervisor must not restart a process with old settings
        sandbox_url = f"http://127.0.0.1:{settings['sandbox_port']}"
        with ThreadPoolExecutor(2) as pool:
            state = self.folder / "sandbox"
            sandbox = pool.submit(start_sandbox, self.processes, state, sandbox_url, settings["org_port"], served)
            report_line("Starting PostgreSQL 18 ...")
            postgres = Postgres.start(self.folder / "postgres", settings["postgres_port"], durable=True)
            self._create_databases(postgres, settings["passwords"])
            urls = {role: _as(postgres.url(DATABASE), role, settings["passwords"][role]) for role in schema.ROLES}
            environment = self._environment(postgres, urls, settings, sandbox.result().connections)
            report_line(
                "Starting Airflow (scheduler, DAG processor, triggerer, API server) and the sandbox vendors ..."
            )
            airflow_start = pool.submit(airflow.start, environment, self.processes)
            schema.migrate(urls["tributary_migrate"])
            _register_keys(urls["tributary_load"], settings["keys"])
            airflow_start.result()
        supervisor.start(self.processes, postgres)
        api = AirflowApi(
            f"http://127.0.0.1:{settings['airflow_port']}", airflow.USER, airflow.read_password(self.folder / "airflow")
        )
        self._wait_healthy(api, report_line)
        api.ensure_pool("pulls", 8)
        return Place(
            read_url=urls["tributary_read"],
            airflow_url=api.url,
            password=airflow.read_password(self.folder / "airflow"),
            alerts=self.folder / "alerts.jsonl",
            api=api,
            sandbox_url=sandbox_url,
            connections=sandbox.result().connections,
            is_org_full=sandbox.result().is_org_full,
        )

    def reach(self) -> AirflowApi:
        """Return the running demo's Airflow API, logged in.

        Raises:
            ConfigurationError: The demo does not run.
        """
        url = self.processes.environment("dag-processor")["AIRFLOW__API__BASE_URL"]
        api = AirflowApi(url, airflow.USER, airflow.read_password(self.folder / "airflow"))
        api.log_in()
        return api

    def call_airflow(self, arguments: Sequence[str]) -> int:
        """Run Airflow's command line in the environment of the demo's processes; return the exit code.

        Raises:
            ConfigurationError: The demo does not run.
        """
        environment = self.processes.environment("dag-processor")
        command = [sys.executable, "-m", "airflow", *arguments]
        return subprocess.run(command, env=environment, cwd=environment["AIRFLOW_HOME"], check=False).returncode

    def stop(self) -> list[str]:
        """Stop all processes that `start` started, the supervisor first; return the names of the stopped processes."""
        if not self.folder.exists():
            return []
        ended = [supervisor.NAME] if supervisor.stop(self.processes) else []
        ended += self.processes.stop_all()
        if self.postgres.pid is not None:
            self.postgres.stop()
            ended.append("postgres")
        return ended

    def remove(self) -> None:
        """Stop the demo and delete its folder with all data."""
        self.stop()
        if (self.folder / "postgres").exists():
            self.postgres.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _settings(self) -> dict[str, Any]:
        path = self.folder / "settings.json"
        settings: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return settings

    def _find_households(self, requested: int | None) -> int:
        """Return the number of households of the existing firm; without one, return the number to generate.

        Args:
            requested: Number of households that the user requests; None means any number: 200 for a new firm.

        Raises:
            ConfigurationError: A firm with another number of households exists; `make clean` deletes it.
        """
        path = self.folder / "sandbox" / "firm.json"
        if not path.exists():
            return requested or 200
        present = int(json.loads(path.read_text())["households"])
        if requested not in (None, present):
            raise ConfigurationError(
                f"The firm here has {present} households: `make clean` deletes it, then {requested} can be generated"
            )
        return present

    def _update_settings(self, data: str, evening: datetime | None) -> dict[str, Any]:
        """Write and return the demo's settings: passwords, keys, go-live time, ports, the folder of served data, and the time that is present.

        Passwords, keys and the go-live time are set once. A port is kept while it is free or its process runs.

        Args:
            data: The folder of served data; empty for a generated firm.
            evening: The evening of the data's last day, which counts as the present; None for the machine's time.

        Raises:
            ConfigurationError: The running sandbox serves other data.
        """
        settings, running = self._settings(), self.pids()
        if "sandbox" in running and settings.get("data", "") != data:
            served = settings.get("data") or "a generated firm"
            raise ConfigurationError(f"The running sandbox serves {served}: run `make stop` first")
        if "hash_key" in settings:  # other keys would give each person a second identity
            raise ConfigurationError(
                "The data here was written by an earlier version, whose keys no longer work: run `make clean`, then `make demo`"
            )
        settings["data"] = data
        if "sandbox" not in running or "present" not in settings:
            settings["present"] = set_present(settings.get("present", {}), evening, datetime.now(UTC))
        passwords = settings.setdefault("passwords", {})
        passwords |= {role: secrets.token_urlsafe(16) for role in schema.ROLES if role not in passwords}
        known = settings.get("keys", "").split()
        missing = [purpose for purpose in keyring.PURPOSES if not any(key.startswith(f"{purpose}:") for key in known)]
        settings["keys"] = " ".join([*known, *keyring.generate("demo", missing).split()])
        settings.setdefault("go_live", datetime.now(UTC).isoformat(timespec="seconds"))
        listeners = {"airflow": "api-server", "sandbox": "sandbox", "org": "sandbox", "postgres": "postgres"}
        for name, process in listeners.items():
            port = f"{name}_port"
            if port not in settings or process not in running:
                settings[port] = find_free_port(settings.get(port, self.ports.get(name)))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_private(self.folder / "settings.json", json.dumps(settings))
        return settings

    def _create_databases(self, postgres: Postgres, passwords: dict[str, str]) -> None:
        for name in ("airflow", DATABASE):
            postgres.create_database(name)
        postgres.limit_idle_transactions("airflow", IDLE_SECONDS)
        schema.create_roles(postgres.url(DATABASE), passwords)

    def _environment(
        self,
        postgres: Postgres,
        urls: Mapping[str, str],
        settings: Mapping[str, Any],
        vendors: Mapping[str, dict[str, Any]],
    ) -> dict[str, str]:
        connections = list_connections(self.folder, urls, settings["keys"], vendors)
        environment = airflow.environment(
            self.folder / "airflow",
            postgres.url("airflow"),
            settings["airflow_port"],
            ROOT,
            connections=connections,
            variables={"tributary_speed": str(PACE), "tributary_backup_hours": "0"},
        )
        environment["TRIBUTARY_GO_LIVE"] = settings["go_live"]
        environment["TRIBUTARY_CLOCK_BEHIND"] = str(settings["present"]["behind_s"])
        return environment

    def _wait_healthy(self, api: AirflowApi, report_line: ReportLine) -> None:
        """Wait until Airflow is healthy, and report missing components; give up if a component keeps dying.

        Raises:
            TargetUnavailable: Airflow did not become healthy; the message names the component and its log.
        """
        processes = self.processes
        before = {name: processes.restarts(name) for name in airflow.COMPONENTS}

        def find_dying() -> list[str]:
            return [name for name, number in before.items() if processes.restarts(name) - number >= RESTARTS]

        try:
            api.wait_healthy(START_SECONDS, lambda: bool(find_dying()), report_line)
        except TargetUnavailable as error:
            dying = find_dying()
            logs = ", ".join(str(processes.log(name)) for name in dying or before)
            reason = f"{', '.join(dying)} keeps dying" if dying else str(error)
            raise TargetUnavailable(f"Airflow did not start: {reason}; see the log", log=logs) from error


def set_present(earlier: Mapping[str, Any], evening: datetime | None, now: datetime) -> dict[str, Any]:
    """Return which time counts as the present: how far it is behind the machine's clock, in seconds, for an evening, and in which start.

    The present runs on from start to start until the next trading day closes. Then it begins at the evening again, an hour later than
    before, because a load must not be older than the one before it.

    Args:
        earlier: The result of the last start; empty for the first one.
        evening: The evening of the data's last day; None if the present is the machine's time.
        now: The machine's time.
    """
    if evening is None or business_dates.latest_closed(evening) == business_dates.latest_closed(now):
        return {"behind_s": 0.0, "evening": "", "starts": 0}
    is_same = earlier.get("evening") == evening.isoformat()
    if is_same:
        present = now - timedelta(seconds=earlier["behind_s"])
        if business_dates.latest_closed(present) == business_dates.latest_closed(evening):
            return dict(earlier)
    starts = earlier["starts"] + 1 if is_same else 0
    begun = evening + timedelta(hours=min(starts, _EVENING_HOURS))
    return {"behind_s": (now - begun).total_seconds(), "evening": evening.isoformat(), "starts": starts}


def _register_keys(load_url: str, keys: str) -> None:
    """Register the keys before the gateway starts, so that it accepts deliveries at once."""
    engine = schema.engine(load_url)
    register.check(engine, keyring.Keyring.parse(keys))
    engine.dispose()


def listen(place: Place) -> None:
    """Subscribe the demo's gateway to the webhooks of the vendor `SIGNING`."""
    settings = place.connections[SIGNING]
    connection = Connection(settings["host"], extra=settings["extra"])
    subscribe(named(SIGNING).login, connection, f"{place.airflow_url}/webhooks/{SIGNING}")


def sign_an_envelope(place: Place, report_line: ReportLine) -> list[Step]:
    """Send and sign an envelope at the sandbox, which sends webhooks; return each step with the time until it was seen."""
    reading = schema.engine(place.read_url)
    try:
        return live(f"{place.sandbox_url}/_sandbox/{SIGNING}", PORTFOLIO, reading, report_line)
    finally:
        reading.dispose()


def list_connections(
    folder: Path, urls: Mapping[str, str], keys: str, vendors: Mapping[str, dict[str, Any]]
) -> dict[str, str]:
    """Return Airflow's connections as URI or JSON, by id. Their credentials are valid only for the sandbox."""
    signing = vendors[SIGNING]["extra"]
    known: dict[str, dict[str, Any]] = {
        **vendors,
        f"{SIGNING}_connect": {"password": signing["connect_hmac_key"]},
        "salesforce": {
            "host": vendors["salesforce"]["host"],
            "login": "tributary",
            "password": "sandbox-only",
            "extra": {"grant": "client_credentials", "firm": "demo", "shape": vendors["salesforce"]["extra"]["shape"]},
        },
    }
    connections: dict[str, dict[str, Any]] = {
        "tributary_staging": {"conn_type": "generic", "extra": {"root": str(folder / "staging")}},
        "tributary_keys": {"conn_type": "generic", "password": keys},
        "tributary_audit": {"conn_type": "generic", "extra": {"root": str(folder / "audit")}},
        "tributary_alerts": {"conn_type": "generic", "password": f"file://{folder / 'alerts.jsonl'}"},
        **{name: {"conn_type": "http", **values} for name, values in known.items()},
    }
    roles = {
        "tributary_db": "load",
        "tributary_db_gateway": "gateway",
        "tributary_db_api": "api",
        "tributary_db_web": "web",
    }
    databases = {name: urls[f"tributary_{role}"] for name, role in roles.items()}
    return databases | {name: json.dumps(values) for name, values in connections.items()}


def _as(url: str, role: str, password: str) -> str:
    return f"postgresql://{role}:{password}@{url.rsplit('@', 1)[1]}"
