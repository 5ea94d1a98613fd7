"""Thresholds are read from configuration; an invalid value is rejected with a message."""

from __future__ import annotations

from typing import Any

import pytest

from include.errors import ConfigurationError
from include.identity.policy import Policy


def test_no_overrides_give_the_defaults() -> None:
    assert Policy.of({}) == Policy()


def test_a_firm_sets_thresholds_and_no_more_than_those() -> None:
    assert Policy.of({"link_score": 5, "review_ratio": "0.1"}) == Policy(link_score=5.0, review_ratio=0.1)
    with pytest.raises(ConfigurationError, match="has_households is not a threshold; trusted is not a threshold"):
        Policy.of({"trusted": [], "has_households": False})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"link_score": "high"}, "link_score must be a number"),
        ({"link_score": True}, "link_score must be a number"),
        ({"review_score": None}, "review_score must be a number"),
        ({"link_score": "NaN"}, "link_score is nan, not above review_score and up to 40"),
        ({"link_score": 41}, "link_score is 41.0, not above review_score and up to 40"),
        ({"link_score": 2, "review_score": 2}, "link_score is 2.0, not above review_score and up to 40"),
        ({"review_score": -11}, "review_score is -11.0, not -10 or more"),
        ({"review_ratio": 0}, "review_ratio is 0.0, not above 0 and up to 1"),
        ({"review_ratio": 5}, "review_ratio is 5.0, not above 0 and up to 1"),
    ],
)
def test_nonsense_is_named(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Policy.of(config)
