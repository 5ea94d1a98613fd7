-- AUM per business date and asset class. The class is that of the record that represents the security (if the firm no longer uses its vendor,
-- of the first vendor in use that has a class, as in `warehouse.known_security`); where it has none, the vendor's own, then another vendor's. A
-- position with several owners is one of `positions`.
create function mart.aum_by_asset_class_as_known(known_at timestamptz)
returns table (business_date date, asset_class text, aum_usd numeric, positions bigint)
language sql stable as $$
    with unused as (
        select vendor from mart.unused_vendor_known(known_at)
    ), other as (
        select distinct on (i.identity_id) i.identity_id, s.asset_class,
               case when c.vendor not in (select vendor from unused) and k.vendor in (select vendor from unused) then i.id end as successor_id
        from warehouse.identity i
        join mart.security_known(known_at) s on s.security_id = i.id and upper_inf(s.covers) and s.asset_class is not null
        join warehouse.source_key c on c.id = i.id
        join warehouse.source_key k on k.id = i.identity_id
        where i.entity = 'security' and i.recorded_from <= known_at and (i.recorded_to is null or i.recorded_to > known_at)
        order by i.identity_id, c.vendor in (select vendor from unused), i.id
    )
    select p.business_date, coalesce(s.asset_class, v.asset_class, o.asset_class), round(sum(p.market_value_usd), 2),
           count(distinct (p.vendor, p.position_key))
    from mart.holding_as_known(known_at) p
    left join other o on o.identity_id = p.security_id
    left join mart.security_known(known_at) s
           on s.security_id = coalesce(o.successor_id, p.security_id) and mart.is_valid_on(s.covers, p.business_date)
    left join mart.security_known(known_at) v on v.security_id = p.own_security_id and mart.is_valid_on(v.covers, p.business_date)
    group by 1, 2
$$;
create view mart.aum_by_asset_class as select * from mart.aum_by_asset_class_as_known('infinity');
