"""Traces that the load generator starts: the slowest are kept, with the parts of all services."""
