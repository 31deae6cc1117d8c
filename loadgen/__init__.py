"""The load generator: Locust with virtual users, a ledger of every request, and an audit of what was stored."""
