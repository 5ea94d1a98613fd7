"""Airflow's public REST API, as far as starting DAG runs and following them needs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

import requests

from include.errors import AuthenticationError, ConfigurationError, TargetUnavailable

COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")
POLL_SECONDS = 0.5
CALL_SECONDS = 30.0
ENDED = ("success", "failed")


class AirflowApi:
    """Airflow at `url` (`http://127.0.0.1:8080`), as one user.

    Calls raise `ConfigurationError` with Airflow's own words if it refuses one.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url.rstrip("/")
        self._user = user
        self._password = password
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy for the internet cannot reach this machine's own address

    def wait_healthy(self, timeout: float = 60.0, is_hopeless: Callable[[], bool] = lambda: False) -> None:
        """Wait until all components report in, then log in.

        Args:
            timeout: seconds.
            is_hopeless: asked between polls; True ends the wait, for instance because a process died.

        Raises:
            TargetUnavailable: they did not; the message names who is missing.
        """
        end = time.monotonic() + timeout
        while missing := self._find_unhealthy():
            if time.monotonic() > end or is_hopeless():
                raise TargetUnavailable("Airflow is not healthy", missing=", ".join(missing), seconds=timeout)
            time.sleep(POLL_SECONDS)
        self.log_in()

    def log_in(self) -> str:
        """Take a token for all further calls, and return it.

        Raises:
            AuthenticationError: user or password is wrong.
        """
        credentials = {"username": self._user, "password": self._password}
        answer = self._session.post(f"{self.url}/auth/token", json=credentials, timeout=CALL_SECONDS)
        if answer.status_code != 201:
            raise AuthenticationError("Airflow refused the log-in", user=self._user, status=answer.status_code)
        token: str = answer.json()["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"
        return token

    def wait_dag(self, dag_id: str, timeout: float = 60.0) -> None:
        """Wait until Airflow has read the DAG.

        Raises:
            ConfigurationError: it did not turn up in `timeout` seconds, and a DAG file does not import; the
                message is that file's traceback.
            TargetUnavailable: it did not turn up, and all that was read imports.
        """
        end = time.monotonic() + timeout
        while True:
            if dag_id in {dag["dag_id"] for dag in self._pages("dags", "dags")}:
                return
            if time.monotonic() > end:
                break
            time.sleep(POLL_SECONDS)
        # Not earlier: an error may be of a file that was repaired since and is not read again yet.
        for broken in self._pages("importErrors", "import_errors"):
            raise ConfigurationError(f"{broken['filename']} does not import:\n{broken['stack_trace']}")
        raise TargetUnavailable("Airflow has not read the DAG", dag_id=dag_id, seconds=timeout)

    def ensure_pool(self, name: str, slots: int) -> None:
        """Make a pool if it is not there; one that is stays as somebody set it."""
        if name not in {pool["name"] for pool in self._pages("pools", "pools")}:
            self._call("POST", "pools", json={"name": name, "slots": slots, "include_deferred": False})

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """The runs of a DAG, the newest first."""
        return list(self._call("GET", f"dags/{dag_id}/dagRuns", params={"order_by": "-run_after"})["dag_runs"])

    def unpause(self, dag_id: str) -> None:
        """Let the DAG run, by schedule and by `trigger`."""
        self._call("PATCH", f"dags/{dag_id}", json={"is_paused": False})

    def trigger(
        self, dag_id: str, conf: Mapping[str, object] | None = None, logical_date: datetime | None = None
    ) -> str:
        """Start a run; the DAG must not be paused, or the run waits.

        Returns:
            The run id.
        """
        body = {"logical_date": logical_date.isoformat() if logical_date else None, "conf": dict(conf or {})}
        run_id: str = self._call("POST", f"dags/{dag_id}/dagRuns", json=body)["dag_run_id"]
        return run_id

    def approve(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Say yes to a task that waits for a person; one that somebody has answered stays as it is."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"
        try:
            self._call("PATCH", path, json={"chosen_options": ["Approve"], "params_input": {}})
        except ConfigurationError as error:
            if error.facts.get("status") != requests.codes.conflict:
                raise

    def wait_run(
        self,
        dag_id: str,
        run_id: str,
        timeout: float,
        on_progress: Callable[[dict[str, str]], None] = lambda states: None,
    ) -> str:
        """Follow a run to its end.

        Args:
            timeout: seconds.
            on_progress: called with the state of every task whenever one changed; see `task_states`.

        Returns:
            `success` or `failed`.

        Raises:
            TargetUnavailable: the run has not ended in time; the message holds its tasks' states.
        """
        end = time.monotonic() + timeout
        seen: dict[str, str] = {}
        while True:
            state: str = self._call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"]
            states = self.task_states(dag_id, run_id)
            if states != seen:
                on_progress(states)
                seen = states
            if state in ENDED:
                return state
            if time.monotonic() > end:
                raise TargetUnavailable("the run has not ended", dag_id=dag_id, run_id=run_id, tasks=states)
            time.sleep(POLL_SECONDS)

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """State of every task of a run, mapped ones as `task[0]`, `task[1]`; `none` before its turn."""
        return {
            task["task_id"] + (f"[{task['map_index']}]" if task["map_index"] >= 0 else ""): task["state"] or "none"
            for task in self._pages(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", "task_instances")
        }

    def result(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What a task returned."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return self._call("GET", path, params={"deserialize": True})["value"]

    def _find_unhealthy(self) -> list[str]:
        try:
            answer = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=CALL_SECONDS)
            health = answer.json() if answer.ok else {}
        except requests.RequestException:
            return ["api_server"]
        return [name for name in COMPONENTS if health.get(name, {}).get("status") != "healthy"]

    def _pages(self, path: str, key: str) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            page = self._call("GET", path, params={"limit": 100, "offset": offset})
            yield from page[key]
            offset += len(page[key])
            if not page[key] or offset >= page["total_entries"]:
                return

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        call = f"{method} {path}"
        try:
            answer = self._session.request(method, f"{self.url}/api/v2/{path}", timeout=CALL_SECONDS, **arguments)
        except requests.RequestException as error:
            raise TargetUnavailable("Airflow did not answer", call=call, cause=type(error).__name__) from error
        if not answer.ok:
            kind = TargetUnavailable if answer.status_code >= 500 else ConfigurationError
            raise kind(f"Airflow refused: {answer.text[:500]}", call=call, status=answer.status_code)
        body: dict[str, Any] = answer.json()
        return body
