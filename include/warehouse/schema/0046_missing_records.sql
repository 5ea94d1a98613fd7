-- Each sync looks for the few records that are missing in Salesforce. Without an index, it reads the whole table, several times for each object.
create index crm_state_missing on control.crm_state (sobject, salesforce_id) where missing is not null;
