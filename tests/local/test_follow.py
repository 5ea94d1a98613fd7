"""Reasons of failed runs come from the alerts; calls to Airflow survive time-outs and restarts."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from include.errors import TargetUnavailable
from local import airflow_api
from local.airflow_api import AirflowApi
from local.follow import read_reasons

RUN = "manual__2026-11-27T05:21:48+00:00"


@contextmanager
def serve_statuses(*statuses: int | None) -> Iterator[tuple[AirflowApi, list[dict[str, str]]]]:
    """Serve these statuses in turn (None: no response within the time-out); yield a client and the received bodies."""
    left, bodies = list(statuses), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            status = left.pop(0)
            if status is None:
                time.sleep(1)
                return
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b'{"dag_run_id": "another"}')

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield AirflowApi(f"http://127.0.0.1:{server.server_port}", "admin", "any"), bodies
        server.shutdown()


@pytest.mark.parametrize("first", [None, 500, 503])
def test_a_run_is_started_once_although_the_first_call_got_no_response(
    first: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(airflow_api, "CALL_SECONDS", 0.3)
    with serve_statuses(first, 409) as (api, bodies):
        run_id = api.trigger("orion")
    assert [body["dag_run_id"] for body in bodies] == [run_id, run_id]


def test_a_call_without_a_response_names_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow_api, "PATIENCE_SECONDS", 0)
    with serve_statuses(503) as (api, _), pytest.raises(TargetUnavailable, match="HTTP 503"):
        api.trigger("orion")


def test_the_reason_of_a_failed_run_is_that_of_its_alert(tmp_path: Path) -> None:
    body = f"Task: validate, try 1\nRun: {RUN}\nReason: DataQualityError: 3 rows\n- accounts 1, 2, 3\nSo far: 7\nLink: http://x"
    alerts = [
        {"title": "Failed: orion", "body": body},
        {"title": "Failed: orion", "body": body.replace(RUN, "scheduled__1")},
        {"title": "Failed: tamarac", "body": body},
        {"title": "Warning: orion", "body": body},
    ]
    path = tmp_path / "alerts.jsonl"
    path.write_text("".join(json.dumps(alert) + "\n" for alert in alerts))
    assert read_reasons(path, "orion", RUN) == [
        "Task: validate, try 1\nReason: DataQualityError: 3 rows\n- accounts 1, 2, 3\nLink: http://x"
    ]


def test_without_alerts_there_is_no_reason(tmp_path: Path) -> None:
    assert read_reasons(tmp_path / "alerts.jsonl", "orion", RUN) == []
