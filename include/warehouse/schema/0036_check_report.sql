-- Reports of the checks before a run: one row per system and check. The findings name fields, roles and settings; they hold no client data.
create table control.check_report (
    check_report_id bigint      generated always as identity primary key,
    system          text        not null,                  -- a vendor, salesforce, or tributary: our own parts
    run_id          text        not null,
    state           text        not null check (state in ('green', 'grey', 'amber', 'red')),  -- the worst state of the findings
    findings        jsonb       not null check (jsonb_typeof(findings) = 'array'),            -- [{"subject", "state", "detail", "action"}]
    checked_at      timestamptz not null default clock_timestamp()
);
create index check_report_newest on control.check_report (system, check_report_id desc);
comment on table control.check_report is 'Reports of the checks of connections, own parts and Salesforce';
revoke update, delete on control.check_report from tributary_load;
grant select on control.check_report to tributary_web;
insert into control.retention (dataset, aged_by, spared, minimum) values
    ('control.check_report', 't.checked_at',
     'not exists (select from control.check_report n where n.system = t.system and n.check_report_id > t.check_report_id)', '14 days');
