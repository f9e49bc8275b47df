"""The real server, killed under load again and again; what the clients saw is judged by `roomcast verify`."""
