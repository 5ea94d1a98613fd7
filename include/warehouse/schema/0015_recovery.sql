-- Backup and recovery: what a backup is compared with after a restore, and what must wait until a restored database is safe to use.

-- The restores of this database that `check-restore` has seen, one row per cluster and timeline: each recovery starts a new timeline.
create table control.restore (
    system_identifier bigint      not null,
    timeline_id       int         not null,
    recorded_at       timestamptz not null default clock_timestamp(),
    read_back_at      timestamptz,               -- when Salesforce was read back; until then, nothing is written to Salesforce
    primary key (system_identifier, timeline_id)
);
comment on table control.restore is 'Restores of this database from a backup; no sync writes to Salesforce until the org was read back';
revoke insert, update, delete on control.restore from tributary_load;
grant update (read_back_at) on control.restore to tributary_load;
create trigger audit after insert on control.restore for each row
    execute function control.audit_row('database.restored', '', 'system_identifier timeline_id', '');

-- Tokens that may have been used after the backup. A vendor ends a grant whose token is used twice, so a stale one is never sent.
alter table control.refresh_token add column stale_since timestamptz;
comment on column control.refresh_token.stale_since is 'Restored from a backup at this time; the grant must be authorized again';
grant select (stale_since) on control.refresh_token to tributary_read;

-- Row count and exact sums of the money columns (*_usd) of a query. The relation has the query's columns.
create function control.sum_money(relation regclass, query text) returns jsonb
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    sums text;
    result jsonb;
begin
    select coalesce(string_agg(format(', %L, trim_scale(coalesce(sum(%I), 0))::text', attname, attname), '' order by attname), '') into sums
    from pg_attribute where attrelid = relation and attname like '%\_usd' and atttypid = 'numeric'::regtype and not attisdropped;
    execute format('select jsonb_build_object(''rows'', count(*)%s) from (%s) q', sums, query) into result;
    return result;
end $$;
revoke execute on function control.sum_money(regclass, text) from public;

-- The state of this database as known at a time, as JSON: a backup stores it, and after a restore `check-restore` computes it again for
-- the same time. Only what never changes afterwards is included: versions of rows are closed but not deleted, and the marts here use
-- nothing else. Without a time, it takes one before which nothing is still being written, because a row is dated by the start of its
-- transaction. Volatile, so that each statement sees what was committed before it.
create function control.fingerprint(given timestamptz default null) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    known_at timestamptz := given;
    mart text;
    relation record;
    marts jsonb := '{}';
    tables jsonb := '{}';
begin
    if known_at is null then
        select least(now(), min(xact_start)) - interval '1 microsecond' into known_at
        from pg_stat_activity where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid();
    end if;
    foreach mart in array array['aum_by_household', 'aum_by_representative', 'aum_by_asset_class', 'net_flows', 'openings_and_closings'] loop
        marts := marts || jsonb_build_object(mart, control.sum_money(
            format('mart.%I', mart)::regclass, format('select * from mart.%I(%L)', mart || '_as_known', known_at)));
    end loop;
    for relation in select c.oid, relname from pg_class c join pg_attribute on attrelid = c.oid and attname = 'recorded_from'
                    where relnamespace = 'warehouse'::regnamespace and relkind in ('r', 'p') and not relispartition loop
        tables := tables || jsonb_build_object(relation.relname, control.sum_money(
            relation.oid, format('select * from warehouse.%I where recorded_from <= %L', relation.relname, known_at)));
    end loop;
    return jsonb_build_object(
        'known_at', known_at,
        'schema_version', (select max(version_num) from control.schema_version),
        'ledger', (select jsonb_build_object('rows', count(*), 'last', max(ledger_id), 'money', coalesce(trim_scale(sum(money_out)), 0)::text)
                   from control.ledger where recorded_at <= known_at),
        'keys', (select coalesce(jsonb_object_agg(purpose || ':' || key_id, fingerprint), '{}') from control.key where added_at <= known_at),
        'audit', (select jsonb_build_object('rows', count(*), 'last', max(entry_id)) from control.audit where happened_at <= known_at),
        'seal', (select encode(mac, 'hex') from control.audit_seal where sealed_at <= known_at order by position desc limit 1),
        'marts', marts, 'tables', tables);
end $$;
revoke execute on function control.fingerprint(timestamptz) from public;
grant execute on function control.fingerprint(timestamptz) to tributary_load;
