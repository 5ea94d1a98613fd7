-- The rows of which the balances of a household, a person, a legal entity or an account consist on a business date, as known at a time: positions, whose sum is
-- AUM (`mart.aum_by_household`), and values of accounts as the vendors state them. The accounts that count are those of `mart.holding`.
create function mart.lineage_balance(of_entity text, of_id bigint, of_day date, known_at timestamptz)
returns table (entity text, vendor text, source_key text, account_id bigint, account_key text, account_name text, share_ratio numeric,
               value_usd numeric, recorded_from timestamptz, ledger_id bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    accounts bigint[] := array(
        select distinct o.account_id from warehouse.account_owner o
        where of_entity = 'household' and o.household_id = of_id or of_entity = 'person' and o.person_id = of_id
              or of_entity = 'legal_entity' and o.legal_entity_id = of_id
        union select of_id where of_entity = 'account');
    vendors text[] := array(select distinct k.vendor from warehouse.source_key k where k.id = any(accounts));
begin
    return query
    with owned as materialized (
        select a.account_id, k.source_key as account_key, a.account_name, sum(o.share_ratio) as share_ratio
        from mart.account_known(known_at) a
        join warehouse.source_key k on k.id = a.account_id
        join mart.account_owner_known(known_at) o on o.account_id = a.account_id and o.account_id = any(accounts) and mart.is_valid_on(o.covers, of_day)
             and case of_entity when 'household' then o.household_id = of_id when 'person' then o.person_id = of_id
                  when 'legal_entity' then o.legal_entity_id = of_id else true end
        where a.account_id = any(accounts) and mart.is_valid_on(a.covers, of_day) and a.is_counted
          and not exists (select from mart.account_copy_known(known_at) c
                          join warehouse.position q on q.account_id = c.preferred_id
                          where c.account_id = a.account_id and q.business_date = of_day
                            and q.recorded_from <= known_at and (q.recorded_to is null or q.recorded_to > known_at))
        group by 1, 2, 3
    ), part as (
        select 'account_value' as entity, v.vendor, v.account_value_key as source_key, v.account_id, v.market_value_usd, v.recorded_from, v.source_run_id
        from warehouse.account_value v
        where v.business_date = of_day and v.vendor = any(vendors) and v.account_id = any(accounts)
          and v.recorded_from <= known_at and (v.recorded_to is null or v.recorded_to > known_at)
        union all
        select 'position', p.vendor, p.position_key, p.account_id, p.market_value_usd, p.recorded_from, p.source_run_id
        from warehouse.position p
        where p.business_date = of_day and p.vendor = any(vendors) and p.account_id = any(accounts)
          and p.recorded_from <= known_at and (p.recorded_to is null or p.recorded_to > known_at)
    )
    select p.entity, p.vendor, p.source_key, o.account_id, o.account_key, o.account_name, o.share_ratio, p.market_value_usd * o.share_ratio,
           p.recorded_from, p.source_run_id
    from part p join owned o on o.account_id = p.account_id
    order by p.entity, o.account_key, p.source_key;
end $$;
revoke all on function mart.lineage_balance(text, bigint, date, timestamptz) from public;
grant execute on function mart.lineage_balance(text, bigint, date, timestamptz) to tributary_web;
