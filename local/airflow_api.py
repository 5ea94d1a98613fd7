"""Client of Airflow's public REST API, limited to starting and following DAG runs.

A request that times out, finds no server or gets a server error is retried for `PATIENCE_SECONDS`, because a loaded machine is slow and
a dead server is restarted. Every request can be repeated safely. For example, we choose the id of a run, so a repeated start finds the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import requests

from include.errors import AuthenticationError, ConfigurationError, TargetUnavailable

COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")
POLL_SECONDS = 0.5
CALL_SECONDS = 30.0
PATIENCE_SECONDS = 120.0
QUIET_SECONDS = 20.0
ENDED = ("success", "failed")

ReportLine = Callable[[str], None]
"""Reports one line of progress."""


class AirflowApi:
    """A client for the Airflow at `url` (such as `http://127.0.0.1:8080`), logged in as one user.

    All methods raise `ConfigurationError` with Airflow's message if it rejects a request, and `TargetUnavailable` if it does not respond for
    `PATIENCE_SECONDS`.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url.rstrip("/")
        self._user = user
        self._password = password
        self._session = requests.Session()
        self._session.trust_env = False  # an internet proxy can't reach 127.0.0.1

    def wait_healthy(
        self,
        timeout: float = 60.0,
        is_hopeless: Callable[[], bool] = lambda: False,
        report_line: ReportLine = lambda line: None,
    ) -> None:
        """Wait until all components are healthy, then log in.

        Args:
            timeout: Seconds.
            is_hopeless: Called between polls. If it returns True, the wait ends with an error, for instance because a process died.
            report_line: Called with a line of progress every `QUIET_SECONDS`.

        Raises:
            TargetUnavailable: A component is not healthy after `timeout`, or `is_hopeless` returned True; the message names the component.
            AuthenticationError: The user or password is wrong.
        """
        began = reported = time.monotonic()
        while missing := self._find_unhealthy():
            now = time.monotonic()
            if now - began > timeout or is_hopeless():
                raise TargetUnavailable(
                    "Airflow is not healthy", missing=", ".join(missing), seconds=round(now - began)
                )
            if now - reported > QUIET_SECONDS:
                report_line(f"  {now - began:5.1f} s  waiting for Airflow: {', '.join(missing)}")
                reported = now
            time.sleep(POLL_SECONDS)
        self.log_in()

    def log_in(self) -> str:
        """Get a token, use it for all further requests, and return it.

        Raises:
            AuthenticationError: The user or password is wrong.
        """
        credentials = {"username": self._user, "password": self._password}
        answer = self._send("POST", "auth/token", json=credentials)
        if answer.status_code != 201:
            raise AuthenticationError("Airflow rejected the login", user=self._user, status=answer.status_code)
        token: str = answer.json()["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"
        return token

    def wait_dag(self, dag_id: str, timeout: float = 60.0) -> None:
        """Wait until Airflow has read the DAG.

        Raises:
            ConfigurationError: The DAG did not appear within `timeout` seconds, and a DAG file has an import error; the message
                includes the traceback.
            TargetUnavailable: The DAG did not appear, and there is no import error.
        """
        end = time.monotonic() + timeout
        while True:
            if dag_id in {dag["dag_id"] for dag in self._pages("dags", "dags")}:
                return
            if time.monotonic() > end:
                break
            time.sleep(POLL_SECONDS)
        # Import errors count only after the timeout: before, Airflow may not have read a fixed file again yet.
        for broken in self._pages("importErrors", "import_errors"):
            raise ConfigurationError(f"{broken['filename']} does not import:\n{broken['stack_trace']}")
        raise TargetUnavailable("Airflow has not read the DAG", dag_id=dag_id, seconds=timeout)

    def ensure_pool(self, name: str, slots: int) -> None:
        """Create a pool unless it exists; an existing pool is not changed."""
        if name not in {pool["name"] for pool in self._pages("pools", "pools")}:
            body = {"name": name, "slots": slots, "include_deferred": False}
            self._call("POST", "pools", repeated=True, json=body)

    def dags(self) -> dict[str, list[str]]:
        """Return the tags of each DAG that Airflow has read, by DAG id."""
        return {dag["dag_id"]: [tag["name"] for tag in dag["tags"]] for dag in self._pages("dags", "dags")}

    def find_active(self, dag_ids: Sequence[str]) -> list[tuple[str, str]]:
        """Return the DAG id and run id of every unfinished run of these DAGs."""
        body = {"dag_ids": [*dag_ids], "states": ["queued", "running"], "order_by": "run_after"}
        runs = self._call("POST", "dags/~/dagRuns/list", json=body)["dag_runs"]
        return [(run["dag_id"], run["dag_run_id"]) for run in runs]

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run, such as `queued`, `running`, `success` or `failed`."""
        state: str = self._call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"]
        return state

    def find_changed_tasks(self, since: datetime) -> list[dict[str, Any]]:
        """Return all task instances that changed at or after a time, of all DAGs and runs, as Airflow's JSON objects."""
        return list(self._pages("dags/~/dagRuns/~/taskInstances", "task_instances", updated_at_gte=since.isoformat()))

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the runs of a DAG as Airflow's JSON objects, the newest first."""
        return list(self._call("GET", f"dags/{dag_id}/dagRuns", params={"order_by": "-run_after"})["dag_runs"])

    def unpause(self, dag_id: str) -> None:
        """Unpause a DAG."""
        self._call("PATCH", f"dags/{dag_id}", json={"is_paused": False})

    def trigger(self, dag_id: str, conf: Mapping[str, object] | None = None) -> str:
        """Create a run with the params `conf` and return its id. If the DAG is paused, the run waits."""
        run_id = f"manual__{datetime.now(UTC).isoformat()}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
        self._call("POST", f"dags/{dag_id}/dagRuns", repeated=True, json=body)
        return run_id

    def approve(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Approve a task that waits for a decision; an existing decision is not changed."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"
        self._call("PATCH", path, repeated=True, json={"chosen_options": ["Approve"], "params_input": {}})

    def wait_run(self, dag_id: str, run_id: str, timeout: float) -> str:
        """Follow a run to its end.

        Args:
            timeout: Seconds.

        Returns:
            `success` or `failed`.

        Raises:
            TargetUnavailable: The run did not end in time; the message includes the states of its tasks.
        """
        end = time.monotonic() + timeout
        while (state := self.run_state(dag_id, run_id)) not in ENDED:
            if time.monotonic() > end:
                states = self.task_states(dag_id, run_id)
                raise TargetUnavailable("The DAG run did not end in time", dag_id=dag_id, run_id=run_id, tasks=states)
            time.sleep(POLL_SECONDS)
        return state

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Return the state of each task of a run, by task id.

        A mapped instance has its index in the id: `task[0]`, `task[1]`. A task that is not scheduled yet has the state `none`.
        """
        return {
            task["task_id"] + (f"[{task['map_index']}]" if task["map_index"] >= 0 else ""): task["state"] or "none"
            for task in self._pages(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", "task_instances")
        }

    def result(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return the value that a task of a run returned (its XCom)."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return self._call("GET", path, params={"deserialize": True})["value"]

    def _find_unhealthy(self) -> list[str]:
        try:
            answer = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=CALL_SECONDS)
            health = answer.json() if answer.ok else {}
        except requests.RequestException:
            return ["api_server"]
        return [name for name in COMPONENTS if health.get(name, {}).get("status") != "healthy"]

    def _pages(self, path: str, key: str, **query: str) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            page = self._call("GET", path, params={"limit": 100, "offset": offset, **query})
            yield from page[key]
            offset += len(page[key])
            if not page[key] or offset >= page["total_entries"]:
                return

    def _call(self, method: str, path: str, *, repeated: bool = False, **arguments: Any) -> dict[str, Any]:
        """Send a request and return its JSON.

        With `repeated`, a conflict (409) returns an empty dict: an earlier attempt of the same request has succeeded.
        """
        call = f"{method} {path}"
        answer = self._send(method, f"api/v2/{path}", **arguments)
        if repeated and answer.status_code == requests.codes.conflict:
            return {}
        if not answer.ok:
            raise ConfigurationError(
                f"Airflow rejected the request: {answer.text[:500]}", call=call, status=answer.status_code
            )
        body: dict[str, Any] = answer.json()
        return body

    def _send(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """Send a request and return the response; retry connection errors and 5xx for `PATIENCE_SECONDS`, then raise TargetUnavailable."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = self._session.request(method, f"{self.url}/{path}", timeout=CALL_SECONDS, **arguments)
                if answer.status_code < 500:
                    return answer
                cause = f"HTTP {answer.status_code}: {answer.text[:200]}"
            except requests.RequestException as error:
                cause = type(error).__name__
            if time.monotonic() > end:
                raise TargetUnavailable("Airflow does not respond", call=f"{method} {path}", cause=cause)
            time.sleep(POLL_SECONDS)
