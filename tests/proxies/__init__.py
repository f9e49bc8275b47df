"""nginx and Caddy between clients and the server, as the guide says they should be."""
