"""eMoney: clients, plans, simulations and accounts."""
