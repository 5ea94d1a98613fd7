"""Parts shared by all simulated systems: the HTTP front end with its faults, clock, call counts and response formats."""
