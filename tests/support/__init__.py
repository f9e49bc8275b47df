"""What the tests from outside share: the server as a process, clients, tokens, raw sockets. Holds no assertion
about the protocol: those stand in the tests."""
