-- What people change in Salesforce, as it told us, one row a record and change; nothing is ever changed or taken away. Our own
-- writes are not here.

create table warehouse.crm_change (
    change_id       bigint      generated always as identity primary key,
    object          text        not null,
    salesforce_id   text        not null,             -- of a platform event: its own id
    change_type     text        not null check (change_type in ('CREATE', 'UPDATE', 'DELETE', 'UNDELETE', 'REREAD', 'EVENT')),
    fields          jsonb       not null check (jsonb_typeof(fields) = 'object'),  -- new values of those that changed; null: cleared
    changed         text[]      not null,
    nulled          text[]      not null,
    committed_at    timestamptz not null,             -- by Salesforce's clock; of a REREAD the end of the second of its last change
    commit_number   bigint      not null,
    transaction_key text        collate "C" not null, -- with the next one the name of the change, by which it is known again
    sequence_number int         not null,
    commit_user     text        not null,
    origin          text        not null,
    recorded_at     timestamptz not null default clock_timestamp(),
    unique (transaction_key, sequence_number, object, salesforce_id)
);
create index crm_change_by_record on warehouse.crm_change (object, salesforce_id, committed_at);
revoke update, delete on warehouse.crm_change from tributary_load;

-- How far each topic was heard, in the transaction of what was heard.
create table control.crm_topic (
    topic         text        primary key,
    replay_id     bytea,                              -- where to go on; null: it was lost, and what was missed is read by query
    heard_at      timestamptz,                        -- the newest commit heard of, by Salesforce's clock
    looked_at     timestamptz,                        -- when the topic told anything last, if only that there is nothing
    trouble       text,                               -- why it can't be heard
    trouble_since timestamptz
);

create index crm_state_account_id on control.crm_state (salesforce_id) where sobject = 'Account';

-- Objects laid one over the other: of every field the last value.
create aggregate warehouse.fold(jsonb) (sfunc = jsonb_concat, stype = jsonb, initcond = '{}');

create view warehouse.crm_record as
select object, salesforce_id,
       warehouse.fold(fields order by committed_at, commit_number, sequence_number, change_id) as fields,
       (array_agg(case change_type when 'DELETE' then true when 'REREAD' then (fields ->> 'IsDeleted')::boolean else false end
                  order by committed_at desc, commit_number desc, sequence_number desc, change_id desc))[1] as is_deleted,
       max(committed_at) as changed_at
from warehouse.crm_change
where change_type <> 'EVENT'
group by 1, 2;

-- Which stage a deal was in, and when. Null: since before we listened. A record that was read again tells its stage once more, which
-- is no news where the change itself was told; that may be committed minutes after the record was stamped.
create view mart.deal_stage as
with told as (
    select c.salesforce_id, c.fields ->> 'StageName' as stage, c.committed_at, c.change_type,
           row_number() over (partition by c.salesforce_id order by c.committed_at, c.commit_number, c.sequence_number, c.change_id) as nth
    from warehouse.crm_change c
    where c.object = 'Opportunity' and c.fields ? 'StageName'
      and (c.change_type <> 'REREAD'
           or not exists (select from warehouse.crm_change u
                          where u.object = 'Opportunity' and u.salesforce_id = c.salesforce_id and u.change_type <> 'REREAD'
                            and u.fields ->> 'StageName' = c.fields ->> 'StageName'
                            and u.committed_at > c.committed_at - interval '1 second'
                            and u.committed_at < c.committed_at + interval '15 minutes'))
), moved as (
    select *, stage is distinct from lag(stage) over (partition by salesforce_id order by nth) or nth = 1 as is_move from told
)
select salesforce_id, stage, case when nth > 1 or change_type <> 'REREAD' then committed_at end as since,
       lead(committed_at) over (partition by salesforce_id order by nth) as until
from moved where is_move;

-- Deals as they are, with the household of their account, as far as we keep that account in Salesforce; a person's account leads to
-- the person's household. A household is served where a system that tells positions has it.
create view mart.deal as
with deal as (
    select r.salesforce_id, r.fields, r.changed_at, r.fields ->> 'AccountId' as account_salesforce_id,
           regexp_match(s.external_key, '^[^:]+:([^:]+):([^:]+):(.+)$') as key
    from warehouse.crm_record r
    left join control.crm_state s on s.sobject = 'Account' and s.salesforce_id = r.fields ->> 'AccountId' and s.missing is null
    where r.object = 'Opportunity' and not r.is_deleted
), led as (
    select d.*, coalesce(h.household_id, p.household_id) as record_id
    from deal d
    left join warehouse.source_key k on k.vendor = d.key[1] and k.entity = d.key[2] and k.source_key = d.key[3]
    left join warehouse.household h on k.entity = 'household' and h.household_id = k.id and h.valid_to is null and h.recorded_to is null
    left join warehouse.person p on k.entity = 'person' and p.person_id = k.id and p.valid_to is null and p.recorded_to is null
), known as (
    select l.*, coalesce(i.identity_id, l.record_id) as household_id
    from led l
    left join warehouse.identity i on i.entity = 'household' and i.id = l.record_id and i.recorded_to is null
), served as (
    select distinct coalesce(i.identity_id, h.household_id) as household_id
    from warehouse.household h
    left join warehouse.identity i on i.entity = 'household' and i.id = h.household_id and i.recorded_to is null
    where h.valid_to is null and h.recorded_to is null
      and h.vendor in (select distinct vendor from control.ledger where stage = 'load' and entity = 'position')
)
select n.id as deal_id, k.salesforce_id, k.fields ->> 'Name' as name, k.fields ->> 'StageName' as stage,
       coalesce((k.fields ->> 'IsWon')::boolean, false) as is_won, coalesce((k.fields ->> 'IsClosed')::boolean, false) as is_closed,
       (k.fields ->> 'Amount')::numeric(18, 2) as amount, coalesce(k.fields ->> 'CurrencyIsoCode', 'USD') as currency_code,
       (k.fields ->> 'CloseDate')::date as close_date, k.account_salesforce_id, k.household_id,
       s.household_id is not null as is_served,
       case when (k.fields ->> 'IsWon')::boolean
            then coalesce((g.since at time zone 'UTC')::date, (k.fields ->> 'CloseDate')::date) end as won_on,
       k.changed_at
from known k
join warehouse.source_key n on n.entity = 'deal' and n.vendor = 'salesforce' and n.source_key = k.salesforce_id
left join served s on s.household_id = k.household_id
left join mart.deal_stage g on g.salesforce_id = k.salesforce_id and g.until is null;

-- Every change of an account or contact, with our key where we keep the record.
create view mart.crm_change as
select c.object, c.salesforce_id, s.external_key, c.change_type, c.changed, c.nulled, c.fields, c.committed_at, c.commit_user,
       c.origin, c.recorded_at
from warehouse.crm_change c
left join control.crm_state s on s.sobject = c.object and s.salesforce_id = c.salesforce_id
where c.change_type <> 'EVENT';

grant select on mart.deal, mart.deal_stage, mart.crm_change to tributary_load, tributary_read;

alter table control.finding drop constraint finding_subject_entity_check,
    add constraint finding_subject_entity_check check (subject_entity in ('account', 'household', 'person', 'deal'));
