"""Results: their JSON, the page and the plots that are made of it."""
