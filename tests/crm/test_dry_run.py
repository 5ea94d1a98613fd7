"""A dry run reports the changes of a sync, identity and findings included, and changes no row."""

from __future__ import annotations

from typing import Any

import pytest

from include.crm.sync.preview import Preview, preview
from include.identity.policy import Policy as IdentityPolicy
from include.pipeline.dry_run import rehearse
from include.rules.policy import Policy
from include.vendors import VENDORS
from tests.conftest import Database
from tests.crm.conftest import Crm
from tests.running_sandbox import LAST

EASY = Policy.of(
    {"large_flow_floor_usd": 1, "large_flow_percent": 1, "excess_cash_floor_usd": 1, "excess_cash_percent": 1}
)


def checksums(database: Database) -> dict[str, Any]:
    """Count and hash the rows of every table."""
    tables = database.rows("""
        select format('%I.%I', table_schema, table_name) as name from information_schema.tables
        where table_schema in ('control', 'warehouse', 'mart') and table_type = 'BASE TABLE' order by 1
    """)
    sums = {}
    for name in (row["name"] for row in tables):
        query = f"select count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) as hash from {name} t"
        sums[name] = tuple(database.rows(query)[0].values())
    return sums


def rehearse_all(crm: Crm, **options: Any) -> Preview:
    return rehearse(crm.engine, VENDORS, IdentityPolicy(), EASY, crm.settings, "dry", LAST, 20, **options)


def duplicate_a_person(database: Database) -> None:
    """Add a copy of a person at another vendor, with the same tax id, so that identity would change."""
    database.do("""
        insert into warehouse.source_key (entity, vendor, source_key) values ('person', 'emoney', 'twin');
        insert into warehouse.person (person_id, vendor, person_key, first_name, last_name, name, birth_date, tax_id_hash, valid_from,
                                      recorded_from, source_run_id)
        select k.id, 'emoney', 'twin', p.first_name, p.last_name, p.name, p.birth_date, p.tax_id_hash, p.valid_from, now(), 1
        from warehouse.source_key k, (select * from warehouse.person where tax_id_hash is not null order by person_id limit 1) p
        where k.source_key = 'twin'
    """)


def test_a_dry_run_leaves_every_table_as_it_was(crm: Crm) -> None:
    duplicate_a_person(crm.database)
    before = checksums(crm.database)

    shown = rehearse_all(crm)

    assert checksums(crm.database) == before
    assert len(before) > 40
    assert shown.deltas["finding"].new > 0  # of findings that do not exist yet
    assert crm.database.value("select count(*) from control.finding") == 0


def test_a_dry_run_shows_who_is_who_as_it_would_be(crm: Crm) -> None:
    duplicate_a_person(crm.database)
    as_it_is = preview(crm.engine, crm.settings).deltas["person"].new

    assert rehearse_all(crm).deltas["person"].new < as_it_is


def test_what_fails_in_a_dry_run_leaves_nothing_either(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    from include.pipeline import dry_run

    def fail(*_: Any, **__: Any) -> Preview:
        raise RuntimeError

    duplicate_a_person(crm.database)
    before = checksums(crm.database)
    monkeypatch.setattr(dry_run, "preview_within", fail)

    with pytest.raises(RuntimeError):
        rehearse_all(crm)

    assert checksums(crm.database) == before
