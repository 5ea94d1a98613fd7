"""A firm's account at Adobe Acrobat Sign: users, library documents and agreements, generated or from files, with edits.

Actions of people are stored as edits and replayed at the next start. So the same seed and edits always give the same account. All of
this is our choice.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

from fastapi import Request

from sandbox.adobe_sign.agreements import Agreement, create_agreement
from sandbox.adobe_sign.endpoint import Authorizer, Call
from sandbox.adobe_sign.files import read_agreements, read_rows
from sandbox.adobe_sign.ids import write_id
from sandbox.adobe_sign.login import Login, StateFile
from sandbox.adobe_sign.rows import KINDS, draw_agreements, draw_library, draw_users, write_send
from sandbox.adobe_sign.webhooks import Webhooks
from sandbox.firm.edits import Edit
from sandbox.firm.records import Table, store_edit
from sandbox.firm.world import World
from sandbox.server.calls import Calls
from sandbox.server.faults import Faults

Row = dict[str, Any]

VENDOR = "adobe_sign"
PROCESSING_SECONDS = 5
_TABLES = {"users": Table("id", "id"), "library_documents": Table("id", "id")}


class Account:
    """The account of one sandbox. Several threads may call its methods.

    Args:
        world: The firm. Its folder has the grants, webhooks and edits.
        faults: The active faults.
        calls: Counts repeated GETs. Its `pace` shortens the time limits.
        data: Folder of your own data, served instead of the synthetic firm: `users.jsonl`, `agreements.jsonl` and
            `library_documents.jsonl`, one object of the vendor per line.

    Raises:
        ValueError: a line of `data` cannot be read, or no user is an administrator.
    """

    def __init__(self, world: World, faults: Faults, calls: Calls, data: Path | None = None) -> None:
        self.world, self.faults, self.calls = world, faults, calls
        state = open_state(world)
        self.drawn_at = datetime.fromisoformat(state.load()["drawn_at"])
        self.login = Login(state, world.clock)
        self.authorizer = Authorizer(self.login, faults, calls, world.clock)
        self.webhooks = Webhooks(world.path.parent, world.clock, calls.pace)
        self._data = data
        self._agreements: dict[str, Agreement] | None = self._replay_edits(read_agreements(data)) if data else None
        self._users = read_rows(data, "users") if data else draw_users(world.firm.draw_representatives())
        self._library = read_rows(data, "library_documents") if data else draw_library(self._users, self.drawn_at)
        if not any(user.get("isAccountAdmin") for user in self._users):
            raise ValueError(f"{data}: no user of users.jsonl has isAccountAdmin")

    @property
    def users(self) -> list[Row]:
        """Return the account's users, with edits applied."""
        return self._apply_row_edits("users", self._users)

    @property
    def library(self) -> list[Row]:
        """Return the account's library documents, with edits applied."""
        return self._apply_row_edits("library_documents", [{"hidden": False} | row for row in self._library])

    @property
    def names(self) -> dict[str, str]:
        """Return the names of the account's users, by email."""
        return {user["email"]: f"{user.get('firstName', '')} {user.get('lastName', '')}".strip() for user in self.users}

    def now(self) -> datetime:
        """Return the sandbox's time."""
        return self.world.clock.now()

    def open(self, request: Request, *, has_etag: bool = False, **documented: str) -> Call:
        """Authorize a request, and return it as a call; see `Authorizer.open` for arguments and errors."""
        return self.authorizer.open(request, self.users, has_etag=has_etag, **documented)

    def find(self, id_: str) -> Agreement | None:
        """Return the agreement with this id, or None if there is none."""
        return self._open().get(id_)

    def list_agreements(self, email: str) -> list[Agreement]:
        """Return the agreements in which a user is the sender, a participant or in copy, oldest first.

        A draft, or an agreement in authoring, is listed only for its sender.
        """
        agreements = [
            each
            for each in self._open().values()
            if each.has_party(email) and (each.status not in ("DRAFT", "AUTHORING") or each.sender == email)
        ]
        return sorted(agreements, key=lambda each: (each.created_at, each.id))

    def edit(self, kind: str, values: dict[str, Any]) -> Edit:
        """Apply and store an action of an advisor or a client, and queue the webhooks' notifications.

        Args:
            kind: The kind of edit. All kinds about an existing agreement need `agreement_id`.

                - `send`: a new agreement. With `household_id`, its values are generated, and `template` selects one of KINDS by
                  name. Other values are those of `create_agreement`; they replace the generated ones.
                - `view`, `sign`: `participant` (email), by default the first pending one. The last signature completes the
                  agreement.
                - `reject`: `participant` as above, `comment`, `status` (CANCELLED or ABORTED).
                - `cancel`: `comment`, `status` (CANCELLED or ABORTED).
                - `expire`: no values.
                - `restart`: `expires_at`, for an expired agreement.
                - `modify`: `name` or `message`.
                - `issue`: no values; sends a draft.
                - `set_fields` (table, id, set), `delete` (table, id): change `users` or `library_documents`, without
                  notifications.
                - `authorize`: no values; returns a login `code`, and stores no edit.
                - `disturb`: disturbs notifications (see `Webhooks.disturb`), and stores no edit.

            values: The values of the kind.

        Returns:
            The stored edit, or the result of `authorize` or `disturb`.

        Raises:
            KeyError, ValueError: the kind is unknown, a value is missing or invalid, or the action is not allowed now; nothing is
                stored.
        """
        if kind == "authorize":
            return {"code": self.login.authorize()}
        if kind == "disturb":
            return self.webhooks.disturb(values)
        if kind in ("set_fields", "delete"):
            return store_edit(self.world, VENDOR, _TABLES, kind, values)
        with self.world.lock:
            filled = self._fill_send(values) if kind == "send" else dict(values)
            edit: Edit = {**filled, "vendor": VENDOR, "kind": kind, "at": self.now().isoformat()}
            agreements = self._open()
            old = agreements.get(edit["agreement_id"])
            first = len(old.events) if old else 0
            _apply_edit(agreements, edit)
            self.world.edits.append(edit)
            self.webhooks.emit(agreements[edit["agreement_id"]], first, {u["email"]: u["id"] for u in self.users})
            return edit

    def _fill_send(self, values: Mapping[str, Any]) -> Row:
        """Return the values of a `send`, completed with generated and default values."""
        filled = {name: value for name, value in values.items() if name not in ("household_id", "template")}
        if "household_id" in values:
            filled = self._draw_send(int(values["household_id"]), values.get("template", KINDS[0].name)) | filled
        filled = {"processing_seconds": PROCESSING_SECONDS / self.calls.pace} | filled
        filled = {"documents": [{"name": f"{filled['name']}.pdf"}], "sender": self.users[0]["email"]} | filled
        count = sum(edit.get("vendor") == VENDOR and edit["kind"] == "send" for edit in self.world.edits.all)
        return filled | {"agreement_id": write_id("agreement", self.world.firm.seed, "sent", count)}

    def _draw_send(self, household_id: int, name: str) -> Row:
        book = self.world.open_book()
        kinds = {kind.name: kind for kind in KINDS}
        household = next((household for household in book.households if household.id == household_id), None)
        if household is None or name not in kinds:
            raise ValueError(f"there is no household {household_id}, or no template {name!r}")
        place = [each.id for each in book.representatives].index(household.representative_id)
        representative = self.users[min(place, len(self.users) - 1)]
        return write_send(
            household, representative["email"], {"firstName": "", "lastName": ""} | representative, kinds[name]
        )

    def _open(self) -> dict[str, Agreement]:
        with self.world.lock:
            if self._agreements is None:
                agreements = draw_agreements(self.world.open_book(), self._users, self.drawn_at)
                self._agreements = self._replay_edits(agreement for _, agreement in agreements)
            return self._agreements

    def _replay_edits(self, first: Iterable[Agreement]) -> dict[str, Agreement]:
        """Apply all stored edits to the first agreements. Return all agreements by id."""
        agreements = {each.id: each for each in first}
        for edit in self.world.edits.all:
            if edit.get("vendor") == VENDOR and edit["kind"] not in ("set_fields", "delete"):
                _apply_edit(agreements, edit)
        return agreements

    def _apply_row_edits(self, table: str, rows: list[Row]) -> list[Row]:
        edits = [e for e in self.world.edits.all if e.get("vendor") == VENDOR and e.get("table") == table]
        if not edits:
            return rows
        by_id = {row["id"]: row for row in rows}
        for edit in edits:
            if edit["kind"] == "delete":
                by_id.pop(edit["id"], None)
            elif edit["id"] in by_id:
                by_id[edit["id"]] = by_id[edit["id"]] | edit["set"]
        return list(by_id.values())


def open_state(world: World) -> StateFile:
    """Open the vendor's state file. A new file stores the time as of which agreements are generated."""
    return StateFile(world.path.parent, datetime.combine(world.closed_through, time(21), UTC))


def _apply_edit(agreements: dict[str, Agreement], edit: Edit) -> None:
    """Apply an edit to the agreements: create one, or change one."""
    at, id_ = datetime.fromisoformat(edit["at"]), edit["agreement_id"]
    if edit["kind"] == "send":
        agreements[id_] = create_agreement(id_, edit, at)
    elif id_ not in agreements:
        raise KeyError(f"there is no agreement {id_}")
    else:
        agreements[id_].move(edit["kind"], edit, at)
