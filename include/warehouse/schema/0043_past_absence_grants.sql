-- The loader only adds to past absences and past unused vendors: what was known does not change.
revoke update, delete on control.past_absence, control.past_unused_vendor from tributary_load;
