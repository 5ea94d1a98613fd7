"""Match persons, households and accounts across vendors: explainable links under constraints, doubtful pairs to a reviewer.

The matching is pure: Arrow tables in, Arrow tables out. `link.link` matches persons; `household.link_households` and
`account.link_accounts` build on its clusters.
"""
