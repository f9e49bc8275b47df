"""Recorded runs over every transport, judged by `roomcast verify`."""
