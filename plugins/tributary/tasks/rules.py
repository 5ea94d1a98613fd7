"""The task of the DAG `preview_thresholds`."""

from __future__ import annotations

from typing import Any

from airflow.sdk import task


@task
def preview(params: Any = None) -> list[dict[str, Any]]:
    """Count each rule's findings under the thresholds in force and under the proposed ones; return the counts as in `RulePreview`."""
    from include.rules.policy import Policy
    from include.rules.preview import preview as preview_rules
    from tributary import connections

    found = preview_rules(
        connections.database(), connections.rule_policy(), Policy.of(params["thresholds"]), *connections.rules()
    )
    return [dict(each) for each in found]
