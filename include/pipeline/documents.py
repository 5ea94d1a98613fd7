"""Signed documents: fetched once when their envelope is completed, kept by what they hold, and found again by whoever may see them.

    <root>/documents/<first two digits>/<SHA-256>.pdf

A file is written before the database says that it is there, so a killed run leaves at most a file that nobody names, and the next
writes the same one. The same document of two envelopes is one file. Nothing is ever deleted here: until when a document must be
kept, and who holds it for a dispute, stands beside it (`control.document`).
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

import sqlalchemy as sa

from include.connection import Connection
from include.contract import Document, Vendor
from include.errors import DataQualityError, FatalError
from include.extract.session import Request, VendorSession
from include.pipeline.pull import open_session
from include.pipeline.run import Run, Site
from include.staging.partitions import Staging

log = logging.getLogger(__name__)

MOST = 200
"""Envelopes whose documents one run fetches: downloads are long, and the vendor counts them."""

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

_KEEP = sa.text("""
insert into control.document (vendor, envelope_key, kind, content_hash, bytes, retain_until)
values (:vendor, :envelope_key, :kind, :content_hash, :bytes,
        (coalesce(cast(:completed_at as timestamptz), now()) + make_interval(years => :years))::date)
on conflict do nothing
""")

_NOTE = sa.text("""
insert into control.document_try as known (vendor, envelope_key, kind, error) values (:vendor, :envelope_key, :kind, :error)
on conflict (vendor, envelope_key, kind) do update
set tries = known.tries + 1, tried_at = clock_timestamp(), error = excluded.error
""")

_HOLD = sa.text("""
update control.document set held_for = :reason, held_by = :who, held_at = clock_timestamp()
where vendor = :vendor and envelope_key = :envelope_key
""")


@dataclass(frozen=True, slots=True)
class Lacking:
    """A document of a completed envelope that is not kept yet."""

    envelope_key: str
    sender_email: str | None
    completed_at: datetime | None
    kind: str


def is_lacking(site: Site, vendor: Vendor) -> bool:
    """Whether a completed envelope of the vendor lacks a document."""
    kinds = [each.kind for each in vendor.documents]
    with site.engine.connect() as db:
        return db.execute(_LACKING, {"vendor": vendor.name, "kinds": kinds, "most": 1}).first() is not None


def keep_documents(site: Site, vendor: Vendor, connection: Connection, run: Run, *, years: int = 7) -> int:
    """Fetches what completed envelopes lack, the newest first.

    Args:
        site: Where the firm runs; documents lie beside its staging.
        vendor: The declaration; one with documents.
        connection: Address and credentials.
        run: Named in the log of calls.
        years: For which a document is kept after its envelope was completed.

    Returns:
        How many documents were kept; one that can't be had is noted, and asked for again later, and the longer the rarer.

    Raises:
        RetriableError: As `VendorSession.request` raises; what came before is kept.
        FatalError: Not one could be had; the first reason.
    """
    kinds = {each.kind: each for each in vendor.documents}
    with site.engine.connect() as db:
        rows = db.execute(_LACKING, {"vendor": vendor.name, "kinds": list(kinds), "most": MOST})
        lacking = [Lacking(*row) for row in rows]
    kept, failures = 0, list[FatalError]()
    with open_session(site, vendor, connection, run, "documents") as session:
        for each in lacking:
            of = {"vendor": vendor.name, "envelope_key": each.envelope_key, "kind": each.kind}
            try:
                content = _fetch(session, kinds[each.kind], each)
            except FatalError as error:  # of this document: the others are none the worse
                failures.append(error)
                with site.engine.begin() as db:
                    db.execute(_NOTE, of | {"error": str(error)})
                continue
            values = of | {
                "years": years, "content_hash": write(site.staging, content), "bytes": len(content),
                "completed_at": each.completed_at,
            }  # fmt: skip
            with site.engine.begin() as db:
                kept += db.execute(_KEEP, values).rowcount
            log.info("%s: %s of %s documents kept", vendor.name, kept, len(lacking))
    if failures and not kept:
        raise failures[0]
    return kept


def write(staging: Staging, content: bytes) -> str:
    """Writes a document, unless it is there, and returns its SHA-256 in hex."""
    content_hash = hashlib.sha256(content).hexdigest()
    folder, name = staging.folder(f"documents/{content_hash[:2]}"), f"{content_hash}.pdf"
    # A disk may hold half of it, where somebody was killed.
    if not folder.has(name) or hashlib.sha256(folder.read(name)).hexdigest() != content_hash:
        folder.write(name, content)
    return content_hash


def read(staging: Staging, content_hash: str) -> bytes:
    """Reads a document.

    Raises:
        FileNotFoundError: There is none.
        DataQualityError: It was altered since it was kept.
    """
    content = staging.folder(f"documents/{content_hash[:2]}").read(f"{content_hash}.pdf")
    if hashlib.sha256(content).hexdigest() != content_hash:
        raise DataQualityError("A document was altered after it was kept", content_hash=content_hash)
    return content


def hold(engine: sa.Engine, vendor: str, envelope_key: str, who: str, reason: str | None) -> int:
    """Holds the documents of an envelope, whatever their date (a dispute, an audit); None ends the hold. Returns how many."""
    values = {"vendor": vendor, "envelope_key": envelope_key, "who": who, "reason": reason}
    with engine.begin() as db:
        return db.execute(_HOLD, values).rowcount


def _fetch(session: VendorSession, document: Document, of: Lacking) -> bytes:
    """Raises DataQualityError where the vendor has none, or none yet, or something else than a PDF."""
    facts = {"vendor": session.vendor, "envelope": of.envelope_key, "kind": document.kind}
    if not of.envelope_key.strip("."):
        raise DataQualityError("A key of dots would lead elsewhere", **facts)
    headers = {name: value.format(sender_email=of.sender_email or "") for name, value in document.headers.items()}
    path = document.path.format(envelope_key=quote(of.envelope_key, safe=""))
    question = Request(path, document.params, missing=(404,), is_file=True, headers=headers)
    content = session.request(question, bytes)
    if content is None:
        raise DataQualityError("The vendor has no such document, or not yet", **facts)
    if not content.startswith(b"%PDF-"):
        raise DataQualityError("A document is no PDF", **facts)
    return content
