"""The same person, household and account across vendors: explainable links under constraints, doubtful pairs to a person.

Pure: Arrow tables in, Arrow tables out. `link.link` is the way in for persons, `household.link_households` and
`account.link_accounts` build on its clusters.
"""
