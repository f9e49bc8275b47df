"""Recorded runs over WebSocket, and the checker that judges them."""
