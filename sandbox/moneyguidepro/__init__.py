"""MoneyGuidePro: plans and goals as free text."""
