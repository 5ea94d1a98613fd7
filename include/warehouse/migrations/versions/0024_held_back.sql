-- What Salesforce is not given, and what people decided about it.

-- A change that was too great to be sent without a person's decision, and the decision. Never deleted: a rejection counts until the
-- difference is another one.
create table control.crm_question (
    question_id  bigint      generated always as identity primary key,
    entity       text        not null,
    question     text        not null check (question in ('change', 'close', 'worth')),
    records      bigint      not null,            -- how many it is about; of `worth`: dollars
    difference   text        not null,            -- identifies what would change: another difference is another question
    wording      text        not null,            -- as the person reads it
    run_id       text        not null,            -- that found it
    asked_at     timestamptz not null default clock_timestamp(),
    is_approved  boolean,                         -- null while it waits
    reason       text,
    decided_by   text,
    decided_at   timestamptz,
    used_by      text,                            -- the run that sent what was approved: an approval counts once
    check ((is_approved is null) = (decided_at is null) and (is_approved is null) = (decided_by is null)),
    check (is_approved is not false or reason <> ''),
    check (used_by is null or is_approved)
);
create index crm_question_newest on control.crm_question (entity, question, question_id desc);

-- What the newest sync of everything held back, one row an object and cause.
create table control.crm_held (
    entity       text        not null,
    cause        text        not null check (cause in ('vendor', 'approval', 'failure', 'parent')),
    subject      text        not null,            -- the vendor, the question or the class of the error; empty for a parent
    records      bigint      not null,
    reason       text        not null,
    since        timestamptz not null,
    alerted_at   timestamptz,                     -- null until people were alerted: once a state, not once a run
    run_id       text        not null,
    primary key (entity, cause, subject)
);

-- A decision on who is who that was taken back before a run used it: the pair is undecided again.
alter table control.identity_decision add is_withdrawn boolean not null default false;
create or replace view control.identity_said as
select * from (
    select distinct on (entity, left_id, right_id) * from control.identity_decision
    order by entity, left_id, right_id, decision_id desc
) newest where not is_withdrawn;

-- Of each Salesforce object some records that it accepted last, and when it says that they were changed: if it says earlier, the org
-- was restored from a backup.
create table control.crm_mark (
    sobject        text        not null,
    salesforce_id  text        not null,
    modified_at    timestamptz not null,          -- by Salesforce's clock
    primary key (sobject, salesforce_id)
);
