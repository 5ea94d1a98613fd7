"""Agreements, users and library documents from files instead of the synthetic firm, one JSON object of the vendor per line.

A line of `agreements.jsonl` is the vendor's AgreementInfo. It may have extra fields: `status` of a participant set, `name` of a member, and
`events` of the agreement, in the format of the vendor's list of events.

Our choices: without a `status`, a set's status is derived from that of the agreement. A set has exactly one member.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sandbox.adobe_sign.agreements import ROLES, Agreement, Event, Participant
from sandbox.adobe_sign.ids import write_id
from sandbox.firm.records import Files, Table

Row = dict[str, Any]


def read_rows(folder: Path, table: str) -> list[Row]:
    """Return the rows of one table, in order of id.

    Raises:
        ValueError: a line is not a JSON object with an id.
    """
    files = Files(folder, {table: Table("id", "id")})
    return [row for key in files.keys for row in files.read_rows(table, key)]


def read_agreements(folder: Path) -> list[Agreement]:
    """Return the agreements in a folder, in order of id.

    Raises:
        ValueError: a line cannot be read.
    """
    agreements = []
    for row in read_rows(folder, "agreements"):
        try:
            agreements.append(read_agreement(row))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{folder / 'agreements.jsonl'}, id {row['id']}: {type(error).__name__} {error}"
            ) from error
    return agreements


def read_agreement(row: Mapping[str, Any]) -> Agreement:
    """Build an agreement from one line of a file.

    Raises:
        KeyError, TypeError, ValueError: a value is missing or invalid.
    """
    created, status = datetime.fromisoformat(row["createdDate"]), row["status"]
    expires = row.get("expirationTime")
    sets = sorted(row["participantSetsInfo"], key=lambda each: int(each["order"]))
    agreement = Agreement(
        id=row["id"],
        name=row["name"],
        sender=row["senderEmail"],
        created_at=created,
        ready_at=created,
        status=status,
        participants=[_read_set(row["id"], n, each, status, sets[0]["order"]) for n, each in enumerate(sets, 1)],
        ccs=[each["email"] for each in row.get("ccs", ())],
        documents=[_read_document(row["id"], n, each) for n, each in enumerate(row.get("documents", ()), 1)],
        external_id=(row.get("externalId") or {}).get("id"),
        message=row.get("message"),
        expires_at=datetime.fromisoformat(expires) if expires else None,
        is_hidden=bool(row.get("hidden", False)),
    )
    events = [_read_event(each) for each in row.get("events", ())]
    agreement.events = events or [Event("CREATED", created, agreement.sender, agreement.sender, "SENDER")]
    return agreement


def _read_set(agreement: str, number: int, row: Mapping[str, Any], status: str, first: int) -> Participant:
    (member,) = row["memberInfos"]
    set_id, id_ = row.get("id", write_id(agreement, "set", number)), write_id(agreement, "participant", number)
    member_status, role = row.get("status"), row["role"]
    if member_status is None:
        member_status = _guess_status(status, row["order"] == first)
    elif member_status == ROLES[role].waiting:
        member_status = "WAITING"
    name = member.get("name", "")
    return Participant(set_id, member.get("id", id_), member["email"], name, role, int(row["order"]), member_status)


def _guess_status(status: str, is_first: bool) -> str:
    if status in {role.done for role in ROLES.values()}:
        return "COMPLETED"
    if status in ("CANCELLED", "ABORTED", "EXPIRED"):
        return "EXPIRED" if status == "EXPIRED" else "CANCELLED"
    return "WAITING" if is_first and status in {role.awaited for role in ROLES.values()} else "NOT_YET_VISIBLE"


def _read_document(agreement: str, number: int, row: Mapping[str, Any]) -> Row:
    document = {"id": write_id(agreement, "document", number), "label": f"{number}", "numPages": 1}
    return document | {"mimeType": "application/pdf"} | dict(row)


def _read_event(row: Mapping[str, Any]) -> Event:
    return Event(
        row["type"],
        datetime.fromisoformat(row["date"]),
        row["actingUserEmail"],
        row["participantEmail"],
        row.get("participantRole", "SENDER"),
        row.get("comment"),
    )
