"""Health signals: the light of each value, and one light for all."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from include.operations.lists import GROUPS
from include.operations.metrics import METRICS, Sample
from include.operations.signals import (
    LABELS,
    SIGNALS,
    Reading,
    Signal,
    describe,
    evaluate,
    find_overall_light,
    summarize,
)
from include.warehouse import schema
from tests.operations.records import NOW

ROOT = Path(__file__).parents[2]
IDS = [signal.name for signal in SIGNALS]


def sample(signal: Signal, value: float, name: str = "one") -> Sample:
    """Make a sample with which the signal has a value."""
    labels = tuple((signal.labels or {}).get(label, name) for label in LABELS[signal.metric])
    return Sample(signal.metric, labels, NOW.timestamp() - value if signal.is_age else value)


def read(signal: Signal, *values: float) -> list[Reading]:
    samples = [sample(signal, value, f"n{number}") for number, value in enumerate(values)]
    return [each for each in evaluate(samples, NOW) if each.signal is signal]


@pytest.mark.parametrize("signal", SIGNALS, ids=IDS)
def test_a_value_above_a_threshold_changes_the_light(signal: Signal) -> None:
    thresholds = {"amber": signal.amber, "red": signal.red}
    for light, threshold in thresholds.items():
        if threshold is not None:
            above, at = read(signal, threshold + 1)[0].light, read(signal, threshold)[0].light
            assert above == light
            assert at == ("green" if light == "amber" or signal.amber is None else "amber")


@pytest.mark.parametrize("signal", SIGNALS, ids=IDS)
def test_a_signal_without_a_sample_is_not_good(signal: Signal) -> None:
    [reading] = read(signal)
    assert (reading.value, reading.light) == (None, "amber" if signal.is_required else "grey")


@pytest.mark.parametrize("signal", SIGNALS, ids=IDS)
def test_a_signal_names_its_metric_its_thresholds_and_a_guide_that_exists(signal: Signal) -> None:
    assert signal.metric in {metric.name for metric in METRICS}
    assert (signal.labels or {}).keys() <= set(LABELS[signal.metric])
    assert signal.is_age == signal.metric.endswith("_timestamp_seconds")
    assert {signal.amber, signal.red} != {None}
    assert (ROOT / f"docs/how-to/{signal.guide}.md").is_file()
    if None not in (signal.amber, signal.red):
        assert float(signal.amber or 0) < float(signal.red or 0)


def test_names_of_signals_are_unique() -> None:
    assert len(set(IDS)) == len(IDS)


def test_samples_with_another_label_are_not_of_the_signal() -> None:
    slow = next(signal for signal in SIGNALS if signal.name == "vendor_slow")
    readings = [each for each in evaluate([Sample(slow.metric, ("orion", "0.5"), 99)], NOW) if each.signal is slow]
    assert [(each.value, each.light) for each in readings] == [(None, "grey")]


def test_the_worst_reading_is_first() -> None:
    late, dead, backup = (
        next(each for each in SIGNALS if each.name == name) for name in ("vendor_late", "dead_letters", "backup")
    )
    readings = evaluate([sample(backup, 60), sample(dead, 3), sample(late, 3600)], NOW)
    lights = [reading.light for reading in readings]
    assert [each.signal.name for each in readings[:2]] == ["vendor_late", "dead_letters"]
    assert lights == sorted(lights, key=["red", "amber", "grey", "green"].index)


@pytest.mark.parametrize(
    ("lights", "expected"),
    [
        (["green", "grey"], "green"),
        (["grey"], "grey"),
        (["green", "amber", "grey"], "amber"),
        (["amber", "red"], "red"),
    ],
)
def test_one_light_stands_for_all_and_missing_values_do_not_count(lights: list[str], expected: str) -> None:
    readings = [Reading(SIGNALS[0], {}, None, light) for light in lights]  # type: ignore[arg-type]
    assert find_overall_light(readings) == expected


def test_the_summary_has_every_bad_reading_and_one_good_one_per_signal() -> None:
    dead, breaks = (next(each for each in SIGNALS if each.name == name) for name in ("dead_letters", "vendor_breaks"))
    shown = [(each.signal.name, each.value) for each in summarize(read(dead, 0, 2, 1)) + summarize(read(breaks, 0, 0))]
    assert sorted(shown[:2]) == [("dead_letters", 1), ("dead_letters", 2)]
    assert shown[2:] == [("vendor_breaks", 0)]


def test_a_page_about_a_vendor_is_linked_only_for_a_vendor() -> None:
    late = SIGNALS[0]
    [without], [reading] = read(late), read(late, 0)
    assert (without.page, reading.page) == ("", "vendors/n0")


@pytest.mark.parametrize("signal", SIGNALS, ids=IDS)
def test_the_page_of_a_signal_exists(signal: Signal) -> None:
    lists = {each.path for group in GROUPS.values() for each in group}
    assert signal.page.partition("?")[0] in {"", "vendors/{vendor}", *lists}


def test_failed_items_of_each_queue_lead_to_the_list_that_shows_them() -> None:
    view = (schema.FOLDER.parent / "marts" / "queue_state.sql").read_text()
    queues = re.findall(r"^select '(\w+)'", view, re.MULTILINE)
    readings = evaluate([Sample("tributary_queue_failed_items", (queue,), 1) for queue in queues], NOW)
    pages = {
        each.page for each in readings if each.light == "amber" and each.signal.metric == "tributary_queue_failed_items"
    }
    assert queues == ["inbox", "outbox", "deliveries", "requests"]  # nothing fails in the outbox
    assert pages == {"lists/deliveries?state=failed", "lists/given-up-events", "lists/requests?state=failed"}


def test_json_has_one_light_and_for_each_signal_what_to_do() -> None:
    drill = next(signal for signal in SIGNALS if signal.name == "restore_drill")
    described = json.loads(
        json.dumps(describe(evaluate([sample(drill, timedelta(days=41).total_seconds())], NOW), NOW))
    )
    assert described["light"] == "amber"
    assert len(described["signals"]) == len(SIGNALS)
    shown = next(each for each in described["signals"] if each["name"] == "restore_drill")
    assert (shown["light"], shown["value"], shown["amber_above"], shown["red_above"]) == (
        "amber",
        41 * 86400,
        40 * 86400,
        None,
    )
    assert shown["guide"] == "docs/how-to/drilling_a_restore.md"
