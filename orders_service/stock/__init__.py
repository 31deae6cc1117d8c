"""Limited stock behind the requests: who owns the tokens, and what settles those whose requests have ended."""
