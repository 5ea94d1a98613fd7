-- What the Operations pages read, as the role of Airflow's API server.
grant usage on schema mart to tributary_web;
grant select on control.ledger, control.rejection, control.reconciliation, control.control_total_break, control.roll_forward_break,
    control.dead_letter, control.drift, control.absence, control.lateness, control.outage, control.api_call, control.rate_budget, control.alert,
    control.crm_held, control.crm_question, control.crm_job, control.crm_difference, control.crm_topic, control.finding,
    control.outbound_subscriber, control.outbound_delivery, control.request, control.document_try, warehouse.representative
    to tributary_web;
grant select (inbox_id, sender, event_id, received_at, copies, last_seen_at, processed_at, error, outcome) on control.inbox to tributary_web;
grant select (entry_id, happened_at, actor, action, subject) on control.audit to tributary_web;
grant select (key_id, caller, scopes, created_at, expires_at, revoked_at, last_used_on) on control.api_key to tributary_web;

-- The newest rejections, checks, entries and dead letters.
create index rejection_by_time on control.rejection (recorded_at);
create index reconciliation_by_day on control.reconciliation (business_date desc, vendor, check_name, checked_at desc);
create index dead_letter_by_day on control.dead_letter (vendor, business_date) where status = 'open';
create index audit_newest on control.audit (happened_at);
