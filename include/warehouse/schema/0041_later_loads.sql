-- Each load of a fact finds the loads of pulls that started later.
create index ledger_by_entity on control.ledger (vendor, entity, extracted_at) where stage = 'load';
