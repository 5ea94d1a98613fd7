"""The API under Schemathesis with its own document: no server error, and no response that the document does not declare."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gateway.api.conftest import Api
from tests.gateway.api.test_push import TABLE, VENDOR
from tests.gateway.api.test_reading import die, find
from tests.pushed_rows import whole_row

# Many valid requests can't succeed: a day without a session, a dead letter that is not open, an unknown table.
CONFIG = f"""
[[operations]]
include-operation-id = ["pushRecords", "getTable"]
parameters = {{ "path.vendor" = "{VENDOR.name}", "path.table" = "{TABLE.name}" }}

[auth.openapi.apiKey]
api_key = "THE-KEY"

[checks]
positive_data_acceptance.expected-statuses = ["2xx", 404, 422]
"""

# Generated requests reuse idempotency keys and lack the fields that this table's rows need.
HOOKS = f"""
import re, uuid
import schemathesis

@schemathesis.hook
def before_call(context, case, kwargs):
    key = (case.headers or {{}}).get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch("[A-Za-z0-9._:-]{{8,200}}", key):
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    if case.operation.path.endswith("/records") and isinstance(case.body, list):
        for row in case.body:
            if isinstance(row, dict):
                for name, value in {whole_row(TABLE)!r}.items():
                    row.setdefault(name, value)
"""


def run_schemathesis(api: Api, key: str, folder: Path, *options: str) -> str:
    (folder / "schemathesis.toml").write_text(CONFIG.replace("THE-KEY", key))
    (folder / "never_the_same.py").write_text(HOOKS)
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "never_the_same", "PYTHONPATH": str(folder)}
    place = str(api.http.base_url).rstrip("/")
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        "schemathesis.toml",
        "run",
        f"{place}/openapi.json",
    ]
    command += ["--url", place, "--checks", "all", "--no-color"]
    command += ["--seed", "1", "--generation-database", "none", *options]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def api_with_data(api: Api) -> Api:
    """An API with findings and dead letters."""
    for number in range(3):
        find(api.database, number)
        die(api.database, number)
    return api


def check(api: Api, key: str, folder: Path, least: int, *options: str) -> None:
    output = run_schemathesis(api, key, folder, *options)
    assert "Tested: 13" in output
    assert int(re.search(r"(\d+) passed, \d+ skipped", output)[1]) >= least  # type: ignore[index]
    # Authentication passed, and requests were stored.
    assert "Authentication failed" not in output
    assert all(api.database.value(f"select count(*) from control.{name}") for name in ("request", "inbox"))


def test_no_response_is_a_failure_or_unknown_to_the_document(
    api_with_data: Api, tmp_path: Path, make_key: Callable[..., str]
) -> None:
    check(api_with_data, make_key(), tmp_path, 300, "--max-examples", "5", "--phases", "examples,coverage,fuzzing")


@pytest.mark.long
def test_nor_is_any_of_thousands_in_any_order(api_with_data: Api, tmp_path: Path, make_key: Callable[..., str]) -> None:
    check(api_with_data, make_key(), tmp_path, 1000, "--max-examples", "150")
