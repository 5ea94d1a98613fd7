-- One security is one, whichever vendors hold it: rows keep their own ids, identity points them to the one that stands for all.
alter table warehouse.identity drop constraint identity_entity_check,
    add constraint identity_entity_check check (entity in ('person', 'household', 'account', 'security'));

-- Securities that bear one number but are different kinds of thing: they stay apart until the vendors agree.
create table control.security_conflict (
    number       text        primary key,        -- CUSIP or ISIN
    security_ids bigint[]    not null,
    kinds        text[]      not null,           -- of each: the vendor, and its word for the kind
    since        timestamptz not null default clock_timestamp(),
    run_id       text        not null
);

-- Each security record with the one that stands for it. What that one does not know, the others add. One record of each is the anchor,
-- by which it is counted; vendor and key stay those of the record that stands for it.
create view warehouse.known_security as
with record as (
    select s.security_id, s.vendor, s.name, s.ticker, s.cusip, s.asset_class, s.category, s.security_type,
           coalesce(i.identity_id, s.security_id) as identity_id
    from warehouse.security s
    left join warehouse.identity i on i.entity = 'security' and i.id = s.security_id and i.recorded_to is null
    where s.valid_to is null and s.recorded_to is null and not s.is_past_only
)
select r.security_id, r.identity_id,
       row_number() over (partition by r.identity_id order by r.security_id <> r.identity_id, r.security_id) = 1 as is_anchor,
       k.vendor, k.source_key as security_key,
       first_value(r.name) over names as name,
       first_value(r.ticker) over tickers as ticker,
       first_value(r.cusip) over cusips as cusip,
       first_value(r.asset_class) over classes as asset_class,
       first_value(r.category) over categories as category,
       first_value(r.security_type) over types as security_type
from record r
join warehouse.source_key k on k.id = r.identity_id
window names as (partition by r.identity_id order by r.name is null, r.security_id <> r.identity_id, r.security_id),
       tickers as (partition by r.identity_id order by r.ticker is null, r.security_id <> r.identity_id, r.security_id),
       cusips as (partition by r.identity_id order by r.cusip is null, r.security_id <> r.identity_id, r.security_id),
       classes as (partition by r.identity_id order by r.asset_class is null, r.security_id <> r.identity_id, r.security_id),
       categories as (partition by r.identity_id order by r.category is null, r.security_id <> r.identity_id, r.security_id),
       types as (partition by r.identity_id order by r.security_type is null, r.security_id <> r.identity_id, r.security_id);

-- Records in Salesforce of what turned out to be another record's: no longer written, and named by nothing of ours.
create view control.crm_superseded as
select s.sobject, s.salesforce_id, s.external_key,
       s.parts[1] || ':' || o.vendor || ':' || o.entity || ':' || o.source_key as stands_for_it
from (select *, string_to_array(external_key, ':') as parts from control.crm_state) s
join warehouse.source_key k on k.vendor = s.parts[2] and k.entity = s.parts[3] and k.source_key = array_to_string(s.parts[4:], ':')
join warehouse.identity i on i.entity = k.entity and i.id = k.id and i.recorded_to is null
join warehouse.source_key o on o.id = i.identity_id;

-- `primary`: whose share counts. `joint`: owns the whole together with the first, so that no sum has a share of it. Until now all were primary.
alter table warehouse.account_owner add column role text default 'primary';
alter table warehouse.account_owner alter column role drop default;

create or replace function mart.account_owner_known(known_at timestamptz)
returns table (account_id bigint, household_id bigint, person_id bigint, share_ratio numeric, covers daterange)
language sql stable as $$
    select account_id, household_id, person_id, share_ratio,
           daterange(case when valid_from > min(valid_from) over (partition by account_id) then valid_from end, valid_to)
    from warehouse.account_owner
    where recorded_from <= known_at and (recorded_to is null or recorded_to > known_at) and role is distinct from 'joint'
$$;

-- `security_id` is the one that stands for the security at all vendors; `own_security_id` is the vendor's.
drop function mart.holding_as_known(timestamptz);
create function mart.holding_as_known(known_at timestamptz)
returns table (business_date date, vendor text, position_key text, account_id bigint, security_id bigint, household_id bigint,
               quantity numeric, market_value_usd numeric, currency_code char(3), own_security_id bigint)
language sql stable as $$
    select p.business_date, p.vendor, p.position_key, p.account_id, coalesce(s.identity_id, p.security_id), o.household_id,
           p.quantity * o.share_ratio, p.market_value_usd * o.share_ratio, p.currency_code, p.security_id
    from warehouse.position p
    join mart.account_known(known_at) a on a.account_id = p.account_id and a.covers @> p.business_date and a.is_counted
    join mart.account_owner_known(known_at) o on o.account_id = p.account_id and o.covers @> p.business_date
    left join warehouse.identity s on s.entity = 'security' and s.id = p.security_id
          and s.recorded_from <= known_at and (s.recorded_to is null or s.recorded_to > known_at)
    where p.recorded_from <= known_at and (p.recorded_to is null or p.recorded_to > known_at)
      and not exists (select from warehouse.identity i
                      where i.entity = 'account' and i.id = p.account_id
                        and i.recorded_from <= known_at and (i.recorded_to is null or i.recorded_to > known_at))
$$;
grant execute on function mart.holding_as_known(timestamptz) to tributary_load, tributary_read;

-- By the class of the security that stands for all; where that has none, by the vendor's own, or another vendor's.
create or replace function mart.aum_by_asset_class_as_known(known_at timestamptz)
returns table (business_date date, asset_class text, aum_usd numeric, positions bigint)
language sql stable as $$
    with other as (
        select distinct on (i.identity_id) i.identity_id, s.asset_class
        from warehouse.identity i
        join mart.security_known(known_at) s on s.security_id = i.id and upper_inf(s.covers) and s.asset_class is not null
        where i.entity = 'security' and i.recorded_from <= known_at and (i.recorded_to is null or i.recorded_to > known_at)
        order by i.identity_id, i.id
    )
    select p.business_date, coalesce(s.asset_class, v.asset_class, o.asset_class), round(sum(p.market_value_usd), 2), count(*)
    from mart.holding_as_known(known_at) p
    left join mart.security_known(known_at) s on s.security_id = p.security_id and s.covers @> p.business_date
    left join mart.security_known(known_at) v on v.security_id = p.own_security_id and v.covers @> p.business_date
    left join other o on o.identity_id = p.security_id
    group by 1, 2
$$;
