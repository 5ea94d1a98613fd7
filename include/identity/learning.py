"""Learn from reviewers' decisions how often the pairs of a rule are one person."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

ANSWERS = pa.schema({"rule": pa.string(), "score": pa.float64(), "is_same": pa.bool_()})
"""Reviewers' answers on pairs: the rule, and the score by the built-in numbers."""

LESSONS = pa.schema(
    {
        "rule": pa.string(),  # of `RULES` in `pair_rules.py` or `CONFLICTS` in `queue.py`
        "answers": pa.int64(),
        "same": pa.int64(),  # answers that both records are one person
        "expected": pa.float64(),  # share of them that the built-in numbers expect (0-1)
        "bits": pa.float64(),  # added to the score of every pair of the rule
    }
)
"""Schema of the corrections of the rules' scores, learned from a firm's decisions."""

LEAST_ANSWERS = 20
"""Minimum number of answers on pairs of a rule. With fewer, the rule stays as it is."""

PRIOR_ANSWERS = 10
"""The built-in score of a rule counts as much as this number of answers."""

DOUBT = 0.05
"""Probability that the true share is beyond the bound that is used."""

MOST_BITS = 4.0

_SHARES = np.linspace(0.0005, 0.9995, 2000)


def learn(answers: pa.Table) -> pa.Table:
    """Return the LESSONS of reviewers' answers; the order of the answers does not matter.

    The share of pairs that are one person has a Beta distribution: the built-in share counts as `PRIOR_ANSWERS` answers. The rule changes
    only if the built-in share is outside the distribution's bounds, and then only as far as the nearer bound.

    Args:
        answers: Table with the schema ANSWERS.
    """
    by_rule: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for rule, score, is_same in zip(*(answers[name].to_pylist() for name in ("rule", "score", "is_same")), strict=True):
        by_rule[rule].append((1 / (1 + 2**-score), is_same))
    rows = []
    for rule, pairs in sorted(by_rule.items()):
        expected, same = math.fsum(chance for chance, _ in pairs) / len(pairs), sum(is_same for _, is_same in pairs)
        bits = _weigh(expected, same, len(pairs)) if len(pairs) >= LEAST_ANSWERS else 0.0
        rows.append({"rule": rule, "answers": len(pairs), "same": same, "expected": expected, "bits": bits})
    return pa.Table.from_pylist(rows, schema=LESSONS)


def read_bits(lessons: pa.Table) -> Mapping[str, float]:
    """Return the bits to add to the score of a pair, by rule; without the rules that stay as they are."""
    return {
        rule: bits for rule, bits in zip(*(lessons[name].to_pylist() for name in ("rule", "bits")), strict=True) if bits
    }


def apply(scored: pa.Table, lessons: pa.Table) -> pa.Table:
    """Return scored pairs with the lessons applied to their scores.

    Args:
        scored: From `include.identity.score.score`. No pair gets a higher score than its `limit`, which follows from the other rules.
        lessons: Table with the schema LESSONS.
    """
    bits = read_bits(lessons)
    if not bits:
        return scored
    coded = scored["rule"].combine_chunks().dictionary_encode()
    by_code = np.array([*(bits.get(rule, 0.0) for rule in coded.dictionary.to_pylist()), 0.0])
    added = by_code[coded.indices.fill_null(len(by_code) - 1).to_numpy(zero_copy_only=False)]
    before, limit = scored["score"].to_numpy(), scored["limit"].to_numpy()
    after = np.where(
        added == 0, before, np.maximum(np.minimum(before + added, limit), np.minimum(before, before + added))
    )
    return scored.set_column(scored.schema.get_field_index("score"), "score", pa.array(after.round(2)))


def _weigh(expected: float, same: int, answers: int) -> float:
    """Return the bits by which the answers change the odds."""
    ours, others = expected * PRIOR_ANSWERS + same, (1 - expected) * PRIOR_ANSWERS + answers - same
    density = (ours - 1) * np.log(_SHARES) + (others - 1) * np.log1p(-_SHARES)
    total = np.cumsum(np.exp(density - np.max(density)))
    low, high = np.interp([DOUBT, 1 - DOUBT], total / total[-1], _SHARES)
    bound = max(min(expected, float(high)), float(low))
    bits = math.log2(bound / (1 - bound)) - math.log2(expected / (1 - expected))
    return round(max(-MOST_BITS, min(bits, MOST_BITS)), 2)
