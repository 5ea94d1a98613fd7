-- The rule that lowered a pair's score, as reviewers read it; null for none.
alter table control.identity_link add column rule text;
alter table control.identity_review add column rule text;
