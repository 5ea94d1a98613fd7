-- The Salesforce org whose accepted state is in this database; a sync with another org is refused.
create table control.crm_org (
    org_id      text        primary key,
    recorded_at timestamptz not null default now()
);
create unique index crm_org_one on control.crm_org ((true));
grant select, insert on control.crm_org to tributary_load;
grant select on control.crm_org to tributary_listener;
