-- What the triggerer may, in which triggers hear the bells and Salesforce. It may call out, so it reads next to nothing of clients.

grant usage on schema control, warehouse to tributary_hear;

-- Whether anything waits.
grant select (routed_at) on control.outbox to tributary_hear;
grant select (subscriber, subject, event_number, status, due_at) on control.outbound_delivery to tributary_hear;
grant select (subscriber, state, paused_until) on control.outbound_subscriber to tributary_hear;
grant select (state, looked_at) on control.request to tributary_hear;

-- What a run has done so far: an alert tells it where a deadline was missed.
grant select (ledger_id, run_id, vendor, table_name, stage, staged, dead) on control.ledger to tributary_hear;

-- Changes, deals' ids, events that can't be read, the place behind them, and the calls that it took.
grant insert on warehouse.crm_change, control.api_call to tributary_hear;
grant select (transaction_key, sequence_number, object, salesforce_id) on warehouse.crm_change to tributary_hear;
grant insert (entity, vendor, source_key) on warehouse.source_key to tributary_hear;
grant insert (sender, body, content_hash, event_id, headers, processed_at, error), update (copies, last_seen_at)
    on control.inbox to tributary_hear;
grant select (inbox_id, sender, content_hash, received_at, copies, processed_at, error) on control.inbox to tributary_hear;
grant select, insert, update on control.crm_topic to tributary_hear;

-- Whom a refresh event is about, and the runs that it asks for.
grant select on warehouse.source_key to tributary_hear;
grant select (person_id, vendor, household_id, valid_to, recorded_to) on warehouse.person to tributary_hear;
grant select (household_id, vendor, valid_to, recorded_to) on warehouse.household to tributary_hear;
grant select (entity, id, identity_id, recorded_to) on warehouse.identity to tributary_hear;
grant execute on function control.ask(text, text, bytea, text, text, jsonb) to tributary_hear;
