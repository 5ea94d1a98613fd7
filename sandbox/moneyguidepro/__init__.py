"""MoneyGuidePro: plans, and goals whose amounts and dates are free text, such as `$85,000 / yr from 2031`."""
