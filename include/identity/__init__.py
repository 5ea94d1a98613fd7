"""Match persons, households and accounts across vendors. Every link has reasons; a reviewer decides doubtful pairs.

The matching functions are pure: Arrow tables in, Arrow tables out. `link.link` matches persons; `household.link_households` and
`account.link_accounts` use its result.
"""
