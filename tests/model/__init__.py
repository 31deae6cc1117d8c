"""The protocol of limited stock, checked in every interleaving: see docs/stock.md. Run it with `python -m tests.model`."""
