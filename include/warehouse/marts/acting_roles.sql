-- Roles of recipients who must act; all others only receive a copy.
create function mart.acting_roles() returns text[] language sql immutable as $$
    select array['signer', 'in_person_signer', 'approver', 'acceptor', 'form_filler', 'certified_recipient']
$$;
