-- Each security record with the record that represents it, whose missing attributes the other records fill, and all attributes if the firm no
-- longer uses its vendor. One record of each security is the anchor, by which it is counted; vendor and key are those of the representing record.
create view warehouse.known_security as
with record as (
    select s.security_id, s.vendor, s.name, s.ticker, s.cusip, s.asset_class, s.category, s.security_type,
           coalesce(i.identity_id, s.security_id) as identity_id,
           s.vendor in (select vendor from mart.unused_vendor_known('infinity')) as is_unused
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
window names as (partition by r.identity_id order by r.name is null, r.is_unused, r.security_id <> r.identity_id, r.security_id),
       tickers as (partition by r.identity_id order by r.ticker is null, r.is_unused, r.security_id <> r.identity_id, r.security_id),
       cusips as (partition by r.identity_id order by r.cusip is null, r.is_unused, r.security_id <> r.identity_id, r.security_id),
       classes as (partition by r.identity_id order by r.asset_class is null, r.is_unused, r.security_id <> r.identity_id, r.security_id),
       categories as (partition by r.identity_id order by r.category is null, r.is_unused, r.security_id <> r.identity_id, r.security_id),
       types as (partition by r.identity_id order by r.security_type is null, r.is_unused, r.security_id <> r.identity_id, r.security_id);
