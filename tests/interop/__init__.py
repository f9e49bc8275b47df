"""Third-party clients against the real server: PROTOCOL, line by line."""
