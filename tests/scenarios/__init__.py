"""What holds on every transport, written once: each scenario runs over each of `support.participants.TRANSPORTS`."""
