"""The only outbound HTTP: which users and products exist, asked for many orders at once."""
