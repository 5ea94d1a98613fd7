"""What the sandbox knows about a full org, in terms of our keys: which of its records are which of our clients."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import orjson
import requests
import sqlalchemy as sa

_FINDINGS = sa.text("select entity, sobject, salesforce_id, external_key, outcome from control.adoption_finding")
_KIND = {"contact": "person", "legal_entity": "entity"}


@dataclass
class Score:
    """How well a comparison did.

    Attributes:
        right: Entity -> matched records that are what they were matched with.
        wrong: Matched records that are something else.
        left: Entity -> records of one client, without a second record, that were not matched.
        unaccounted: Records of the org without a finding.
        created: Our keys of clients who are in the org, and whom the next sync would create a second time.
    """

    right: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    wrong: list[Any] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    unaccounted: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)

    @property
    def found_ratio(self) -> float:
        """Share (0-1) of the true matches that need no person."""
        right, left = sum(self.right.values()), sum(self.left.values())
        return right / (right + left)


class Truth:
    """The sandbox's facts."""

    def __init__(self, sandbox_url: str) -> None:
        lines = requests.get(f"{sandbox_url}/_sandbox/salesforce/truth", timeout=300).text.splitlines()
        self.facts: list[dict[str, Any]] = [orjson.loads(line) for line in lines]
        self.identities: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        keys = requests.get(f"{sandbox_url}/_sandbox/salesforce/vendor_keys", timeout=300).json()
        for vendor, records in keys.items():
            for record, identities in records.items():
                table, _, key = record.partition(":")
                key += ":spouse" if table == "spouses" else ""  # a spouse has no id of its own, so our key adds a word
                for identity in identities:
                    self.identities[vendor, identity.partition(":")[0], key].add(identity)

    def find(self, external_key: str, entity: str) -> set[str]:
        """Return the identities of one of our keys."""
        _, vendor, _, key = external_key.split(":", 3)
        return self.identities.get((vendor, _KIND.get(entity, entity), key), set())

    def evaluate(self, db: sa.Connection) -> Score:
        """Evaluate the findings of the last comparison."""
        score = Score()
        rows = db.execute(_FINDINGS).mappings().all()
        facts = {fact["id"]: fact for fact in self.facts if fact["id"]}
        ours: dict[str, set[str]] = defaultdict(set)
        for (_, kind, _), identities in self.identities.items():
            ours[kind] |= identities
        there: dict[str, set[str]] = defaultdict(set)
        for fact in facts.values():
            there[fact["object"]].update(fact["identities"])
        for row in rows:
            entity, key = row["entity"], row["external_key"]
            if not row["salesforce_id"]:
                if row["outcome"] == "missing" and self.find(key, entity) & there[row["sobject"]]:
                    score.created.append(key)
                continue
            if row["salesforce_id"] not in facts:
                continue
            fact = facts[row["salesforce_id"]]
            is_one = len(fact["identities"]) == 1 and fact["identities"][0] in ours[_KIND.get(entity, entity)]
            if row["outcome"] == "matched":
                is_right = len(fact["identities"]) == 1 and fact["identities"][0] in self.find(key, entity)
                score.right[entity] += is_right
                score.wrong += [] if is_right else [(entity, key, fact)]
            elif is_one and not fact["duplicate_of"] and row["outcome"] != "duplicate":
                score.left[entity] += 1
        found = {row["salesforce_id"] for row in rows}
        relations = ("AccountContactRelation", "Lead")
        score.unaccounted = [id_ for id_, fact in facts.items() if fact["object"] not in relations and id_ not in found]
        return score
