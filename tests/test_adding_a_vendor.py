"""docs/how-to/adding_a_vendor.md: its steps 1 to 3, followed literally in a copy of the project, give a vendor that works."""

from __future__ import annotations

import ast
import base64
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.vendors import VENDORS
from sandbox import vendors as simulated
from tests.conftest import Database

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "how-to" / "adding_a_vendor.md").read_text()

ROWS = [
    {"portfolioId": 1, "title": "Sample One", "totalValue": 10.25, "open": True, "accountNo": "1111-2233", "branchPhone": None},
    {"portfolioId": 2, "title": "Sample Two", "totalValue": 1000000000.01, "open": True, "accountNo": "4444-5566", "branchPhone": None},
    {"portfolioId": 3, "title": "Sample Three", "totalValue": 7, "open": False, "accountNo": None, "branchPhone": "x"},
]  # fmt: skip

_DAY = """
import json, sys
from datetime import date
from include.pipeline import vendor_day
from include.pipeline.run import Run, Site
from include.connection import Connection
from include.sensitive import Redactor
from include.staging.partitions import Staging
from include.vendors import named
from include.warehouse.schema import engine

url, database, folder = sys.argv[1:]
vendor, run = named("toybank"), Run("toy", date(2026, 11, 20), date(2026, 11, 19))
site = Site(engine(database), Staging(folder), Redactor(b"only for tests"))
path = vendor_day.stage(site, vendor, "portfolios", Connection(url, "user", "password"), run)
vendor_day.validate(site, vendor, {"portfolios": path}, run)
vendor_day.transform(site, vendor, path, run)
vendor_day.load(site, vendor, path, run)
"""


class _Toybank(http.server.BaseHTTPRequestHandler):
    """Answers its one path to its one user."""

    def do_GET(self) -> None:
        known = base64.b64encode(b"user:password").decode()
        is_known = self.headers["Authorization"] == f"Basic {known}" and self.path == "/v1/portfolios"
        body = json.dumps(ROWS).encode() if is_known else b""
        self.send_response(200 if is_known else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def toybank() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Toybank)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project in which the page was followed."""
    copy = tmp_path / "project"
    for name in ("include", "dags", "plugins", "great_expectations"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "sandbox"))
    declared, listed, suite = re.findall(r"```(?:python|json)\n(.*?)```", PAGE, re.DOTALL)
    (copy / "include/vendors/toybank.py").write_text(declared)
    (copy / "great_expectations/toybank__portfolios.json").write_text(suite)
    imported, added = listed.strip().split("\n\n")
    module = copy / "include/vendors/__init__.py"
    text = module.read_text()
    before = re.search(r"^VENDORS: .*$", text, re.MULTILINE)
    assert before is not None
    module.write_text(text.replace(before[0], f"{imported}\n\n{added}"))
    return copy


def test_the_page_gives_a_working_vendor(project: Path, toybank: str, database: Database, tmp_path: Path) -> None:
    arguments = [toybank, database.url(), str(tmp_path / "staging")]
    done = subprocess.run(
        [sys.executable, "-c", _DAY, *arguments],
        cwd=project, env=os.environ | {"PYTHONPATH": str(project)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    accounts = database.rows(
        "select account_key, name, account_number_last4, is_active from warehouse.account order by 1"
    )
    assert [tuple(account.values()) for account in accounts] == [
        ("1", "Sample One", "2233", True),
        ("3", "Sample Three", None, False),
    ]
    [letter] = database.rows("select row_key, reasons from control.dead_letter")
    assert letter == {"row_key": "2", "reasons": ["expect_column_values_to_be_between(value_usd): 0 to 1000000000"]}


def test_the_page_names_every_vendor_and_every_place() -> None:
    """A vendor that the page's tuple lacks would be gone when somebody has followed it."""
    names = [vendor.name.upper() for vendor in VENDORS]
    assert f"= ({', '.join([*names, 'TOYBANK'])})" in PAGE
    for kind, place in {"yaml": "docker-compose.yaml", "bash": ".env.example"}.items():
        [line] = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
        text = (ROOT / place).read_text()
        assert [name for name in names if line.replace("TOYBANK", name) not in text] == []
    places = [
        place for place in re.findall(r"`((?:sandbox|include|tests)/[\w/]+\.py)`", PAGE) if "toybank" not in place
    ]
    assert {"sandbox/vendor.py", "sandbox/vendors.py", "tests/vendors/matter.py"} <= {*places}
    assert [place for place in places if not (ROOT / place).is_file()] == []
    assert [vendor.name for vendor in VENDORS] == [vendor.name for vendor in simulated.VENDORS]


OTHER_SENSE = {
    "include/extract/login.py": {"accounts"},  # that a user may log in to
    "include/identity/resolve.py": {"members"},  # of a cluster
    "local/bench/gateway.py": {"deliveries"},  # to the gateway
    "local/demo.py": {"households"},  # how many the invented firm has
    "local/one_envelope.py": {"recipients"},  # of an envelope in the sandbox
}
"""Words that are also the names of tables, where they mean something else."""


def test_no_file_but_its_own_speaks_of_a_vendors_tables() -> None:
    """So that adding a table touches the vendor's file, a suite and a golden, and nothing else."""
    tables = {table.name for vendor in VENDORS for table in vendor.tables}
    speaking = {}
    for path in [*(path for top in ("include", "dags", "plugins", "local") for path in ROOT.glob(f"{top}/**/*.py"))]:
        about = path.relative_to(ROOT).as_posix()
        if about.startswith(("include/vendors/", "local/bench/day.py")):
            continue
        texts = {
            n.value
            for n in ast.walk(ast.parse(path.read_text()))
            if isinstance(n, ast.Constant) and isinstance(n.value, str)
        }
        if named := (texts & tables) - OTHER_SENSE.get(about, set()):
            speaking[about] = named
    assert speaking == {}


def test_every_table_has_its_suite_and_its_golden() -> None:
    for vendor in VENDORS:
        for table in vendor.asked:
            assert (ROOT / "great_expectations" / f"{vendor.name}__{table.name}.json").is_file()
            assert (ROOT / "tests/vendors" / vendor.name / f"{table.name}.expected.json").is_file()
