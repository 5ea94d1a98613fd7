"""The firm's envelopes and templates, generated from the firm's seed. `docusign.life` has the life cycle of an envelope.

All of this is our choice. An envelope depends only on the seed, its household and the end of the generated history.
"""

import random
from collections.abc import Sequence
from datetime import datetime, time, timedelta

from sandbox.docusign.life import ACTING, Envelope, decline, deliver, launch, list_recipients, sign, void
from sandbox.docusign.rows import (
    TEMPLATES,
    USER_EMAIL,
    USER_ID,
    USER_NAME,
    Person,
    list_signers,
    name_representative,
    write_documents,
    write_envelope,
    write_guid,
)
from sandbox.docusign.stamps import write_stamp
from sandbox.firm.households import Household, Representative

DAYS = 60
"""Maximum age of the envelopes in days at the end of the history. A few forgotten envelopes are older."""
_OUTCOMES = {"completed": 52, "opened": 12, "sent": 10, "declined": 8, "voided": 10, "draft": 8}
_THIRDS = ("certifiedDeliveries", "inPersonSigners", "witnesses")
_THIRD = ("Wanda Placeholder", "wanda.placeholder@example.com")
_VOIDED = ("Sent to the wrong address", "Replaced by another form")


def draw_templates(seed: int, first: datetime) -> list[Envelope]:
    """Return the firm's templates, ordered by name. Their dates are relative to `first`."""
    templates = []
    for number, template in enumerate(sorted(TEMPLATES)):
        created, id_ = write_stamp(first - timedelta(days=400 + number)), write_guid(seed, "template", template.name)
        roles = ("Client", "Spouse")
        templates.append(
            {
                "templateId": id_,
                "uri": f"/templates/{id_}",
                "name": template.name,
                "description": f"For every {template.purpose}",
                "shared": "true",
                "passwordProtected": "false",
                "created": created,
                "lastModified": write_stamp(first - timedelta(days=30 * number + 3)),
                "lastUsed": write_stamp(first),
                "pageCount": str(len(template.documents)),
                "emailSubject": f"Please sign: {template.name}",
                "owner": {"userId": USER_ID, "userName": USER_NAME, "email": USER_EMAIL},
                "folderName": "Templates",
                "folderId": write_guid(seed, "folder", "templates"),
                "documents": write_documents(id_, template.documents),
                "recipients": {
                    "signers": [
                        {"recipientId": str(n), "roleName": role, "routingOrder": str(n)}
                        for n, role in enumerate(roles, 1)
                    ],
                    "recipientCount": str(len(roles)),
                },
            }
        )
    return templates


def draw_envelopes(seed: int, household: Household, representative: Representative, until: datetime) -> list[Envelope]:
    """Return one household's envelopes as of `until`, the end of the generated history."""
    draw = random.Random(f"{seed}:docusign:{household.id}")
    return [_draw(draw, seed, household, representative, until, slot) for slot in range(draw.choice((1, 2, 2, 3)))]


def _draw(
    draw: random.Random, seed: int, household: Household, representative: Representative, until: datetime, slot: int
) -> Envelope:
    is_forgotten, is_thirded = draw.random() < 0.05, draw.random() < 0.3
    extra: dict[str, Person] = {draw.choice(_THIRDS): _THIRD} if is_thirded else {}
    days = draw.randrange(1, DAYS) + (DAYS if is_forgotten else 0)
    moment = datetime.combine(until.date() - timedelta(days=days), time(14), until.tzinfo) + _wait(draw, 1, 28_800)
    envelope = write_envelope(
        write_guid(seed, "envelope", household.id, slot),
        draw.choice(TEMPLATES),
        list_signers(household),
        f"orion:{household.id}",
        name_representative(representative),
        moment,
        extra,
    )
    outcome = draw.choices(list(_OUTCOMES), list(_OUTCOMES.values()))[0]
    _Life(draw, envelope, moment, until).lead("sent" if is_forgotten else outcome)
    return envelope


class _Life:
    """Simulates one envelope. Nothing happens to the envelope at or after `until`."""

    def __init__(self, draw: random.Random, envelope: Envelope, moment: datetime, until: datetime) -> None:
        self.draw, self.envelope, self.moment, self.until = draw, envelope, moment, until

    def lead(self, outcome: str) -> None:
        """Advance the envelope until it has the outcome, or until the time reaches `until`."""
        if outcome == "draft" or not self._pass(120, 3000):
            return
        launch(self.envelope, self.moment)
        acting = _list_acting(self.envelope)
        signers = len(self.envelope["recipients"]["signers"])
        steps = len(acting) if outcome == "completed" else self.draw.randrange(signers)
        if outcome in ("sent", "voided"):
            steps = 0
        if self._act(acting[:steps]) and outcome != "completed" and self._pass(3600, 5 * 86_400):
            self._end(outcome, acting[steps][1])

    def _act(self, acting: Sequence[tuple[str, str]]) -> bool:
        """Let these recipients act in turn. Return False if `until` came before all had acted."""
        for kind, recipient_id in acting:
            if not self._pass(600, 2 * 86_400):
                return False
            deliver(self.envelope, recipient_id, self.moment)
            if not self._pass(60, 4000):
                return False
            if kind != "certifiedDeliveries":
                sign(self.envelope, recipient_id, self.moment)
        return True

    def _end(self, outcome: str, recipient_id: str) -> None:
        if outcome in ("declined", "opened"):
            deliver(self.envelope, recipient_id, self.moment)
        if outcome == "declined":
            decline(self.envelope, recipient_id, "The amount is wrong", self.moment + timedelta(seconds=1))
        if outcome == "voided":
            void(self.envelope, self.draw.choice(_VOIDED), self.moment)

    def _pass(self, least: int, most: int) -> bool:
        """Advance the time by a random number of seconds from `least` to `most`. Return whether it is still before `until`."""
        self.moment += _wait(self.draw, least, most)
        return self.moment < self.until


def _wait(draw: random.Random, least: int, most: int) -> timedelta:
    return timedelta(seconds=draw.randrange(least, most), microseconds=draw.randrange(10**6))


def _list_acting(envelope: Envelope) -> list[tuple[str, str]]:
    """Return array and id of the recipients who must act, in routing order."""
    acting = [(kind, each) for kind, each in list_recipients(envelope) if kind in ACTING]
    return [(kind, each["recipientId"]) for kind, each in sorted(acting, key=lambda pair: int(pair[1]["routingOrder"]))]
