"""MoneyGuidePro: plans and goals as texts for people."""
