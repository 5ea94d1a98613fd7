"""Whole responses, envelopes, selected rows, windows, and the fields of a table."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from include.contract import INTEGER, MONEY, STRING, Nested, Pushed, Table, Whole, column
from include.errors import ConfigurationError, SchemaDrift
from include.extract.pull import Span, request
from tests.extract.fan_out_firm import Serve
from tests.extract.paged_rows import COLUMNS, NUMBERED, VENDOR, rows_of
from tests.extract.vendor_server import DAY, NOW, Reply

# --- in one piece ---


def test_unpaged_response_is_requested_once_with_the_tables_parameters(serve: Serve) -> None:
    puller, listener = serve(lambda call: Reply(rows_of(2, 1)))
    table = replace(NUMBERED, shape=Whole(), params={"includeImage": "false"})
    assert [row["row_id"] for row in puller.rows(table)] == [2, 1]
    assert [(call.path, call.params) for call in listener.calls] == [("/rows", {"includeImage": "false"})]


def test_envelope_and_objects_become_rows_with_exact_money(serve: Serve) -> None:
    table = Table(
        "rows", "rows", ("row_id",), rows="data", has_objects=True,
        columns=(column("row_id", "id", INTEGER, required=True), column("worth_usd", "total.amount", MONEY)),
    )  # fmt: skip
    body = b'{"data":[{"id":1,"total":{"amount":90071992547409.93}},{"id":2,"total":null}],"count":2}'
    puller, _ = serve(lambda call: Reply(content=body))
    assert [row["worth_usd"] for row in puller.rows(table)] == [Decimal("90071992547409.93"), None]


def test_response_without_rows_is_requested_again(serve: Serve) -> None:
    replies = iter([Reply({"message": "later"}), Reply({"data": rows_of(1)})])
    puller, listener = serve(lambda call: next(replies), patience_s=20)
    assert len(puller.rows(replace(NUMBERED, shape=Whole(), rows="data"))) == 1
    assert len(listener.calls) == 2


# --- nested in another table ---


def test_table_inside_another_that_was_not_pulled_is_a_configuration_error(serve: Serve) -> None:
    puller, listener = serve(lambda call: Reply([]))
    table = Table("people", "", ("row_id",), COLUMNS, shape=Nested("houses", ("people",)))
    with pytest.raises(ConfigurationError, match=r"not pulled.*vendor=testbank table=people parent=houses"):
        puller.rows(table)
    assert listener.calls == []


def test_webhook_only_table_is_not_requested(serve: Serve) -> None:
    puller, listener = serve(lambda call: Reply([]))
    with pytest.raises(ConfigurationError, match=r"arrives only by webhook.*vendor=testbank table=rows"):
        puller.rows(replace(NUMBERED, path="", shape=Pushed()))
    assert listener.calls == []


# --- fields ---


NESTED = Table(
    "rows", "rows", ("row_id",), rows="items", has_objects=True, omits_nulls=True, skipped=("tabs", "home.secret"),
    columns=(
        column("row_id", "id", INTEGER, required=True), column("city", "home.city", STRING),
        column("people", "people", STRING),
    ),
)  # fmt: skip


def test_object_that_is_skipped_is_no_drift_at_its_place_and_in_every_list(serve: Serve) -> None:
    people = [{"name": "x", "tabs": {"a": 1}, "home": {"secret": 2}}, "no object"]
    row = {"id": 1, "tabs": {"deep": {"er": 1}}, "home": {"city": "Salem", "secret": {"a": 1}}, "people": people}
    puller, _ = serve(lambda call: Reply({"items": [row]}))
    [staged] = puller.rows(NESTED)
    assert staged == {"row_id": 1, "city": "Salem", "people": '[{"name":"x","home":{"secret":2}},"no object"]'}
    assert puller.pull(NESTED).manifest.undeclared == ()


def test_object_of_the_same_name_elsewhere_is_not_skipped(serve: Serve) -> None:
    puller, _ = serve(lambda call: Reply({"items": [{"id": 1, "home": {"city": "Salem", "tabs": {"a": 1}}}]}))
    assert puller.pull(NESTED).manifest.undeclared == ("home.tabs.a",)


def with_keys(**options: Any) -> Table:
    declared: dict[str, Any] = {
        "pull": "window",
        "edited": ("from", "to"),
        "params": {"order": "asc"},
        "selected": "ids",
    }
    return replace(NUMBERED, **declared | options)


def test_selected_rows_are_one_parameter_without_a_time() -> None:
    params, window = request(VENDOR, with_keys(), Span(DAY, selected=("a", "b")), NOW)
    assert (params, window) == ({"order": "asc", "ids": "a,b"}, None)


def test_unselectable_rows_are_requested_as_usual() -> None:
    params, window = request(VENDOR, with_keys(selected=""), Span(DAY, selected=("a", "b")), NOW)
    assert params.keys() == {"order", "from", "to"}
    assert window is not None


@pytest.mark.parametrize("days", [2, 120])
def test_window_overlaps_the_last_pull_as_declared(days: int) -> None:
    params, _ = request(VENDOR, with_keys(overlap_days=days), Span(DAY, edited_since=NOW), NOW)
    assert datetime.fromisoformat(params["from"]) == NOW - timedelta(days=days)


def test_field_that_a_vendor_leaves_out_where_it_is_null_is_no_drift(serve: Serve) -> None:
    puller, _ = serve(lambda call: Reply([{"id": 1}]))
    table = replace(NUMBERED, shape=Whole())
    with pytest.raises(SchemaDrift, match="fields=name"):
        puller.pull(table)
    assert puller.pull(replace(table, omits_nulls=True)).manifest.staged == 1


def test_missing_required_field_is_drift_whatever_a_vendor_omits(serve: Serve) -> None:
    puller, _ = serve(lambda call: Reply([{"identifier": 1, "name": "x"}]))
    with pytest.raises(SchemaDrift, match=r"fields=id undeclared=identifier"):
        puller.pull(replace(NUMBERED, shape=Whole(), omits_nulls=True))


def test_rows_in_which_no_declared_field_is_and_others_are_is_drift_though_none_is_required(serve: Serve) -> None:
    puller, _ = serve(lambda call: Reply([{"identifier": 1, "label": "x"}]))
    optional = tuple(replace(col, required=False) for col in NUMBERED.columns)
    with pytest.raises(SchemaDrift, match=r"fields=id,name undeclared=identifier,label"):
        puller.pull(replace(NUMBERED, shape=Whole(), columns=optional, omits_nulls=True))
