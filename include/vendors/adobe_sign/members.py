"""Members of Adobe Sign's agreements: the participants, and when they signed or declined."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from include.contract import BOOLEAN, INTEGER, STRING, Beside, EntityMap, Nested, Table, column, derived, ignored
from include.vendors.adobe_sign.agreements import (
    DONE,
    PER_AGREEMENT,
    REFUSED,
    SAME_AGREEMENT,
    WITH_EVENTS,
    add_times,
    find_reopened_at,
    is_final,
    latest,
    lower_case,
)
from include.vendors.arrays import day_of, is_word, join_key, look_up

if TYPE_CHECKING:
    import pyarrow as pa

MEMBER_STATUSES = {"COMPLETED": "completed", "NOT_YET_VISIBLE": "waiting", "CANCELLED": "other", "EXPIRED": "other"}


def add_acts(members: pa.Table, events: pa.Table, agreements: pa.Table) -> pa.Table:
    """Add to members the times at which they signed or declined, and the status and times of their agreement.

    Events name members by e-mail address, which several members may share. So a signing time is added only to members whose status is
    completed: the event of another member may have the same address.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    result = members.append_column("row", pa.array(range(members.num_rows), pa.int64()))
    result = result.append_column("address", pc.utf8_lower(result["email"]))
    events = events.append_column("address", pc.utf8_lower(events["email"]))
    for name, kinds in (("signed_at", DONE), ("declined_at", REFUSED)):
        rows = events.filter(pc.is_in(events["event"], value_set=pa.array(kinds)))
        at = rows.group_by(["agreement_id", "address"]).aggregate([("happened_at", "max")])
        result = result.join(at.rename_columns(["agreement_id", "address", name]), ["agreement_id", "address"])
    has_done = pc.fill_null(pc.equal(result["set_status"], "COMPLETED"), False)
    result = result.set_column(
        result.schema.get_field_index("signed_at"), "signed_at", pc.if_else(has_done, result["signed_at"], None)
    )
    state = add_times(agreements, events).drop_columns(["row"])
    return result.join(state.rename_columns({"status": "agreement_status"}), "agreement_id").sort_by("row")


def member_status(status: pa.Array) -> pa.Array:
    """Map a member's status to the canonical one; a member who still has to act is `sent`."""
    return look_up(status, MEMBER_STATUSES, "sent")


def is_replaced(status: pa.Array) -> pa.Array:
    """Return whether a member was replaced by another one."""
    return is_word(status, "REPLACED")


# --- tables: parents before children ---------------------------------------------------------------------------------

MEMBERS = Table(
    name="members",
    path="agreements/{agreement_id}/members",
    key=("agreement_id",),
    shape=replace(PER_AGREEMENT, missing=(403, 404)),
    has_objects=True,
    omits_nulls=True,
    skipped=("senderInfo", "securityOption"),
    columns=(
        column("agreement_id", "@agreement_id", STRING, required=True),
        column("participant_sets", "participantSets", STRING),
        *ignored("ccsInfo, nextParticipantSets, sharesInfo"),
    ),
)

PARTICIPANTS = Table(
    name="participants",
    path="",
    key=("agreement_id", "participant_id"),
    shape=Nested("members", ("participant_sets",), ("memberInfos",)),
    has_objects=True,
    omits_nulls=True,
    skipped=("securityOption",),
    columns=(
        column("agreement_id", "@agreement_id", STRING, required=True),
        column("participant_id", "id", STRING, required=True),
        column("name", "name", STRING),
        column("email", "email", STRING),
        column("member_status", "status", STRING),
        column("role", "^role", STRING),
        column("set_status", "^status", STRING),
        column("routing_order", "^order", INTEGER),
        *ignored("company, fax, privateMessage, phoneNumber"),
        *ignored("self", BOOLEAN),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

_STATE = {"agreement_details": Beside(("agreement_id", "status", "created_at"), SAME_AGREEMENT)}

MAPS = (
    EntityMap(
        "envelope_recipient",
        "participants",
        {
            "envelope_recipient_key": derived(join_key, "agreement_id", "participant_id"),
            "envelope_key": "agreement_id",
            "role": derived(lower_case, "role"),
            "routing_order": "routing_order",
            "name": "name",
            "email": "email",
            "status": derived(member_status, "set_status"),
            "signed_at": "signed_at",
            "declined_at": "declined_at",
            "is_final": derived(is_final, "agreement_status"),
            "reopened_at": derived(find_reopened_at, "agreement_status", "ended_at", "changed_at"),
            "created_on": derived(day_of, "created_at"),
            "changed_at": derived(latest, "changed_at", "created_at"),
        },
        split=add_acts,
        takes=(
            "agreement_id",
            "participant_id",
            "name",
            "email",
            "member_status",
            "role",
            "set_status",
            "routing_order",
        ),
        dropped={"replaced by another member": derived(is_replaced, "member_status")},
        beside=WITH_EVENTS | _STATE,
    ),
)
