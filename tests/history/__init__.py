"""Recorded runs over WebSocket, judged by `roomcast verify`."""
