-- What the Operations pages read without a view, as the role of Airflow's API server: counts, sums and states, and no content.
grant select on control.ledger, control.rejection, control.reconciliation, control.drift, control.outage, control.api_call, control.crm_held,
    control.crm_question, control.crm_topic to tributary_web;
grant select (run_id, vendor, table_name, business_date, stage, public_reasons, money_usd, is_money_unreadable, status, died_at)
    on control.dead_letter to tributary_web;

-- The newest rejections, checks, entries and dead letters.
create index rejection_by_time on control.rejection (recorded_at);
create index reconciliation_by_day on control.reconciliation (business_date desc, vendor, check_name, checked_at desc);
create index dead_letter_by_day on control.dead_letter (vendor, business_date) where status = 'open';
create index audit_newest on control.audit (happened_at);
