"""Further words in which a vendor is declared: what it tells by itself, and what it leaves behind when something is signed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Document:
    """A PDF that a completed envelope leaves behind.

    Attributes:
        kind: `signed` (all documents in one), `certificate` (who did what when).
        path: Below the base URL, with `{envelope_key}`.
        params: Query parameters.
        headers: Header -> its value, with `{sender_email}` where it is asked for on the sender's behalf.
    """

    kind: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Webhook:
    """What a vendor's webhooks bring.

    Attributes:
        table: The table that they are about.
        keys: For each part of the key that the vendor is asked by, the fields that lead to it in the body of a delivery.
        row: Fields that lead to the row; where a body has none, the vendor is asked for the key.
        log: Table of what each delivery says of itself: its body without the row.
        failures: Path of the vendor's own list of what it could not deliver (`failures`, each with its `envelopeId`); empty where
            it keeps none.
        retry: Path that takes such ids, by PUT, to be delivered again.
    """

    table: str
    keys: tuple[tuple[str, ...], ...]
    row: tuple[str, ...]
    log: str
    failures: str = ""
    retry: str = ""
