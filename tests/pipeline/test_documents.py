"""Signed documents: downloaded once, stored under the hash of their content, never twice."""

from __future__ import annotations

import hashlib
import socketserver
import struct
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from include.errors import DataQualityError, TargetUnavailable
from include.pipeline import documents
from include.pipeline.malware import MalwareFound, Scanner
from include.vendors import VENDORS, named
from local.processes import find_free_port
from tests.conftest import Firm
from tests.running_clamd import serve_scanner

SIGNING = [vendor for vendor in VENDORS if vendor.documents]
FEW = 4


def load_few_completed(firm: Firm) -> None:
    firm.day()
    firm.database.do(
        "update warehouse.envelope set status = 'other' where recorded_to is null and status = 'completed' and envelope_key not in"
        f" (select envelope_key from warehouse.envelope where status = 'completed' order by envelope_key limit {FEW})"
    )


@pytest.fixture
def signed(start_firm: Callable[..., Firm], request: pytest.FixtureRequest) -> Firm:
    """A firm with a vendor's envelopes in the warehouse, a few of them completed."""
    return start_firm(request.param, after=load_few_completed, households=12)


every = pytest.mark.parametrize("signed", SIGNING, ids=lambda vendor: vendor.name, indirect=True)


def store(firm: Firm, scanner: Scanner | None = None) -> int:
    return documents.store_documents(firm.vendor_run(firm.new_run()), scanner=scanner)


@every
def test_every_completed_envelope_gets_its_documents_once(signed: Firm) -> None:
    completed = signed.database.value(
        "select count(*) from warehouse.envelope where recorded_to is null and status = 'completed'"
    )
    assert completed == FEW
    assert documents.is_lacking(signed.site.engine, signed.vendor)

    assert [store(signed), store(signed)] == [completed * len(signed.vendor.documents), 0]

    assert not documents.is_lacking(signed.site.engine, signed.vendor)
    for row in signed.database.rows("select * from control.document"):
        content = documents.read(signed.site.staging, row["content_hash"])
        assert content.startswith(b"%PDF-")
        assert (len(content), hashlib.sha256(content).hexdigest()) == (row["bytes"], row["content_hash"])


@every
def test_a_document_is_kept_for_years_after_the_last_signature(signed: Firm) -> None:
    store(signed)

    for row in signed.database.rows(
        "select d.retain_until, e.completed_at from control.document d join warehouse.envelope e using (vendor, envelope_key)"
        " where e.recorded_to is null"
    ):
        years = row["retain_until"].year - row["completed_at"].year
        assert years == 7
        assert row["retain_until"] - row["completed_at"].date() > timedelta(days=7 * 365)


@every
def test_a_vendor_that_goes_away_in_the_middle_loses_nothing(signed: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = documents._fetch
    calls = iter(range(100))

    def fail(*args: object) -> bytes:
        if next(calls) == 3:
            raise ConnectionResetError
        return answered(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(documents, "_fetch", fail)
    with pytest.raises(ConnectionResetError):
        store(signed)
    assert signed.database.value("select count(*) from control.document") == 3
    monkeypatch.setattr(documents, "_fetch", answered)

    store(signed)

    assert signed.database.value("select count(*) from control.document") == FEW * len(signed.vendor.documents)


@pytest.mark.parametrize("signed", [named("adobe_sign")], indirect=True)
def test_what_is_no_pdf_is_refused(signed: Firm) -> None:
    table = replace(signed.vendor.documents[0], path="agreements/{envelope_key}/formData")
    signed.vendor = replace(signed.vendor, documents=(table,))

    with pytest.raises(DataQualityError, match="not a PDF"):
        store(signed)

    assert signed.database.value("select count(*) from control.document") == 0


class _FindsOne(socketserver.StreamRequestHandler):
    """Speaks clamd's protocol, and finds malware in the first document."""

    def handle(self) -> None:
        self.rfile.read(10)
        while length := struct.unpack("!I", self.rfile.read(4))[0]:
            self.rfile.read(length)
        is_first = not getattr(self.server, "has_found", False)
        self.server.has_found = True  # type: ignore[attr-defined]
        self.wfile.write(b"stream: Win.Test.Agent FOUND\0" if is_first else b"stream: OK\0")


@pytest.mark.parametrize("signed", [named("adobe_sign")], indirect=True)
def test_a_document_with_malware_is_recorded_and_not_stored(signed: Firm) -> None:
    every = FEW * len(signed.vendor.documents)
    with serve_scanner(_FindsOne) as scanner, pytest.raises(MalwareFound, match=r"malware=Win.Test.Agent"):
        store(signed, scanner)
    assert signed.database.value("select count(*) from control.document") == every - 1
    [refused] = signed.database.rows("select envelope_key, kind, malware from control.document_try")
    assert refused["malware"] == "Win.Test.Agent"
    query = "select subject, details from control.audit where action = 'document.infected'"
    [entry] = signed.database.rows(query)
    assert entry["subject"] == f"adobe_sign {refused['envelope_key']} {refused['kind']}"
    assert entry["details"]["malware"] == "Win.Test.Agent"
    assert store(signed) == 0  # not before the retry is due


@pytest.mark.parametrize("signed", [named("adobe_sign")], indirect=True)
def test_without_the_scanner_no_document_is_stored(signed: Firm) -> None:
    with pytest.raises(TargetUnavailable, match="clamd does not respond"):
        store(signed, Scanner("127.0.0.1", find_free_port()))
    assert signed.database.value("select count(*) from control.document") == 0
    assert documents.is_lacking(signed.site.engine, signed.vendor)
    assert store(signed) == FEW * len(signed.vendor.documents)


def test_a_document_that_was_altered_is_not_shown(start_firm: Callable[..., Firm]) -> None:
    firm = start_firm(SIGNING[0], households=3)
    content_hash = documents.write(firm.site.staging, b"%PDF-1.7 what was signed")
    assert documents.write(firm.site.staging, b"%PDF-1.7 what was signed") == content_hash
    firm.site.staging.folder(f"documents/{content_hash[:2]}").write(f"{content_hash}.pdf", b"%PDF-1.7 something else")

    with pytest.raises(DataQualityError, match="altered"):
        documents.read(firm.site.staging, content_hash)


@every
def test_a_retention_hold_is_stored_and_no_loader_deletes_a_document(signed: Firm) -> None:
    store(signed)
    name = signed.database.value("select min(envelope_key) from control.document")

    assert documents.hold(signed.engine, signed.vendor.name, name, "counsel", "a dispute") == len(
        signed.vendor.documents
    )

    holds = signed.database.rows("select held_for, held_by from control.document where envelope_key = :name", name=name)
    assert {(row["held_for"], row["held_by"]) for row in holds} == {("a dispute", "counsel")}
    with signed.engine.connect() as db, pytest.raises(Exception, match="permission denied"):
        db.exec_driver_sql("delete from control.document")


@pytest.mark.parametrize("signed", [each for each in SIGNING if len(each.documents) > 1], indirect=True)
def test_a_hold_extends_to_a_document_that_is_stored_after_it(signed: Firm) -> None:
    both = signed.vendor
    signed.vendor = replace(both, documents=both.documents[:1])
    store(signed)
    held, free = [
        row["key"] for row in signed.database.rows("select envelope_key as key from control.document limit 2")
    ]
    documents.hold(signed.engine, both.name, held, "counsel", "a dispute")
    signed.vendor = both
    store(signed)
    query = (
        "select distinct held_for, held_by, held_at is null as is_free from control.document where envelope_key = :key"
    )
    assert [tuple(row.values()) for row in signed.database.rows(query, key=held)] == [("a dispute", "counsel", False)]
    assert [tuple(row.values()) for row in signed.database.rows(query, key=free)] == [(None, None, True)]
    entries = "select count(*) from control.audit where action = 'document.hold_changed' and actor = 'counsel'"
    assert signed.database.value(entries) == len(both.documents)


@every
def test_a_document_that_cannot_be_had_stops_no_other_and_is_left_alone_for_a_while(signed: Firm) -> None:
    # The vendor has no such envelope.
    signed.database.do(
        "insert into warehouse.envelope (vendor, envelope_key, status, is_final, sender_email, completed_at, recorded_from, source_run_id)"
        " values (:vendor, :key, 'completed', true, 'nobody@elsewhere.example', now(), now(), 1)",
        vendor=signed.vendor.name,
        key="../nowhere?",
    )

    assert store(signed) == FEW * len(signed.vendor.documents)

    tried = signed.database.rows("select envelope_key, tries, error from control.document_try")
    assert {(row["envelope_key"], row["tries"]) for row in tried} == {("../nowhere?", 1)}
    assert not documents.is_lacking(signed.site.engine, signed.vendor)


def test_half_a_document_that_a_killed_run_left_is_written_whole(start_firm: Callable[..., Firm]) -> None:
    firm = start_firm(SIGNING[0], households=3)
    content = b"%PDF-1.7 what was signed"
    content_hash = hashlib.sha256(content).hexdigest()
    firm.site.staging.folder(f"documents/{content_hash[:2]}").write(f"{content_hash}.pdf", content[:9])

    assert documents.write(firm.site.staging, content) == content_hash

    assert documents.read(firm.site.staging, content_hash) == content
