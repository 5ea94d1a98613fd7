"""Two schedulers and two triggerers do nothing twice; and each check finds the double or the gap that it is for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.twice.__main__ import run
from tests.chaos.twice.evidence import Evidence, _find_unexecuted, find_fired, find_wrong, identify
from tests.chaos.twice.pair import CRONS, NEVER, Pair

RUN = ("orion", "scheduled__1")
DEADLINE = identify("Deadline missed: Orion loaded: orion", "Run: scheduled__1\nDeadline: 12:00\nSo far: 3 rows")
FAILED = identify("Failed: twice_failed", "Task: fail, try 1\nRun: scheduled__2\nReason: on purpose")
MINUTES = [datetime(2026, 11, 27, 12, minute, tzinfo=UTC) for minute in range(3)]
TRY = ("twice_minute", "scheduled__3", "work", 0, 1)
GOOD = Evidence(
    alerts=Counter([DEADLINE, FAILED]),
    missed={RUN},
    failed={("twice_failed", "scheduled__2")},
    runs=Counter(("twice_minute", minute) for minute in MINUTES),
    minutes=set(MINUTES),
    executions=Counter([TRY]),
    starts=Counter([TRY]),
    consumed=Counter([("drain_inbox", 1)]),
    changes=Counter(["Title 0"]),
    titles=["Title 0"],
    delivered=Counter(["event 1"]),
    routed={"event 1": "delivered"},
    completed=Counter(["docusign/envelope/1"]),
)


@pytest.mark.airflow
@pytest.mark.long
@pytest.mark.timeout(2400)
def test_two_schedulers_and_two_triggerers_do_nothing_twice(tmp_path: Path) -> None:
    assert run(4, tmp_path / "pair", print) == []


def test_a_run_without_doubles_and_gaps_passes() -> None:
    assert find_wrong(GOOD) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"alerts": Counter([DEADLINE, DEADLINE, FAILED])}, f"alert 2 times: {DEADLINE}"),
        ({"alerts": Counter([FAILED])}, f"deadline is missing: {RUN}"),
        ({"missed": set()}, f"deadline is not expected: {RUN}"),
        ({"alerts": Counter([DEADLINE])}, "failure is missing: ('twice_failed', 'scheduled__2')"),
        ({"runs": Counter(2 * [("orion", MINUTES[0])])}, f"run of a logical date 2 times: ('orion', {MINUTES[0]!r})"),
        ({"minutes": {MINUTES[0], MINUTES[2]}}, "no run of twice_minute at 12:01"),
        ({"executions": Counter(2 * [TRY])}, f"execution 2 times: {TRY}"),
        ({"starts": Counter(2 * [TRY])}, f"start of a try 2 times: {TRY}"),
        ({"consumed": Counter({("drain_inbox", 1): 2})}, "run of an asset event 2 times: ('drain_inbox', 1)"),
        ({"changes": Counter(2 * ["Title 0"])}, "change of Salesforce 2 times: Title 0"),
        ({"changes": Counter()}, "change of Salesforce is missing: Title 0"),
        ({"delivered": Counter(2 * ["event 1"])}, "event 2 times: event 1"),
        ({"delivered": Counter()}, "event is missing: event 1"),
        ({"routed": {"event 1": "waiting"}}, "event event 1: waiting"),
        ({"completed": Counter(2 * ["e"])}, "event of an envelope 2 times: e"),
        ({"others": ["inbox: 1 not processed"]}, "inbox: 1 not processed"),
    ],
)
def test_a_double_or_a_gap_is_found(changes: dict[str, Any], found: str) -> None:
    assert find_wrong(replace(GOOD, **changes)) == [found]


def test_a_run_that_should_not_fail_is_found() -> None:
    wrong = find_wrong(replace(GOOD, failed=GOOD.failed | {RUN}))
    assert f"failed: {RUN}" in wrong


def test_the_alert_of_a_silent_run_may_be_sent_or_not() -> None:
    silent = replace(GOOD, silent={RUN}, failed=GOOD.failed | {RUN})
    assert find_wrong(silent) == find_wrong(replace(silent, missed=set(), alerts=Counter([FAILED]))) == []


def test_a_run_without_all_its_executions_is_found() -> None:
    runs = [{"dag_id": "twice_minute", "run_id": "scheduled__3"}, {"dag_id": "orion", "run_id": "scheduled__1"}]
    assert _find_unexecuted(runs, [TRY]) == ["1 of 3 executed: ('twice_minute', 'scheduled__3')"]


def test_alerts_that_differ_only_in_their_counts_are_the_same_alert() -> None:
    assert identify("Deadline missed: Orion loaded: orion", "Run: scheduled__1\nDeadline: 12:00") == DEADLINE


@pytest.mark.parametrize("crons", [CRONS, {}])
def test_no_dag_of_a_pair_keeps_its_own_schedule(crons: dict[str, str], tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.write_dags(crons)
    lines = [
        (p.stem, line) for p in pair.dags.glob("*.py") for line in p.read_text().splitlines() if "Timetable(" in line
    ]
    assert set(CRONS) <= {stem for stem, _ in lines}
    assert [line for stem, line in lines if f'Timetable("{crons.get(stem, NEVER)}", ' not in line] == []


def test_completed_callbacks_are_read_from_a_log_of_a_triggerer() -> None:
    line = "2026-11-27T12:00:00Z [info     ] Trigger fired event            [runner] dag_id=None name='ID {}' result=\"TriggerEvent<{{'state': <CallbackState.{}>}}>\" run_id=None"
    log = "\n".join(
        [
            line.format(3, "RUNNING: 'running'"),
            line.format(3, "SUCCESS: 'success'"),
            line.format(4, "RUNNING: 'running'"),
        ]
    )
    assert find_fired(log) == {"3"}
