"""A report is ordered, polled and downloaded; each failure on the way has its own error."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import pytest
import sqlalchemy as sa

from include.contract import BOOLEAN, INTEGER, MONEY, STRING, Limits, Report, Table, column, sensitive
from include.errors import AuthenticationError, ConfigurationError, LimitExceeded, SchemaDrift, VendorUnavailable
from tests.extract.vendor_server import Listener, Puller, RecordedCall, Reply, listen, vendor_of

SHAPE = Report(
    {"report": "Holdings"}, "jobId", "status", "Complete", ("Failed",), poll_seconds=0.6, deadline_seconds=30
)
TABLE = Table(
    "holdings", "reports", ("row_id",), pull="snapshot", dated={"asOf": "%m/%d/%Y"}, shape=SHAPE, money="worth_usd", dates="us",
    columns=(
        column("row_id", "Id", INTEGER, required=True),
        column("worth_usd", "Market Value", MONEY),
        column("name", "Name", STRING),
        column("is_open", "Open", BOOLEAN),
        sensitive("tax_id", "SSN"),
    ),
)  # fmt: skip
HEADER = "Id,Market Value,Name,Open,SSN"
PLAIN = f'{HEADER}\n1,"$1,234.50",x,true,123-45-6789\n2,(0.50),y,false,\n'.encode()
VENDOR = vendor_of(TABLE)
SPEED = 60
"""The vendor's minutes are our seconds."""


class Office:
    """A vendor that makes one report: it returns `states` one after the other, then repeats the last one."""

    def __init__(self, states: tuple[str, ...] = ("Complete",), file: Reply | bytes = PLAIN) -> None:
        self.states, self.files = (
            list(states),
            [Reply(kind="text/csv", content=file) if isinstance(file, bytes) else file],
        )
        self.order: Any = {"jobId": 7}

    def __call__(self, call: RecordedCall) -> Reply:
        if call.method == "POST":
            return Reply(self.order, status=201)
        if call.path.endswith("/file"):
            return self.files.pop(0) if len(self.files) > 1 else self.files[0]
        return Reply({"status": self.states.pop(0) if len(self.states) > 1 else self.states[0]})


class Serve(Protocol):
    def __call__(self, office: Office, **options: Any) -> tuple[Puller, Listener]: ...


@pytest.fixture
def serve(engine: sa.Engine, tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as running:

        def start(office: Office, **options: Any) -> tuple[Puller, Listener]:
            listener = running.enter_context(listen(office))
            return Puller(engine, VENDOR, listener.url, tmp_path, speed=SPEED, **options), listener

        yield start


def archive(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("holdings.csv", content)
    return buffer.getvalue()


def zipped(content: bytes) -> Reply:
    return Reply(kind="application/zip", content=content)


def test_report_is_ordered_with_its_dates_waited_for_and_downloaded(serve: Serve) -> None:
    puller, listener = serve(Office(("Queued", "Running", "Complete")))
    rows = puller.rows(TABLE, params={"asOf": "11/20/2026"})
    assert [(row["row_id"], row["worth_usd"], row["is_open"]) for row in rows] == [
        (1, Decimal("1234.50"), True), (2, Decimal("-0.50"), False),
    ]  # fmt: skip
    assert [(call.method, call.path) for call in listener.calls] == [
        ("POST", "/reports"), *[("GET", "/reports/7")] * 3, ("GET", "/reports/7/file"),
    ]  # fmt: skip
    assert json.loads(listener.calls[0].body) == {"report": "Holdings", "asOf": "11/20/2026"}
    assert listener.calls[-1].headers["Accept"] == "*/*"


def test_wait_between_two_requests_is_the_vendor_s(serve: Serve) -> None:
    puller, _ = serve(Office(("Running", "Running", "Running", "Complete")))
    slow = replace(TABLE, shape=replace(SHAPE, poll_seconds=6))
    started = time.monotonic()
    puller.rows(slow)
    assert 3 * 6 / SPEED <= time.monotonic() - started < 2


def test_failed_report_raises_without_a_download(serve: Serve) -> None:
    puller, listener = serve(Office(("Running", "Failed")))
    with pytest.raises(VendorUnavailable, match=r"failed to create.*table=holdings job=7 state=Failed"):
        puller.rows(TABLE)
    assert not [path for path in listener.paths if path.endswith("/file")]


def test_report_that_is_never_ready_ends_with_its_deadline(serve: Serve) -> None:
    puller, listener = serve(Office(("Running",)))
    started = time.monotonic()
    with pytest.raises(VendorUnavailable, match=r"not ready before its deadline.*table=holdings job=7 state=Running"):
        puller.rows(TABLE)
    assert 0.5 <= time.monotonic() - started < 5
    assert 3 <= listener.paths.count("/reports/7") <= 55


@pytest.mark.parametrize("body", [{}, [], {"job": 7}, None])
def test_order_that_names_no_job_is_an_unusable_response(serve: Serve, body: object) -> None:
    office = Office()
    office.order = body
    puller, _ = serve(office)
    with pytest.raises(VendorUnavailable, match=r"lacks a field of the report job.*field=jobId"):
        puller.rows(TABLE)


def test_job_terms_come_from_the_declaration(serve: Serve) -> None:
    def answer(call: RecordedCall) -> Reply:
        if call.method == "POST":
            return Reply({"id": "a-b"}, status=202)
        return Reply(kind="text/csv", content=PLAIN) if call.path.endswith("/file") else Reply({"state": "done"})

    puller, listener = serve(answer)  # type: ignore[arg-type]
    shape = replace(SHAPE, job="id", state="state", done="done", failed=("broken",))
    assert len(puller.rows(replace(TABLE, shape=shape))) == 2
    assert listener.paths[1:] == ["/reports/a-b", "/reports/a-b/file"]


# --- the file ---


@pytest.mark.parametrize(
    "file",
    [zipped(archive(PLAIN)), Reply(kind="application/octet-stream", content=archive(PLAIN)),
     Reply(kind="text/csv", content=b"\xef\xbb\xbf" + PLAIN), Reply(kind="text/csv", content=PLAIN.replace(b"\n", b"\r\n"))],
    ids=["zip", "zip of no name", "byte order mark", "line ends"],
)  # fmt: skip
def test_file_is_read_whatever_it_is_wrapped_in(serve: Serve, file: Reply) -> None:
    puller, _ = serve(Office(file=file))
    assert [row["worth_usd"] for row in puller.rows(TABLE)] == [Decimal("1234.50"), Decimal("-0.50")]


def test_file_that_is_cut_short_is_downloaded_again(serve: Serve) -> None:
    whole = archive(PLAIN)
    office = Office(file=zipped(whole))
    office.files = [zipped(whole[:-40]), zipped(whole[:20]), zipped(whole)]
    puller, listener = serve(office, patience_s=20)
    assert len(puller.rows(TABLE)) == 2
    assert listener.paths.count("/reports/7/file") == 3
    assert [call.method for call in listener.calls].count("POST") == 1


def test_permanently_truncated_file_is_reported_and_not_staged(serve: Serve, tmp_path: Path) -> None:
    puller, _ = serve(Office(file=zipped(archive(PLAIN)[:-40])))
    with pytest.raises(VendorUnavailable, match=r"archive.*table=holdings"):
        puller.pull(TABLE)
    assert not list(tmp_path.rglob("manifest.json"))


def test_archive_that_expands_beyond_the_limit_is_an_error_and_not_downloaded_again(
    serve: Serve, tmp_path: Path
) -> None:
    puller, listener = serve(Office(file=zipped(archive(PLAIN + b"\n" * 2**20))), patience_s=20)
    puller.vendor = replace(VENDOR, limits=Limits(expanded_bytes=2**20))
    with pytest.raises(LimitExceeded, match=r"larger than 1,048,576 bytes: .*\[vendor=testbank table=holdings\]"):
        puller.pull(TABLE)
    assert listener.paths.count("/reports/7/file") == 1
    assert not list(tmp_path.rglob("manifest.json"))


def test_json_instead_of_a_file_is_reported(serve: Serve) -> None:
    puller, _ = serve(Office(file=Reply({"status": "Expired"})))
    with pytest.raises(VendorUnavailable, match="JSON, not a file"):
        puller.rows(TABLE)


def test_bad_number_is_one_dead_letter_and_the_rest_is_staged(serve: Serve) -> None:
    lines = [HEADER, '1,"1,000.25",x,true,', "2,N/A,y,true,123-45-6789", "3,0.75,z,false,"]
    puller, _ = serve(Office(file="\n".join(lines).encode()))
    partition = puller.pull(TABLE)
    manifest = partition.manifest
    assert (manifest.fetched, manifest.staged, manifest.dead, manifest.duplicate) == (3, 2, 1, 0)
    assert manifest.money == Decimal("1001.00")
    [line] = partition.read_dead_lines()
    assert json.loads(line)["key"] == "2"
    assert json.loads(line)["reasons"] == ["Market Value: not decimal(20,2): A/A"]
    assert b"123-45-6789" not in line


def test_renamed_column_is_drift_that_names_both(serve: Serve) -> None:
    puller, _ = serve(Office(file=PLAIN.replace(b"Market Value", b"Value USD")))
    with pytest.raises(
        SchemaDrift, match=r"vendor=testbank table=holdings expected=Id,Market Value,.* found=Id,Value USD,"
    ):
        puller.pull(TABLE)


def test_new_column_is_reported_and_the_pull_continues(serve: Serve) -> None:
    puller, _ = serve(Office(file=f"{HEADER},Sleeve\n1,2.00,x,true,,core\n".encode()))
    manifest = puller.pull(TABLE).manifest
    assert (manifest.undeclared, manifest.staged) == (("Sleeve",), 1)


def test_report_without_a_row_is_no_drift(serve: Serve) -> None:
    puller, _ = serve(Office(file=f"{HEADER}\n".encode()))
    manifest = puller.pull(TABLE).manifest
    assert (manifest.fetched, manifest.staged, manifest.parts) == (0, 0, ())


@pytest.mark.parametrize(("status", "error"), [(404, ConfigurationError), (403, AuthenticationError)])
def test_order_that_is_refused_is_tried_once(serve: Serve, status: int, error: type[Exception]) -> None:
    puller, listener = serve(lambda call: Reply({}, status=status), patience_s=20)  # type: ignore[arg-type]
    with pytest.raises(error, match="path=reports"):
        puller.rows(TABLE)
    assert len(listener.calls) == 1
