"""The scopes that a caller can have."""

SCOPES = {
    "runs:write": "Start runs on demand",
    "records:write": "Push records",
    "status:read": "Read vendors, runs, pushes and freshness",
    "findings:read": "Read findings of the business rules, which describe households and accounts",
    "dead_letters:read": "Read dead letters, without their content",
    "dead_letters:replay": "Replay dead letters",
}
