"""The common part of the services. It knows no table, no route and no business word."""

__version__ = "1.0.0"
