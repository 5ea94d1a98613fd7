"""The whole project on one machine: database, sandbox, Airflow, one day of data, and what became of it."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from include import sessions
from include.connection import Connection
from include.errors import ConfigurationError, TargetUnavailable
from include.local import airflow
from include.local.airflow_api import AirflowApi
from include.local.one_envelope import Step, live, subscribe
from include.local.postgres import Postgres
from include.local.private_file import write_private
from include.local.processes import Processes, find_free_port
from include.vendors import VENDORS
from include.warehouse import schema

ROOT = Path(__file__).parents[2]
STATE = ROOT / ".tributary"
DATABASE = "tributary"
PACE = 240
"""How many times faster the sandbox's limits of calls pass, so that hours of simulations take seconds."""

_PORTS = (("airflow_port", "api-server", 8080), ("sandbox_port", "sandbox", 8765), ("org_port", "sandbox", 8766))
"""Each port's name, the process that listens on it, and the number preferred."""

SIGNING, PORTFOLIO = "docusign", "orion"
"""The vendor whose envelope goes through its life, and the one whose household is sent it."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Place:
    """What a started demo answers to.

    Attributes:
        read_url: The database, as the reading role.
        airflow_url: Airflow's pages.
        password: Of `admin` there.
        alerts: File that alerts are appended to.
        docs: Folder of the data quality reports.
        api: Airflow, logged in.
        sandbox_url: The vendors.
        connections: What a vendor's sandbox wants to be told, by vendor.
    """

    read_url: str
    airflow_url: str
    password: str
    alerts: Path
    docs: Path
    api: AirflowApi
    sandbox_url: str
    connections: Mapping[str, dict[str, Any]]


def start(say: Say, data: Path | None = None, households: int | None = None) -> Place:
    """Starts whatever does not run yet; twice changes nothing.

    Args:
        say: Told what happens.
        data: Folder of vendor files to serve instead of invented ones.
        households: How many to invent; None stays with the firm that is there, or invents 200.

    Raises:
        ConfigurationError: Something else was asked for than runs or is loaded here; the message says what to do.
        TributaryError: Something did not start; the message says what.
    """
    processes = Processes(STATE / "processes")
    households = _find_households(households)
    kept = _keep(processes, str(data.resolve()) if data else "")
    sandbox_url = f"http://127.0.0.1:{kept['sandbox_port']}"
    with ThreadPoolExecutor(2) as pool:
        sandbox = pool.submit(_start_sandbox, processes, sandbox_url, kept["org_port"], data, households)
        say("Starting PostgreSQL 18 ...")
        postgres = Postgres.start(STATE / "postgres", durable=True)
        for name in ("airflow", DATABASE):
            postgres.create_database(name)
        schema.create_roles(postgres.url(DATABASE), kept["passwords"])
        urls = {role: _as(postgres.url(DATABASE), role, kept["passwords"][role]) for role in schema.ROLES}
        settings = airflow.environment(
            STATE / "airflow",
            postgres.url("airflow"),
            kept["airflow_port"],
            ROOT,
            connections=_connections(urls["tributary_load"], kept["hash_key"], sandbox.result()),
            variables={"tributary_speed": str(PACE)},
        )
        settings["TRIBUTARY_GO_LIVE"] = kept["go_live"]
        settings["TRIBUTARY_DATA_DOCS"] = str(STATE / "data_docs")
        say("Starting Airflow (scheduler, DAG processor, triggerer, API server) and the sandbox vendors ...")
        booted = pool.submit(airflow.start, settings, processes)
        schema.migrate(urls["tributary_migrate"])
        booted.result()
    url = f"http://127.0.0.1:{kept['airflow_port']}"
    password = airflow.read_password(STATE / "airflow")
    api = AirflowApi(url, airflow.USER, password)
    api.wait_healthy(120, lambda: airflow.has_died(processes))
    for vendor in VENDORS:
        api.ensure_pool(f"{vendor.name}_api", 6)
    read_url, alerts, docs = urls["tributary_read"], STATE / "alerts.jsonl", STATE / "data_docs"
    return Place(read_url, url, password, alerts, docs, api, sandbox_url, sandbox.result())


def reach() -> AirflowApi:
    """Returns the Airflow of the demo that runs, logged in.

    Raises:
        ConfigurationError: The demo does not run.
    """
    environment = Processes(STATE / "processes").environment("dag-processor")
    api = AirflowApi(environment["AIRFLOW__API__BASE_URL"], airflow.USER, airflow.read_password(STATE / "airflow"))
    api.log_in()
    return api


def replay(api: AirflowApi, table: str, day: str | None, *, is_dry: bool, timeout: float = 600) -> dict[str, int]:
    """Sends dead letters again, as the DAG's form does.

    Args:
        api: Airflow.
        table: `<vendor>.<table>` of the letters.
        day: Their business date (2026-11-20); None stands for the latest closed session.
        is_dry: Pulls and checks, and writes nothing.
        timeout: Seconds that it may take.

    Returns:
        What became of them, as `include.replay.Replayed` says.

    Raises:
        ConfigurationError: There is no such table.
        TargetUnavailable: The run failed, or has not ended in time.
    """
    dag_id = "replay_dead_letters"
    api.unpause(dag_id)
    run_id = api.trigger(dag_id, {"table": table, "business_date": day, "dead_letters": [], "dry_run": is_dry})
    if api.wait_run(dag_id, run_id, timeout) != "success":
        raise TargetUnavailable("The replay failed; its page says why", page=f"{api.url}/dags/{dag_id}/runs/{run_id}")
    outcome: dict[str, int] = api.result(dag_id, run_id, "replay")
    return outcome


def call_airflow(arguments: Sequence[str]) -> int:
    """Runs Airflow's own command line beside the demo, in the environment of its processes; returns the exit code.

    Raises:
        ConfigurationError: The demo does not run.
    """
    environment = Processes(STATE / "processes").environment("dag-processor")
    command = [sys.executable, "-m", "airflow", *arguments]
    return subprocess.run(command, env=environment, cwd=environment["AIRFLOW_HOME"], check=False).returncode


def stop() -> list[str]:
    """Ends everything that `start` started, and nothing else; returns what was ended."""
    ended = Processes(STATE / "processes").stop_all() if STATE.exists() else []
    postgres = Postgres(STATE / "postgres", port=0)
    if postgres.pid is not None:
        postgres.stop()
        ended.append("postgres")
    return ended


def run(place: Place, dag_id: str, say: Say, timeout: float, conf: Mapping[str, Any] | None = None) -> str:
    """Runs a DAG now and tells its progress; returns how it ended."""
    place.api.wait_dag(dag_id)
    place.api.unpause(dag_id)
    run_id = place.api.trigger(dag_id, conf)
    for other in place.api.runs(dag_id):  # such as one that was due at this very moment
        if other["dag_run_id"] != run_id and other["state"] in ("queued", "running"):
            follow(place, dag_id, other["dag_run_id"], say, timeout)
    return follow(place, dag_id, run_id, say, timeout)


def run_approved(place: Place, dag_id: str, asking: str, say: Say, timeout: float) -> str:
    """Runs a DAG that has the DAG `asking` ask a person, answers, and waits for the run that follows; returns how it ended."""
    place.api.wait_dag(asking)
    place.api.unpause(asking)
    ended = run(place, dag_id, say, timeout)
    before = {each["dag_run_id"] for each in place.api.runs(dag_id)}
    for question in place.api.runs(asking):
        follow(place, asking, question["dag_run_id"], say, timeout)
    for after in place.api.runs(dag_id):
        if after["dag_run_id"] not in before:
            ended = follow(place, dag_id, after["dag_run_id"], say, timeout)
    return ended


def run_all(place: Place, dag_ids: list[str], say: Say, timeout: float) -> dict[str, str]:
    """Runs several DAGs at once and tells their progress; returns how each ended."""
    with ThreadPoolExecutor(len(dag_ids)) as pool:
        running = {dag_id: pool.submit(run, place, dag_id, say, timeout) for dag_id in dag_ids}
        return {dag_id: ended.result() for dag_id, ended in running.items()}


def listen(place: Place) -> None:
    """Has webhooks drained, from now on, and the vendor send some."""
    known = place.connections[SIGNING]
    place.api.wait_dag("drain_inbox")
    place.api.unpause("drain_inbox")
    subscribe(Connection(known["host"], extra=known["extra"]), f"{place.airflow_url}/webhooks/{SIGNING}")


def sign_an_envelope(place: Place, say: Say) -> list[Step]:
    """Has an envelope go through its life at the vendor, which tells of it by webhook; returns when each step was seen."""
    reading = schema.engine(place.read_url)
    try:
        return live(f"{place.sandbox_url}/_sandbox/{SIGNING}", PORTFOLIO, reading, say)
    finally:
        reading.dispose()


def follow(place: Place, dag_id: str, run_id: str, say: Say, timeout: float) -> str:
    """Tells the progress of a run up to its end; returns how it ended."""
    told: dict[str, str] = {}
    started = time.monotonic()

    def tell(states: dict[str, str]) -> None:
        for name, state in states.items():
            if state == "awaiting_input":
                time.sleep(2)  # an answer within the first moments can meet the asking process still at its end
                place.api.approve(dag_id, run_id, name)
                say(
                    f"  {time.monotonic() - started:5.1f} s  {dag_id}: {name}: a first load is asked about; the demo says yes"
                )
            if state in ("success", "failed", "upstream_failed", "up_for_retry") and told.get(name) != state:
                told[name] = state
                say(f"  {time.monotonic() - started:5.1f} s  {dag_id}: {name} {state}")

    return place.api.wait_run(dag_id, run_id, timeout, tell)


def _find_households(asked: int | None) -> int:
    """How many the firm here has, or will have; its days are loaded, so that another one can't take its place."""
    path = STATE / "sandbox" / "firm.json"
    if not path.exists():
        return asked or 200
    there = int(json.loads(path.read_text())["households"])
    if asked not in (None, there):
        raise ConfigurationError(
            f"The firm here has {there} households: `make clean` forgets it, then {asked} can be invented"
        )
    return there


def _keep(processes: Processes, data: str) -> dict[str, Any]:
    """Passwords, made once; ports, kept while free or ours; and which folder is served, kept while the sandbox runs."""
    path = STATE / "settings.json"
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if processes.is_running("sandbox") and kept.get("data", "") != data:
        serves = kept.get("data") or "an invented firm"
        raise ConfigurationError(f"The sandbox that runs here serves {serves}: `make stop` first")
    kept["data"] = data
    known = kept.setdefault("passwords", {})
    known |= {role: secrets.token_urlsafe(16) for role in schema.ROLES if role not in known}
    kept.setdefault("hash_key", secrets.token_urlsafe(32))
    kept.setdefault("go_live", datetime.now(UTC).isoformat(timespec="seconds"))
    for name, process, preferred in _PORTS:
        if name not in kept or not processes.is_running(process):
            kept[name] = find_free_port(kept.get(name, preferred))
    STATE.mkdir(exist_ok=True)
    write_private(path, json.dumps(kept))
    return kept


def _start_sandbox(
    processes: Processes, url: str, org_port: int, data: Path | None, households: int
) -> dict[str, dict[str, Any]]:
    """Starts the sandbox; returns what it wants to be told to let us in, by vendor."""
    command = [sys.executable, "-m", "include.cli", "sandbox", "--port", url.rsplit(":", 1)[1]]
    command += ["--org-port", str(org_port)]
    command += ["--households", str(households), "--state", str(STATE / "sandbox")]
    command += ["--data", str(data.resolve())] if data else []
    command += ["--pace", str(PACE)]
    processes.start("sandbox", command, folder=ROOT)
    end = time.monotonic() + 60
    while time.monotonic() < end and processes.is_running("sandbox"):
        try:
            requests.get(f"{url}/_sandbox/clock", timeout=5)
            requests.post(
                f"{url}/salesforce/_admin/consumers",
                json={"client_id": "tributary", "client_secret": "sandbox-only", "username": "load@tributary.example"},
                timeout=10,
            )
            # A vendor that closes its day in the night has done so; nobody waits for the morning here.
            closed = {"date": sessions.latest_closed(datetime.now(UTC)).isoformat()}
            requests.post(f"{url}/_sandbox/tamarac/closed_through", json=closed, timeout=10)
            known: dict[str, dict[str, Any]] = requests.get(f"{url}/_sandbox/connections", timeout=10).json()
            return known
        except requests.ConnectionError:
            time.sleep(0.2)
    log = processes.log("sandbox")
    raise TargetUnavailable("The sandbox did not start", said=(log.read_text().splitlines() or [""])[-1], log=log)


def _connections(load_url: str, hash_key: str, vendors: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """The firm's connections; the sandbox's credentials open nothing but the sandbox."""
    signing = vendors[SIGNING]["extra"]
    known: dict[str, dict[str, Any]] = {
        **vendors,
        f"{SIGNING}_connect": {"password": signing["connect_hmac_key"]},
        "salesforce": {
            "host": vendors["salesforce"]["host"],
            "login": "tributary",
            "password": "sandbox-only",
            "extra": {"grant": "client_credentials", "firm": "demo"},
        },
    }
    connections: dict[str, dict[str, Any]] = {
        "tributary_staging": {"conn_type": "generic", "extra": {"root": str(STATE / "staging")}},
        "tributary_secret": {"conn_type": "generic", "password": hash_key},
        "tributary_alerts": {"conn_type": "generic", "password": f"file://{STATE / 'alerts.jsonl'}"},
        **{name: {"conn_type": "http", **values} for name, values in known.items()},
    }
    return {"tributary_db": load_url, **{name: json.dumps(values) for name, values in connections.items()}}


def _as(url: str, role: str, password: str) -> str:
    return f"postgresql://{role}:{password}@{url.rsplit('@', 1)[1]}"
