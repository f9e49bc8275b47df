"""One seed for the whole run: `ROOMCAST_SEED`, or drawn here, before the workers start, and told at the end."""

import os
import secrets

os.environ.setdefault("ROOMCAST_SEED", str(secrets.randbelow(2**32)))


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"the seed was {os.environ['ROOMCAST_SEED']}; set ROOMCAST_SEED to use it again")
