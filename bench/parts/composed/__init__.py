"""Parts that need an engine: sets of containers, as `docker compose up` starts them."""
