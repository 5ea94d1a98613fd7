"""Identities, decisions and Salesforce keys of the first release survive the upgrade and the first run of the new matching."""

from __future__ import annotations

from datetime import date

import sqlalchemy as sa

from include.identity.resolve import resolve
from include.warehouse import schema
from tests.conftest import Database
from tests.warehouse.test_upgrade import FIRST_RELEASE, MIGRATE, migrate_to

ON = date(2026, 11, 27)

# 11 and 21 are one person by the matching; 12 and 22 are one by a decision only; 13 and 23 agree, but a decision separates them.
_FIRM = """
insert into warehouse.source_key (id, entity, vendor, source_key) overriding system value
values (11, 'person', 'orion', 'P1'), (12, 'person', 'orion', 'P2'), (13, 'person', 'orion', 'P3'),
       (21, 'person', 'emoney', 'Q1'), (22, 'person', 'emoney', 'Q2'), (23, 'person', 'emoney', 'Q3');
insert into warehouse.person (person_id, vendor, person_key, first_name, last_name, name, birth_date, email, street, city, state_code,
                              postal_code, valid_from, recorded_from, source_run_id)
values (11, 'orion', 'P1', 'Adam', 'Specimen', 'Adam Specimen', '1951-03-14', 'adam@mail.example', '12 Example St', 'Omaha', 'NE', '68102', '2026-01-02', now(), 1),
       (21, 'emoney', 'Q1', 'Adam', 'Specimen', 'Adam Specimen', '1951-03-14', 'adam@mail.example', '12 Example St', 'Omaha', 'NE', '68102', '2026-01-02', now(), 1),
       (12, 'orion', 'P2', 'Beatrice', 'Placeholder', 'Beatrice Placeholder', '1960-05-06', null, '9 Sample Rd', 'Lincoln', 'NE', '68502', '2026-01-02', now(), 1),
       (22, 'emoney', 'Q2', 'Trixie', 'Married-Name', 'Trixie Married-Name', null, null, '77 Other Ave', 'Boise', 'ID', '83702', '2026-01-02', now(), 1),
       (13, 'orion', 'P3', 'Carl', 'Exemplar', 'Carl Exemplar', '1970-07-08', 'carl@mail.example', '5 Sample Ln', 'Omaha', 'NE', '68102', '2026-01-02', now(), 1),
       (23, 'emoney', 'Q3', 'Carl', 'Exemplar', 'Carl Exemplar', '1970-07-08', 'carl@mail.example', '5 Sample Ln', 'Omaha', 'NE', '68102', '2026-01-02', now(), 1);
insert into control.identity_decision (entity, left_id, right_id, is_same, reason, decided_by)
values ('person', 12, 22, true, 'Married', 'steward'), ('person', 13, 23, false, 'Cousins', 'steward');
insert into warehouse.identity (entity, id, identity_id, how, recorded_from, source_run_id)
values ('person', 21, 11, 'link', now(), 'old'), ('person', 22, 12, 'link', now(), 'old')
"""
_IDENTITIES = "select id, identity_id, recorded_from, source_run_id from warehouse.identity where entity = 'person' and recorded_to is null order by 1"
_DECISIONS = "select decision_id, left_id, right_id, is_same from control.identity_decision_in_force order by 1"
_KEYS = "select concat_ws(':', vendor, person_key) as key from warehouse.known_person where is_anchor order by 1"


def test_decisions_ids_and_keys_are_those_of_the_first_release(empty: Database) -> None:
    migrate_to(empty, FIRST_RELEASE)
    for statement in _FIRM.split(";\n"):
        empty.do(statement)
    stored = empty.rows(_IDENTITIES)

    schema.migrate(empty.url(MIGRATE))
    decided, keys = empty.rows(_DECISIONS), empty.rows(_KEYS)
    engine = sa.create_engine(empty.url().replace("postgresql://", "postgresql+psycopg://"))
    found = resolve(engine, (), "first of the new version", ON)
    engine.dispose()

    assert found is not None
    assert (found.changed, found.people) == (0, 4)
    assert empty.rows(_IDENTITIES) == stored
    assert [(row["left_id"], row["right_id"], row["is_same"]) for row in empty.rows(_DECISIONS)] == [
        (12, 22, True),
        (13, 23, False),
    ]
    assert empty.rows(_DECISIONS) == decided
    assert empty.rows(_KEYS) == keys
    assert [row["key"] for row in keys] == ["emoney:Q3", "orion:P1", "orion:P2", "orion:P3"]
