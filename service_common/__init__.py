"""What the three services have in common. Knows no table, no route and no business word."""

__version__ = "1.0.0"
