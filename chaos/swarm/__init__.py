"""The campaign on the Swarm stack: `make chaos ENGINE=swarm`."""
