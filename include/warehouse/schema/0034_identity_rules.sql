-- The rule that lowered a pair's score, as reviewers read it; null for none.
alter table control.identity_link add column rule text;
alter table control.identity_review add column rule text;
-- How much an answer matters: the highest come first.
alter table control.identity_review add column rank double precision;

-- The preview of a decision reads persons as the matching does.
grant select (registration_id, person_id, registration_type, valid_to, recorded_to) on warehouse.registration to tributary_web;
