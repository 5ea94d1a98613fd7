"""What a caller may be allowed."""

SCOPES = {
    "runs:write": "Start runs on demand",
    "records:write": "Push records",
    "status:read": "Read vendors, runs, pushes and freshness",
    "findings:read": "Read findings of the business rules, which speak of households and accounts",
    "letters:read": "Read dead letters, without their content",
    "letters:replay": "Send dead letters again",
}
