"""The load generator: Locust, with shoppers, a ledger of every request, and an audit of what became of it."""
