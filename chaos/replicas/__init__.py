"""The campaign on replicas and PostgreSQL: `make chaos ENGINE=postgres`."""
