-- What only a past date has told of is not of today: history shows it, and nothing that speaks of the present does.
-- Every line that names the column is a change; without these, the rest is as it was.

alter table warehouse.representative add column is_past_only boolean not null default false;
alter table warehouse.household add column is_past_only boolean not null default false;
alter table warehouse.person add column is_past_only boolean not null default false;
alter table warehouse.registration add column is_past_only boolean not null default false;
alter table warehouse.account add column is_past_only boolean not null default false;
alter table warehouse.account_owner add column is_past_only boolean not null default false;
alter table warehouse.security add column is_past_only boolean not null default false;
alter table warehouse.plan add column is_past_only boolean not null default false;
alter table warehouse.goal add column is_past_only boolean not null default false;
alter table warehouse.outside_account add column is_past_only boolean not null default false;
alter table warehouse.insurance_policy add column is_past_only boolean not null default false;
alter table warehouse.template add column is_past_only boolean not null default false;
alter table warehouse.portfolio add column is_past_only boolean not null default false;
alter table warehouse.questionnaire add column is_past_only boolean not null default false;

-- Each household record with the one that stands for it, and of every attribute the first vendor's that knows it. One record of
-- each is the anchor, by which it is counted; vendor and key stay those of the record that stands for it, also if that is gone.
create or replace view warehouse.known_household as
with record as (
    select h.household_id, h.vendor, h.name, h.category, h.street, h.city, h.state_code, h.postal_code, h.country, h.email, h.phone,
           h.representative_id, h.is_active, coalesce(i.identity_id, h.household_id) as identity_id
    from warehouse.household h
    left join warehouse.identity i on i.entity = 'household' and i.id = h.household_id and i.recorded_to is null
    where h.valid_to is null and h.recorded_to is null
      and not h.is_past_only
)
select r.household_id, r.identity_id,
       row_number() over (partition by r.identity_id order by r.household_id <> r.identity_id, r.household_id) = 1 as is_anchor,
       k.vendor, k.source_key as household_key,
       first_value(r.name) over names as name,
       first_value(r.category) over categories as category,
       first_value(r.street) over addresses as street, first_value(r.city) over addresses as city,
       first_value(r.state_code) over addresses as state_code, first_value(r.postal_code) over addresses as postal_code,
       first_value(r.country) over addresses as country,
       first_value(r.email) over emails as email,
       first_value(r.phone) over phones as phone,
       first_value(r.representative_id) over representatives as representative_id,
       first_value(r.is_active) over activities as is_active
from record r
join warehouse.source_key k on k.id = r.identity_id
window names as (partition by r.identity_id order by r.name is null, warehouse.rank_of(r.vendor, 'name'), r.household_id),
       categories as (partition by r.identity_id order by r.category is null, warehouse.rank_of(r.vendor, 'category'), r.household_id),
       addresses as (partition by r.identity_id order by r.street is null, warehouse.rank_of(r.vendor, 'address'), r.household_id),
       emails as (partition by r.identity_id order by r.email is null, warehouse.rank_of(r.vendor, 'email'), r.household_id),
       phones as (partition by r.identity_id order by r.phone is null, warehouse.rank_of(r.vendor, 'phone'), r.household_id),
       representatives as (partition by r.identity_id
                           order by r.representative_id is null, warehouse.rank_of(r.vendor, 'representative'), r.household_id),
       activities as (partition by r.identity_id order by r.is_active is null, warehouse.rank_of(r.vendor, ''), r.household_id);

-- The same of persons.
create or replace view warehouse.known_person as
with record as (
    select p.person_id, p.vendor, p.name, p.first_name, p.last_name, p.birth_date, p.email, p.phone, p.household_id,
           coalesce(i.identity_id, p.person_id) as identity_id
    from warehouse.person p
    left join warehouse.identity i on i.entity = 'person' and i.id = p.person_id and i.recorded_to is null
    where p.valid_to is null and p.recorded_to is null
      and not p.is_past_only
)
select r.person_id, r.identity_id,
       row_number() over (partition by r.identity_id order by r.person_id <> r.identity_id, r.person_id) = 1 as is_anchor,
       k.vendor, k.source_key as person_key,
       first_value(r.name) over names as name, first_value(r.first_name) over names as first_name,
       first_value(r.last_name) over names as last_name,
       first_value(r.birth_date) over births as birth_date,
       first_value(r.email) over emails as email,
       first_value(r.phone) over phones as phone,
       first_value(r.household_id) over homes as household_id
from record r
join warehouse.source_key k on k.id = r.identity_id
window names as (partition by r.identity_id
                 order by coalesce(r.last_name, r.name) is null, warehouse.rank_of(r.vendor, 'name'), r.person_id),
       births as (partition by r.identity_id order by r.birth_date is null, warehouse.rank_of(r.vendor, 'birth_date'), r.person_id),
       emails as (partition by r.identity_id order by r.email is null, warehouse.rank_of(r.vendor, 'email'), r.person_id),
       phones as (partition by r.identity_id order by r.phone is null, warehouse.rank_of(r.vendor, 'phone'), r.person_id),
       homes as (partition by r.identity_id order by r.household_id is null, warehouse.rank_of(r.vendor, 'household'), r.person_id);

-- What a household has, as far as vendors tell: its share of what the firm manages, and what is held elsewhere. An account that
-- is another one's copy counts once, as the original; of each account the newest value that was known.
create or replace function mart.net_worth_as_known(known_at timestamptz)
returns table (household_id bigint, household_name text, managed_usd numeric, held_away_usd numeric, net_worth_usd numeric,
               accounts bigint, copies bigint)
language sql stable as $$
    with same as (
        select entity, id, identity_id from warehouse.identity
        where recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
    ), held as (
        select o.household_id, a.account_id, true as is_managed, o.share_ratio * v.market_value_usd as value_usd
        from mart.account_known(known_at) a
        join mart.account_owner_known(known_at) o on o.account_id = a.account_id and upper_inf(o.covers)
        join lateral (
            select market_value_usd from warehouse.account_value w
            where w.account_id = a.account_id and w.recorded_from <= known_at and (w.recorded_to is null or w.recorded_to > known_at)
            order by business_date desc limit 1
        ) v on true
        where upper_inf(a.covers) and a.is_counted
          and not exists (select from warehouse.account p where p.account_id = a.account_id and p.is_past_only and p.recorded_to is null)
        union all
        select a.household_id, a.outside_account_id, false, v.market_value_usd
        from warehouse.outside_account a
        join lateral (
            select market_value_usd from warehouse.outside_value w
            where w.outside_account_id = a.outside_account_id
              and w.recorded_from <= known_at and (w.recorded_to is null or w.recorded_to > known_at)
            order by asked_on desc, asked_at desc limit 1
        ) v on true
        where a.valid_to is null and a.recorded_from <= known_at and (a.recorded_to is null or a.recorded_to > known_at)
    ), counted as (
        select coalesce(h.identity_id, held.household_id) as household_id, held.account_id, held.is_managed, held.value_usd,
               c.id is not null as is_copy
        from held
        left join same h on h.entity = 'household' and h.id = held.household_id
        left join same c on c.entity = 'account' and c.id = held.account_id
    )
    select c.household_id, h.household_name,
           coalesce(round(sum(value_usd) filter (where is_managed and not is_copy), 2), 0),
           coalesce(round(sum(value_usd) filter (where not is_managed and not is_copy), 2), 0),
           coalesce(round(sum(value_usd) filter (where not is_copy), 2), 0),
           count(distinct account_id) filter (where not is_copy), count(distinct account_id) filter (where is_copy)
    from counted c
    left join mart.household_known(known_at) h on h.household_id = c.household_id and upper_inf(h.covers)
    group by 1, 2
$$;
