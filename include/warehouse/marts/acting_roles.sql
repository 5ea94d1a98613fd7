-- Roles of recipients who sign or approve: the clients. Of the others, some have to act as well (a notary, a witness, an agent), some only get a copy.
create function mart.acting_roles() returns text[] language sql immutable as $$
    select array['signer', 'in_person_signer', 'approver', 'acceptor', 'form_filler', 'certified_recipient', 'notary_signer']
$$;
