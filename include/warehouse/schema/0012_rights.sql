-- The rights of the roles that face the network. They read and write as little as their work needs.

grant execute on function control.find_lock_holders(text[])
    to tributary_load, tributary_read, tributary_listener, tributary_gateway, tributary_api;

-- The gateway inserts deliveries.
grant usage on schema control to tributary_gateway;
grant execute on function control.receive(text, bytea, text, text, jsonb) to tributary_gateway;

-- The API inserts requests and pushes, and reads runs, findings, dead letters and the state of pushes.
grant usage on schema control to tributary_api;
grant execute on function control.submit_request(text, text, bytea, text, text, jsonb), control.push(text, text, bytea, text, text, bytea)
    to tributary_api;
grant select on control.api_key, control.request, control.idempotency to tributary_api;
grant update (last_used_on) on control.api_key to tributary_api;
grant select (run_id, vendor, table_name, entity, business_date, stage, pull_id, pulled, extracted_at, fetched, staged, duplicate, dead,
              produced, inserted, updated, unchanged, superseded, recorded_at, ledger_id) on control.ledger to tributary_api;
grant select (finding_id, vendor, rule, subject_entity, subject_id, household_id, severity, measure, details, business_date_opened,
              opened_at, changed_at, business_date_seen, business_date_closed, closed_at) on control.finding to tributary_api;
grant select (dead_letter_id, run_id, vendor, table_name, business_date, stage, row_key, public_reasons, status, died_at, closed_at)
    on control.dead_letter to tributary_api;
grant select (inbox_id, sender, event_id, received_at, processed_at, error, outcome) on control.inbox to tributary_api;

-- The triggerer, which waits for notifications and subscribes to Salesforce. It connects to the outside, so it reads almost nothing
-- about clients.
grant usage on schema control, warehouse to tributary_listener;

-- Whether work is pending.
grant select (routed_at, type, vendor) on control.outbox to tributary_listener;
grant select (subscriber, subject, event_number, status, due_at) on control.outbound_delivery to tributary_listener;
grant select (subscriber, state, paused_until, types, vendors) on control.outbound_subscriber to tributary_listener;
grant select (state, checked_at) on control.request to tributary_listener;

-- The progress of a run, for an alert about a missed deadline; whether the run's input was rejected; and the alert itself.
grant select (ledger_id, run_id, vendor, table_name, stage, staged, dead) on control.ledger to tributary_listener;
grant insert on control.alert to tributary_listener;
grant select (alert_id, kind, dag_id, run_id), update (sent_at) on control.alert to tributary_listener;

-- Changes from Salesforce, ids of deals, events that can't be read, the position in a topic, and the calls made.
grant insert on warehouse.crm_change, control.api_call to tributary_listener;
grant select (transaction_key, sequence_number, object, salesforce_id) on warehouse.crm_change to tributary_listener;
grant insert (entity, vendor, source_key) on warehouse.source_key to tributary_listener;
grant insert (sender, body, content_hash, event_id, headers, processed_at, error), update (copies, last_seen_at)
    on control.inbox to tributary_listener;
grant select (inbox_id, sender, content_hash, received_at, copies, processed_at, error) on control.inbox to tributary_listener;
grant select, insert, update on control.crm_topic to tributary_listener;

-- The household of a refresh event, and the run that it requests.
grant select on warehouse.source_key to tributary_listener;
grant select (person_id, vendor, household_id, valid_to, recorded_to) on warehouse.person to tributary_listener;
grant select (household_id, vendor, valid_to, recorded_to) on warehouse.household to tributary_listener;
grant select (entity, id, identity_id, recorded_to) on warehouse.identity to tributary_listener;
grant execute on function control.submit_request(text, text, bytea, text, text, jsonb) to tributary_listener;
