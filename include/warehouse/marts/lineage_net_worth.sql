-- The parts of the net worth of the household that a record is one of, as known at a time: `mart.net_worth_part` for its accounts alone.
create function mart.lineage_net_worth(of_id bigint, known_at timestamptz)
returns table (entity text, vendor text, source_key text, account_entity text, account_key text, account_name text, business_date date,
               share_ratio numeric, value_usd numeric, recorded_from timestamptz, ledger_id bigint, is_managed boolean,
               counted_entity text, counted_vendor text, counted_key text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    home bigint := coalesce((select i.identity_id from warehouse.identity i
                             where i.entity = 'household' and i.id = of_id
                               and i.recorded_from <= known_at and (i.recorded_to is null or i.recorded_to > known_at)), of_id);
    homes bigint[] := home || array(select i.id from warehouse.identity i
                                    where i.entity = 'household' and i.identity_id = home
                                      and i.recorded_from <= known_at and (i.recorded_to is null or i.recorded_to > known_at));
    held bigint[] := array(select o.account_id from warehouse.account_owner o where o.household_id = any(homes)
                           union select a.outside_account_id from warehouse.outside_account a where a.household_id = any(homes));
    originals bigint[] := held || array(select i.identity_id from warehouse.identity i
                                        where i.entity = 'account' and i.id = any(held)
                                          and i.recorded_from <= known_at and (i.recorded_to is null or i.recorded_to > known_at));
    accounts bigint[] := originals || array(select i.id from warehouse.identity i
                                            where i.entity = 'account' and i.identity_id = any(originals)
                                              and i.recorded_from <= known_at and (i.recorded_to is null or i.recorded_to > known_at));
begin
    return query
    select case when p.is_managed then 'account_value' else 'outside_value' end, k.vendor, p.value_key, k.entity, k.source_key, p.account_name,
           p.business_date, p.share_ratio, p.value_usd, p.recorded_from, p.source_run_id, p.is_managed, c.entity, c.vendor, c.source_key
    from mart.net_worth_part(known_at, accounts) p
    join warehouse.source_key k on k.id = p.account_id
    left join warehouse.source_key c on c.id = p.counted_id and p.counted_id <> p.account_id
    where p.household_id = home
    order by c.id is not null, not p.is_managed, p.account_name, k.vendor, k.source_key;
end $$;
revoke all on function mart.lineage_net_worth(bigint, timestamptz) from public;
grant execute on function mart.lineage_net_worth(bigint, timestamptz) to tributary_web;
