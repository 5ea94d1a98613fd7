"""Events out: what happened here, told to those who subscribed, by signed webhooks.

The database writes events itself (`control.outbox`); `deliver` makes deliveries of them and sends those that are due.
"""
