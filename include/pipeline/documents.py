"""Download each signed document once, after its envelope is completed, and store it under its content hash.

    <root>/documents/<first two digits of the hash>/<SHA-256>.pdf

The file is written before its database row. So a killed run leaves at most a file without a row, and the next run writes the same
file again. Two envelopes with the same document share one file.

If the firm runs a malware scanner, a document is scanned before it is stored. A document with malware is not stored. It is downloaded and
scanned again at growing intervals, because the sender may replace it, or the scanner may have been wrong.

`control.document` has each document's retention date and retention hold. When `include.retention` disposes of a document, it marks the
row and does not delete it. So the document is not downloaded again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

import sqlalchemy as sa

from include.contract import Document, Vendor
from include.errors import DataQualityError, FatalError
from include.extract.session import Request, VendorSession
from include.pipeline.malware import MalwareFound, Scanner
from include.pipeline.pull import open_session
from include.pipeline.run import VendorRun
from include.staging.partitions import Staging

log = logging.getLogger(__name__)

MOST = 200
"""Maximum number of documents that one run downloads: downloads are slow and count against the vendor's limits."""

_LACKING = sa.text("""
select e.envelope_key, e.sender_email, e.completed_at, k.kind
from warehouse.envelope e cross join unnest(cast(:kinds as text[])) k(kind)
where e.vendor = :vendor and e.recorded_to is null and e.status = 'completed'
  and not exists (select from control.document d
                  where d.vendor = e.vendor and d.envelope_key = e.envelope_key and d.kind = k.kind)
  and not exists (select from control.document_try t
                  where t.vendor = e.vendor and t.envelope_key = e.envelope_key and t.kind = k.kind
                    and t.tried_at > now() - least(power(2, t.tries) * interval '5 minutes', interval '7 days'))
order by e.completed_at desc nulls last, e.envelope_key, k.kind limit :most
""")

_STORE = sa.text("""
insert into control.document (vendor, envelope_key, kind, content_hash, bytes, retain_until)
values (:vendor, :envelope_key, :kind, :content_hash, :bytes,
        (coalesce(cast(:completed_at as timestamptz), now()) + make_interval(years => :years))::date)
on conflict do nothing
""")

# A hold is on all documents of an envelope, also on those that are stored after it was placed.
_EXTEND_HOLD = sa.text("""
update control.document d set held_for = h.held_for, held_by = h.held_by, held_at = h.held_at
from control.document h
where (d.vendor, d.envelope_key, d.kind) = (:vendor, :envelope_key, :kind) and d.held_for is null
  and (h.vendor, h.envelope_key) = (:vendor, :envelope_key) and h.held_for is not null
""")

_RECORD_FAILURE = sa.text("""
insert into control.document_try as known (vendor, envelope_key, kind, error, malware)
values (:vendor, :envelope_key, :kind, :error, :malware)
on conflict (vendor, envelope_key, kind) do update
set tries = known.tries + 1, tried_at = clock_timestamp(), error = excluded.error, malware = excluded.malware
""")

_HOLD = sa.text("""
update control.document set held_for = :reason, held_by = :who, held_at = clock_timestamp()
where vendor = :vendor and envelope_key = :envelope_key and disposed_at is null
""")


@dataclass(frozen=True, slots=True)
class Lacking:
    """A document of a completed envelope that is not stored yet."""

    envelope_key: str
    sender_email: str | None
    completed_at: datetime | None
    kind: str


def is_lacking(engine: sa.Engine, vendor: Vendor) -> bool:
    """Return whether a document of a completed envelope is not stored, and is due for its first download or a retry."""
    kinds = [each.kind for each in vendor.documents]
    with engine.connect() as db:
        return db.execute(_LACKING, {"vendor": vendor.name, "kinds": kinds, "most": 1}).first() is not None


def store_documents(vendor_run: VendorRun, *, years: int = 7, scanner: Scanner | None = None) -> int:
    """Download the missing documents of completed envelopes, the newest first, and store them next to staging.

    Args:
        vendor_run: The run of a vendor with documents.
        years: Retention period after the envelope's completion.
        scanner: Scans each document for malware before it is stored; None for no scan.

    Returns:
        Number of documents stored. A failed download is recorded and retried later, at growing intervals.

    Raises:
        RetriableError: A request failed, with an error of `VendorSession.request`, or the scanner does not respond. Documents that were
            downloaded before stay stored.
        MalwareFound: At least one document contains malware. The others were stored.
        FatalError: At least one download failed and none succeeded. The first failure is raised.
    """
    site, vendor = vendor_run.site, vendor_run.vendor
    kinds = {each.kind: each for each in vendor.documents}
    with site.engine.connect() as db:
        rows = db.execute(_LACKING, {"vendor": vendor.name, "kinds": list(kinds), "most": MOST})
        lacking = [Lacking(*row) for row in rows]
    stored, failures = 0, list[FatalError]()
    with open_session(vendor_run, "documents") as session:
        for each in lacking:
            key = {"vendor": vendor.name, "envelope_key": each.envelope_key, "kind": each.kind}
            try:
                content = _fetch(session, kinds[each.kind], each)
                if scanner:
                    scanner.require_clean(content, vendor=vendor.name, envelope=each.envelope_key, kind=each.kind)
            except FatalError as error:  # of this document only: continue with the others
                failures.append(error)
                _record_failure(site.engine, key, error)
                continue
            values = key | {
                "years": years, "content_hash": write(site.staging, content), "bytes": len(content),
                "completed_at": each.completed_at,
            }  # fmt: skip
            with site.engine.begin() as db:
                stored += db.execute(_STORE, values).rowcount
                db.execute(_EXTEND_HOLD, key)
            log.info("%s: stored %s of %s documents", vendor.name, stored, len(lacking))
    if infected := [each for each in failures if isinstance(each, MalwareFound)]:
        raise infected[0]
    if failures and not stored:
        raise failures[0]
    return stored


def _record_failure(engine: sa.Engine, key: Mapping[str, str], error: FatalError) -> None:
    malware = error.malware if isinstance(error, MalwareFound) else None
    with engine.begin() as db:
        db.execute(_RECORD_FAILURE, {**key, "error": str(error), "malware": malware})


def write(staging: Staging, content: bytes) -> str:
    """Write a document unless it is already stored; return its SHA-256 in hex."""
    content_hash = hashlib.sha256(content).hexdigest()
    folder, name = staging.folder(f"documents/{content_hash[:2]}"), f"{content_hash}.pdf"
    # A killed process may have left a partial file.
    if not folder.has(name) or hashlib.sha256(folder.read(name)).hexdigest() != content_hash:
        folder.write(name, content)
    return content_hash


def read(staging: Staging, content_hash: str) -> bytes:
    """Read a document.

    Raises:
        FileNotFoundError: The document is not stored.
        DataQualityError: The file was altered after it was stored.
    """
    content = staging.folder(f"documents/{content_hash[:2]}").read(f"{content_hash}.pdf")
    if hashlib.sha256(content).hexdigest() != content_hash:
        raise DataQualityError("A document was altered after it was stored", content_hash=content_hash)
    return content


def hold(engine: sa.Engine, vendor: str, envelope_key: str, who: str, reason: str | None) -> int:
    """Place a retention hold on an envelope's documents, or end it; return the number of documents stored so far.

    The hold extends to documents of the envelope that are stored later.

    Args:
        engine: The database, as the loading role.
        vendor: Name of the vendor.
        envelope_key: The vendor's key of the envelope.
        who: The user who places or ends the hold.
        reason: Reason for the hold, such as a dispute or an audit; None ends the hold.
    """
    values = {"vendor": vendor, "envelope_key": envelope_key, "who": who, "reason": reason}
    with engine.begin() as db:
        return db.execute(_HOLD, values).rowcount


def _fetch(session: VendorSession, document: Document, lacking: Lacking) -> bytes:
    """Download a document; raise DataQualityError if the vendor does not have it (yet), or sends something other than a PDF."""
    facts = {"vendor": session.vendor, "envelope": lacking.envelope_key, "kind": document.kind}
    if not lacking.envelope_key.strip("."):
        raise DataQualityError("Refusing a path-traversal key", **facts)
    headers = {name: value.format(sender_email=lacking.sender_email or "") for name, value in document.headers.items()}
    path = document.path.format(envelope_key=quote(lacking.envelope_key, safe=""))
    request = Request(path, document.params, missing=(404,), is_file=True, headers=headers)
    content = session.request(request, bytes)
    if content is None:
        raise DataQualityError("The vendor does not have the document (yet)", **facts)
    if not content.startswith(b"%PDF-"):
        raise DataQualityError("The vendor's document is not a PDF", **facts)
    return content
