"""The replay command under a real scheduler; a dry run writes nothing."""

from __future__ import annotations

import pytest

from local import cli, demo
from tests.faults.test_scheduled_kills import START_S, Scheduled, scheduled  # noqa: F401

pytestmark = [pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(900)]


def test_dead_letters_are_replayed_and_a_dry_run_writes_nothing(
    scheduled: Scheduled,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fault = scheduled.sandbox.fault("poison", field="currentShares", value="N/A", share=0.01, seed=5)
    api = scheduled.api
    assert api.wait_run("orion", api.trigger("orion"), START_S) == "success"
    scheduled.sandbox.http.delete(f"/_sandbox/faults/{fault}").raise_for_status()
    query = "select count(*) from control.dead_letter where table_name = 'assets' and status = 'open'"
    dead = scheduled.database.value(query)
    assert dead > 0
    monkeypatch.setattr(demo.Demo, "reach", lambda self: api)
    api.wait_dag("replay_dead_letters")

    def replay(*options: str) -> list[str]:
        assert (
            cli.main(["replay", "--vendor", "orion", "--table", "assets", "--date", str(scheduled.day), *options]) == 0
        )
        return capsys.readouterr().out.splitlines()

    steps = scheduled.database.value("select count(*) from control.ledger")
    title, _, counts = replay("--dry")
    assert title.endswith("dry run, nothing was written")
    assert counts.split() == [str(n) for n in (dead, 0, dead, dead, 0)]
    assert scheduled.database.value("select count(*) from control.ledger") == steps
    assert scheduled.database.value(query) == dead

    assert replay()[-1].split() == [str(n) for n in (dead, 0, dead, dead, 0)]
    assert scheduled.database.value(query) == 0
