"""A day through PgBouncer in transaction mode: extract, load, reconcile, resolve identities, evaluate rules, and preview the sync."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from include.crm.settings import Settings
from include.crm.sync.preview import preview
from include.identity.resolve import resolve
from include.rules.evaluation import evaluate_all
from include.rules.policy import Policy
from include.vendors import VENDORS, named
from local.postgres import Postgres
from tests.conftest import LAST, Firm, new_database
from tests.running_pgbouncer import needs_pgbouncer, pool, run_pgbouncer
from tests.running_sandbox import run_sandbox


def run_day(firm: Firm) -> dict[str, Any]:
    """Run everything that only needs transactions; return its results."""
    loaded = {entity: (counts.inserted, counts.money_out) for entity, counts in firm.day().items()}
    resolved = resolve(firm.engine, VENDORS, "identity", LAST)
    findings = evaluate_all(firm.engine, Policy(), "rules")
    deltas = preview(firm.engine, Settings("sample")).deltas
    return {
        "loaded": loaded,
        "resolved": resolved is not None,
        "findings": {rule: str(tally) for rule, tally in findings["orion"].items()},
        "deltas": {entity: str(delta) for entity, delta in deltas.items()},
        "held": firm.held(),
    }


def run_firm(postgres: Postgres, folder: Path, port: int | None = None) -> dict[str, Any]:
    """Run a new firm's day, directly or through the pool on a port."""
    with run_sandbox(folder / "sandbox") as sandbox, new_database(postgres) as database:
        firm = Firm(named("orion"), sandbox, database if port is None else pool(database, port), folder)
        results = run_day(firm)
        firm.engine.dispose()
    return results


@needs_pgbouncer
def test_a_day_through_a_pool_equals_a_direct_one(postgres: Postgres, tmp_path: Path) -> None:
    with run_pgbouncer(postgres, "transaction") as port:
        pooled = run_firm(postgres, tmp_path / "pooled", port)
    assert pooled == run_firm(postgres, tmp_path / "direct")
    assert pooled["held"]
    assert pooled["deltas"]["position"] != "no change"
