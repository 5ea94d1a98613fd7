-- What `tributary_analyst` reads: a masked view of each table of `warehouse` (`masked_warehouse.<table>`) and of each mart
-- (`masked_mart.<view>`). This file declares once which columns are masked and how. A text, date or document that is not declared is left
-- out, so a new column stays hidden until it is declared.
create schema if not exists masked_warehouse;
create schema if not exists masked_mart;

do $$
declare
    masks jsonb := jsonb_build_object(
        'initial', 'upper(left(t.%1$I, 1)) || ''.''',                 -- Ada Sample: A.
        'year',    'date_trunc(''year'', t.%1$I)::date',              -- 1961-02-03: 1961-01-01
        'area',    'left(t.%1$I, 3)',                                 -- 94110: 941
        'present', 'case when t.%1$I is not null then ''***'' end',   -- only whether there is one
        'plain',   't.%1$I');
    always regtype[] := array['boolean', 'smallint', 'integer', 'bigint', 'bigint[]', 'double precision', 'numeric', 'timestamptz'];
    masked record;
begin
    for masked in
        with declared as (
            select unnest(string_to_array(columns, ' ')) as name, mask from (values
                ('name first_name last_name salutation person_name household_name representative_name account_name plan_name', 'initial'),
                ('owner_name insured_name sender_name actor_name waits_for', 'initial'),
                ('birth_date', 'year'),
                ('postal_code', 'area'),
                ('email phone street sender_email actor_email', 'present'),
                ('state_code country category gender', 'plain'),
                ('security.name template.name ticker cusip asset_class security_type', 'plain'),
                ('vendor entity mart table_name state stage status role event rule severity goal_type policy_type portfolio_type', 'plain'),
                ('registration_type registration_kind entity_kind account_type custodian institution management_style transaction_type type_code flow', 'plain'),
                ('purpose scenario version risk_model currency_code rejected_in', 'plain'),
                ('business_date valid_from valid_to open_date close_date trade_date settle_date rejected_date day', 'plain'),
                ('computed_on measured_on requested_on stated_on created_on updated_on changed_on happened_on completed_on', 'plain'),
                ('listed_on oldest_on newest_on won_on out_since last_seen back_on', 'plain')
            ) d(columns, mask)
        ), visible as (
            select n.nspname, c.relname, a.attnum, a.attname, coalesce(own.mask, d.mask, 'plain') as mask,
                   format_type(a.atttypid, a.atttypmod) as type
            from pg_class c join pg_namespace n on n.oid = c.relnamespace
            join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            left join declared d on d.name = a.attname
            left join declared own on own.name = c.relname || '.' || a.attname
            where (coalesce(own.mask, d.mask) is not null or a.atttypid = any(always))
              and (n.nspname = 'warehouse' and c.relkind in ('r', 'p') and not c.relispartition
                   and c.relname not in ('crm_change', 'sealed_value', 'source_key')
                   or n.nspname = 'mart' and c.relkind = 'v' and c.relname not in ('crm_change', 'record_version'))
        )
        select nspname, relname, string_agg(format(masks ->> mask, attname) || format(' as %I', attname), ', ' order by attnum) as listed,
               string_agg(format('%I %s', attname, case when mask in ('initial', 'area', 'present') then 'text' else type end), ', '
                          order by attnum) as columns
        from visible group by 1, 2
    loop
        if masked.nspname = 'warehouse' then
            execute format('create view masked_warehouse.%1$I as select %2$s from warehouse.%1$I t', masked.relname, masked.listed);
            execute format('grant select on masked_warehouse.%I to tributary_analyst', masked.relname);
            continue;
        end if;
        -- Marts read tables in functions, which run with the rights of the session. So a function with the rights of its owner reads the mart.
        execute format('create function masked_mart.read_%1$s() returns table (%2$s) language sql stable security definer
                        set search_path = pg_catalog, pg_temp as %3$L', masked.relname, masked.columns,
                       format('select %s from mart.%I t', masked.listed, masked.relname));
        execute format('create view masked_mart.%1$I as select * from masked_mart.read_%1$s()', masked.relname);
        execute format('revoke all on function masked_mart.read_%s() from public', masked.relname);
        execute format('grant execute on function masked_mart.read_%s() to tributary_analyst', masked.relname);
        execute format('grant select on masked_mart.%I to tributary_analyst', masked.relname);
    end loop;
end $$;
grant usage on schema masked_warehouse, masked_mart to tributary_analyst;
