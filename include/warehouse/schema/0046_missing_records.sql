-- Each sync looks for the few records that are missing in Salesforce; without an index it reads all payloads, once per object.
create index crm_state_missing on control.crm_state (sobject, salesforce_id) where missing is not null;
