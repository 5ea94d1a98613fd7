"""What every simulated system shares: the HTTP front with its faults, clock, call counts and response formats."""
