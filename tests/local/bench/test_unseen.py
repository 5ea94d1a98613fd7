"""The measures of the benchmark on unseen data, on results whose quality is known."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import pyarrow as pa
import pytest

from local.bench.unseen import (
    ANSWERS,
    answer_in_sittings,
    answer_truly,
    evaluate_clusters,
    evaluate_names,
    evaluate_queue,
    find_limit,
    link_records,
)
from local.bench.unseen_firm import Unseen, make_unseen


@pytest.fixture(scope="module")
def unseen() -> Unseen:
    return make_unseen(400)


def clusters(people: Mapping[int, int]) -> pa.Table:
    return pa.table({"record_id": [*people], "person_id": [*people.values()]})


def test_truth_is_perfect(unseen: Unseen) -> None:
    result = evaluate_clusters(clusters(unseen.truth), unseen)
    ones = {f"{kind}_{name}" for kind in ("person", "entity") for name in ("precision", "recall", "whole")}
    assert {result[name] for name in ones} == {1.0}
    assert {result[name] for name in ("mixed", "unread", "two_tax_ids", "two_birth_dates")} == {0}


def test_one_cluster_of_all_has_no_precision(unseen: Unseen) -> None:
    result = evaluate_clusters(clusters(dict.fromkeys(unseen.truth, 1)), unseen)
    assert result["person_precision"] < 0.1
    assert result["person_recall"] == result["entity_recall"] == 1
    of_entities = sum(number in unseen.entities for number in unseen.truth.values())
    assert result["mixed"] == of_entities * (len(unseen.truth) - of_entities)
    assert result["two_tax_ids"] == result["two_birth_dates"] == 1


def test_second_owners_that_were_not_read_lower_the_recall(unseen: Unseen) -> None:
    result = evaluate_clusters(clusters({record: n for record, n in unseen.truth.items() if record > 0}), unseen)
    assert result["unread"] == 1
    assert result["person_recall"] < result["person_recall_read"] == 1


def test_queue_and_answers_follow_the_truth(unseen: Unseen) -> None:
    pairs = [*combinations(sorted(unseen.truth)[:40], 2)]
    pairs.sort(key=lambda pair: unseen.truth[pair[0]] != unseen.truth[pair[1]])
    review = pa.table({"left": [left for left, _ in pairs], "right": [right for _, right in pairs]})
    queue = evaluate_queue(review, len(unseen.truth), unseen)
    same = sum(unseen.truth[left] == unseen.truth[right] for left, right in pairs)
    assert queue["true"] == same / len(pairs)
    assert queue["deciles"] == sorted(queue["deciles"], reverse=True)
    assert sum(answer_truly(review, unseen, same + 10)["is_same"].to_pylist()) == same


def test_answers_of_several_sittings_raise_recall(unseen: Unseen) -> None:
    decisions = answer_in_sittings(unseen)
    pairs = list(zip(decisions["left"].to_pylist(), decisions["right"].to_pylist(), strict=True))
    assert 0 < len(pairs) <= ANSWERS
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)
    before, after = (
        evaluate_clusters(link_records(unseen.persons, each), unseen) for each in (decisions.slice(0, 0), decisions)
    )
    assert after["person_recall"] > before["person_recall"] + 0.02
    assert after["person_precision"] > 0.998


def test_limit_of_recall_leaves_room(unseen: Unseen) -> None:
    limit = find_limit(unseen)
    assert 0.93 < limit["person"] < 1
    assert 0.93 < limit["entity"] <= 1


def test_shares_of_names_count_every_label() -> None:
    joint, kinds, singles = evaluate_names().values()
    assert joint["two people, both surnames"][1] == singles["all"][1] == 500
    assert kinds["kind"][1] == sum(count for name, (_, count) in kinds.items() if name.startswith("kind: ")) == 2000
