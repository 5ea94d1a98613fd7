"""Declarations of a vendor's webhooks and of the documents of a completed envelope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Document:
    """A PDF of a completed envelope.

    Attributes:
        kind: `signed` (all documents in one file) or `certificate` (audit trail of the signing).
        path: Path below the base URL, with `{envelope_key}`.
        params: Query parameters.
        headers: Header -> value, with `{sender_email}` for a request on the sender's behalf.
    """

    kind: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Webhook:
    """Webhook deliveries of a vendor.

    Attributes:
        table: The table that the deliveries update.
        keys: Path of fields to each part of the row's request key in the body of a delivery.
        row: Path of fields to the row; if a body has no row, the row is requested by its key.
        log: Table of the deliveries themselves: each body without its row.
        failures: Path of the vendor's list of failed deliveries (`failures`, each with its `envelopeId`); empty if there is none.
        retry: Path for a PUT with such ids, which requests redelivery.
    """

    table: str
    keys: tuple[tuple[str, ...], ...]
    row: tuple[str, ...]
    log: str
    failures: str = ""
    retry: str = ""
