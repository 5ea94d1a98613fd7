-- Records that match a text: a part of the name of a household, person, legal entity or account; a vendor's key; the id or key of a Salesforce record.
create function mart.lineage_search(of_text text)
returns table (entity text, vendor text, source_key text, name text, found_by text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    part text := '%' || replace(replace(replace(of_text, '\', '\\'), '%', '\%'), '_', '\_') || '%';
begin
    if of_text = '' then
        return;
    end if;
    return query
    (select 'household', h.vendor, h.household_key, h.name, 'name' from warehouse.household h
     where h.valid_to is null and h.recorded_to is null and h.name ilike part order by h.name limit 50)
    union all
    (select 'person', p.vendor, p.person_key, p.name, 'name' from warehouse.person p
     where p.valid_to is null and p.recorded_to is null and p.name ilike part order by p.name limit 50)
    union all
    (select 'legal_entity', l.vendor, l.legal_entity_key, l.name, 'name' from warehouse.legal_entity l
     where l.valid_to is null and l.recorded_to is null and l.name ilike part order by l.name limit 50)
    union all
    (select 'account', a.vendor, a.account_key, a.name, 'name' from warehouse.account a
     where a.valid_to is null and a.recorded_to is null and a.name ilike part order by a.name limit 50)
    union all
    (select k.entity, k.vendor, k.source_key, null, 'key' from warehouse.source_key k where k.source_key = of_text limit 50)
    union all
    (select split_part(s.external_key, ':', 3), split_part(s.external_key, ':', 2),
            control.current_key(regexp_replace(s.external_key, '^([^:]*:){3}', '')), s.sobject, 'Salesforce'
     from (select external_key, sobject from control.crm_state
           where left(of_text, 15) = left(salesforce_id, 15) and length(of_text) in (15, 18)
           union
           select external_key, sobject from control.crm_state
           where control.record_of(external_key) = control.record_of(of_text) and external_key = of_text) s limit 50);
end $$;
revoke all on function mart.lineage_search(text) from public;
grant execute on function mart.lineage_search(text) to tributary_web;
