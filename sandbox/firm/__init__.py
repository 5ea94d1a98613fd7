"""The synthetic firm that the simulated vendors serve: people, accounts, trades, plans and their history."""
