-- Current deals, with the household of their account where we sync that account; the account of a person or legal entity leads to its
-- household. A household is served if a vendor of positions has it. won_on: the date in New York.
create view mart.deal as
with deal as (
    select r.salesforce_id, r.fields, r.changed_at, r.fields ->> 'AccountId' as account_salesforce_id,
           regexp_match(s.external_key, '^[^:]+:([^:]+):([^:]+):(.+)$') as key
    from warehouse.crm_record r
    left join control.crm_state s on s.sobject = 'Account' and s.salesforce_id = r.fields ->> 'AccountId' and s.missing is null
    where r.object = 'Opportunity' and not r.is_deleted
), led as (
    select d.*, coalesce(h.household_id, p.household_id, e.household_id) as record_id
    from deal d
    left join warehouse.source_key k on k.vendor = d.key[1] and k.entity = d.key[2] and k.source_key = control.current_key(d.key[3])
    left join warehouse.household h on k.entity = 'household' and h.household_id = k.id and h.valid_to is null and h.recorded_to is null
    left join warehouse.person p on k.entity = 'person' and p.person_id = k.id and p.valid_to is null and p.recorded_to is null
    left join warehouse.legal_entity e on k.entity = 'legal_entity' and e.legal_entity_id = k.id and e.valid_to is null and e.recorded_to is null
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
            then coalesce((g.since at time zone 'America/New_York')::date, (k.fields ->> 'CloseDate')::date) end as won_on,
       k.changed_at
from known k
join warehouse.source_key n on n.entity = 'deal' and n.vendor = 'salesforce' and n.source_key = k.salesforce_id
left join served s on s.household_id = k.household_id
left join mart.deal_stage g on g.salesforce_id = k.salesforce_id and g.until is null;
