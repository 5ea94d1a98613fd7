"""Logs of tasks in an object store: one machine's Airflow writes them, and another's shows them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.dags.airflow_home import ROOT, environment, said

pytestmark = pytest.mark.airflow

_WRITE = """
from airflow import settings
from airflow.sdk.log import load_remote_log_handler
from pathlib import Path
import os
folder = Path(os.environ["AIRFLOW__LOGGING__BASE_LOG_FOLDER"], "dag_id=a", "task_id=b")
folder.mkdir(parents=True)
(folder / "attempt=1.log").write_text(os.environ["PART"])
load_remote_log_handler().upload("dag_id=a/task_id=b/attempt=1.log", None)
print("LEFT", sorted(path.name for path in folder.iterdir()))
"""
_READ = """
import json
from airflow import settings
from airflow.logging_config import get_remote_task_log
print("LOGS", json.dumps([get_remote_task_log().read(f"dag_id=a/task_id=b/attempt={n}.log", None) for n in (1, 2)]))
"""


@pytest.fixture
def bucket() -> Iterator[dict[str, object]]:
    """The connection of a bucket on this machine."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    client = {"region_name": "us-east-1", "endpoint_url": url}
    keys = {"aws_access_key_id": "only", "aws_secret_access_key": "tests"}
    boto3.client("s3", **client, **keys).create_bucket(Bucket="logs")
    options = {"key": "only", "secret": "tests", "client_kwargs": client}
    yield {"conn_type": "generic", "extra": {"root": "s3://logs/tributary", "options": options}}
    server.stop()


def run(home: Path, connection: dict[str, object], code: str, part: str = "") -> str:
    """Run code in an Airflow of its own, as on another machine."""
    environ = environment(home, {"tributary_logs": json.dumps(connection)}, home) | {
        "AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS": "tributary.task_logs.LOGGING",
        "PART": part,
    }
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_parts_of_a_log_from_two_machines_are_one_log_on_a_third(tmp_path: Path, bucket: dict[str, object]) -> None:
    assert said(run(tmp_path / "one", bucket, _WRITE, "before the wait\n"), "LEFT") == "[]"
    assert said(run(tmp_path / "two", bucket, _WRITE, "after it\n"), "LEFT") == "[]"
    first, second = json.loads(said(run(tmp_path / "three", bucket, _READ), "LOGS"))
    assert first == [
        ["s3://logs/tributary/dag_id=a/task_id=b/attempt=1.log"],
        ["before the wait\nafter it\n"],
    ]
    assert second == [[], None]


def test_a_log_that_could_not_be_stored_stays(tmp_path: Path, bucket: dict[str, object]) -> None:
    missing = bucket | {"extra": bucket["extra"] | {"root": "s3://missing/tributary"}}  # type: ignore[operator]
    with pytest.raises(AssertionError, match="bucket"):
        run(tmp_path / "one", missing, _WRITE, "text")
    assert [path.read_text() for path in (tmp_path / "one").rglob("attempt=1.log")] == ["text"]
