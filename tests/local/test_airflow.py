"""Local Airflow: its settings, and a real start that runs a toy DAG."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from include import watchdog
from include.errors import AuthenticationError, ConfigurationError, TargetUnavailable
from local import airflow, demo, follow
from local.airflow_api import AirflowApi
from local.follow import Follower, Outcome
from local.postgres import Postgres
from local.processes import Processes, find_free_port

TOY = """
from airflow.sdk import Connection, Variable, dag, task

@dag(schedule=None)
def toy():
    @task
    def fail_on_request(params=None):
        if params.get("fail"):
            raise ValueError("asked to fail")

    @task
    def read_settings():
        assert Connection.get("orion_test").host == "vendor.example"
        assert Variable.get("greeting") == "hello"
        return [1, 2]

    @task
    def double(number):
        return 2 * number

    fail_on_request() >> double.expand(number=read_settings())

@dag(schedule=None)
def look():
    @task(queue="no worker takes this queue")
    def list_modules():
        import sys
        return sorted(sys.modules)

    list_modules()

@dag(schedule=None)
def failing():
    @task
    def read(number):
        raise ValueError("no")

    read.expand(number=[1, 2])

@dag(schedule=None)
def slow():
    @task
    def rest():
        import time
        time.sleep(4)

    rest()

toy()
look()
failing()
slow()
"""


def make_settings(home: Path, url: str = "postgresql://u:p@127.0.0.1:1/airflow", port: int = 1) -> dict[str, str]:
    return airflow.environment(
        home,
        url,
        port,
        home.parent,
        connections={"orion_test": "http://vendor.example"},
        variables={"greeting": "hello"},
    )


def test_keys_and_password_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert make_settings(home) == make_settings(home)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (home, *home.iterdir())}
    assert modes == {"home": 0o700, "secrets.json": 0o600, "passwords.json": 0o600}


def test_two_homes_share_no_key(tmp_path: Path) -> None:
    secret = ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY")
    first, second = make_settings(tmp_path / "a"), make_settings(tmp_path / "b")
    assert not [name for name in secret if first[name] == second[name]]
    assert airflow.read_password(tmp_path / "a") != airflow.read_password(tmp_path / "b")


def test_airflow_settings_of_the_shell_do_not_leak_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("AIRFLOW_CONN_STRAY", "http://stray.example")
    monkeypatch.setenv("EDITOR", "ed")
    settings = make_settings(tmp_path / "home")
    assert settings["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert "AIRFLOW_CONN_STRAY" not in settings
    assert settings["EDITOR"] == "ed"


def test_a_metadata_database_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "home", port=find_free_port())
    with pytest.raises(ConfigurationError, match="db migrate"):
        airflow.start(settings, Processes(tmp_path / "state"))


def test_waiting_for_health_ends_with_the_names_of_who_is_missing(free_port: int) -> None:
    api = AirflowApi(f"http://127.0.0.1:{free_port}", airflow.USER, "any")
    with pytest.raises(TargetUnavailable, match="api_server"):
        api.wait_healthy(timeout=0)


def test_waiting_for_health_ends_at_once_if_it_is_hopeless(free_port: int) -> None:
    api = AirflowApi(f"http://127.0.0.1:{free_port}", airflow.USER, "any")
    with pytest.raises(TargetUnavailable):
        api.wait_healthy(timeout=300, is_hopeless=lambda: True)


@dataclass
class Running:
    api: AirflowApi
    home: Path
    processes: Processes
    settings: dict[str, str]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """A healthy Airflow with the toy DAG, and a logged-in client."""
    with tempfile.TemporaryDirectory() as folder, Postgres.temporary() as postgres:
        root = Path(folder)
        for part in ("dags", "plugins"):
            (root / part).mkdir()
        (root / "dags" / "toy.py").write_text(TOY)
        (root / "plugins" / "page.py").write_text("class Page: pass\n")
        (root / "airflow_local_settings.py").symlink_to(demo.ROOT / "airflow_local_settings.py")
        (root / "dags" / "broken.py").write_text("from airflow.sdk import dag, no_such_name\n")
        postgres.create_database("airflow")
        port = find_free_port()
        settings = make_settings(root / "home", postgres.url("airflow"), port)
        processes = Processes(root / "state")
        try:
            airflow.start(settings, processes)
            password = airflow.read_password(root / "home")
            api = AirflowApi(f"http://127.0.0.1:{port}", airflow.USER, password)
            api.wait_healthy(120, is_hopeless=lambda: airflow.has_died(processes))
            api.wait_dag("toy")
            api.unpause("toy")
            yield Running(api, root / "home", processes, settings)
        finally:
            processes.stop_all()


@pytest.mark.airflow
@pytest.mark.parametrize("component", airflow.COMPONENTS)
def test_the_watchdog_sees_that_a_healthy_component_works(running: Running, component: str) -> None:
    assert watchdog.is_working(component, running.settings) is True


@pytest.mark.airflow
def test_a_run_succeeds_with_all_its_tasks(running: Running) -> None:
    run_id = running.api.trigger("toy")
    assert running.api.wait_run("toy", run_id, 60) == "success"
    assert running.api.task_states("toy", run_id) == {
        "fail_on_request": "success",
        "read_settings": "success",
        "double[0]": "success",
        "double[1]": "success",
    }


@pytest.mark.airflow
def test_a_task_starts_with_the_libraries_of_tasks_and_without_plugins_whatever_its_queue(running: Running) -> None:
    running.api.unpause("look")
    run_id = running.api.trigger("look")
    assert running.api.wait_run("look", run_id, 60) == "success"
    modules = set(running.api.result("look", run_id, "list_modules"))
    assert {"great_expectations", "pyarrow.parquet"} <= modules
    assert "page" not in modules


@pytest.mark.airflow
def test_conf_reaches_the_run_and_a_failed_run_raises(running: Running) -> None:
    run_id = running.api.trigger("toy", {"fail": True})
    assert running.api.wait_run("toy", run_id, 60) == "failed"
    assert running.api.task_states("toy", run_id)["fail_on_request"] == "failed"


@pytest.mark.airflow
def test_runs_of_several_dags_are_followed_together_and_a_failure_names_its_tasks(running: Running) -> None:
    lines: list[str] = []
    outcomes = Follower(running.api, lines.append, running.home / "none.jsonl").run(["toy", "failing"])
    assert outcomes["toy"] == Outcome("success")
    assert outcomes["failing"].state == "failed"
    [reason] = outcomes["failing"].reasons
    assert reason.startswith("read[0], read[1] failed without an alert: http://127.0.0.1")
    ended = {line.split("s  ", 1)[1] for line in lines}
    assert {"toy: read_settings success", "toy: double[0] success", "failing: read[1] failed"} <= ended


@pytest.mark.airflow
def test_what_runs_is_listed_while_nothing_changes(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "QUIET_SECONDS", 1)
    lines: list[str] = []
    assert Follower(running.api, lines.append, running.home / "none.jsonl").run(["slow"])["slow"].state == "success"
    assert [line for line in lines if "waiting for slow: rest running for" in line]


@pytest.mark.airflow
def test_runs_without_any_change_are_given_up_with_what_they_wait_for(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "STALLED_SECONDS", 2.5)
    with pytest.raises(TargetUnavailable, match=r"No task changed its state.*waiting=slow: rest running"):
        Follower(running.api, lambda line: None, running.home / "none.jsonl").run(["slow"])


@pytest.mark.airflow
def test_a_wrong_password_is_refused(running: Running) -> None:
    with pytest.raises(AuthenticationError):
        AirflowApi(running.api.url, airflow.USER, "wrong").log_in()


@pytest.mark.airflow
def test_without_a_token_nothing_is_returned(running: Running) -> None:
    with pytest.raises(ConfigurationError, match="401"):
        AirflowApi(running.api.url, airflow.USER, "any").task_states("toy", "any")


@pytest.mark.airflow
def test_waiting_for_a_dag_whose_file_is_broken_ends_with_its_traceback(running: Running) -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)broken\.py does not import.*no_such_name"):
        running.api.wait_dag("broken", timeout=5)


@pytest.mark.airflow
def test_a_dag_that_does_not_exist_is_an_error(running: Running) -> None:
    with pytest.raises(ConfigurationError, match="404"):
        running.api.trigger("no_such_dag")


@pytest.mark.airflow
def test_only_the_loopback_address_is_listened_on(running: Running) -> None:
    parents = [psutil.Process(running.processes.start(name, [])) for name in airflow.COMPONENTS]
    everyone = [process for parent in parents for process in (parent, *parent.children(recursive=True))]
    listening = [
        connection.laddr.ip
        for process in everyone
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}


@pytest.mark.airflow
def test_a_second_start_changes_nothing(running: Running) -> None:
    before = (running.processes.state_dir / "processes.json").read_text()
    airflow.start(running.settings, running.processes)
    assert (running.processes.state_dir / "processes.json").read_text() == before


@pytest.mark.airflow
def test_no_password_is_in_the_logs(running: Running) -> None:
    secrets = [airflow.read_password(running.home), running.settings["AIRFLOW__CORE__FERNET_KEY"]]
    for log in [*running.processes.state_dir.glob("*.log"), *(running.home / "logs").rglob("*.log")]:
        assert not [secret for secret in secrets if secret in log.read_text()]
