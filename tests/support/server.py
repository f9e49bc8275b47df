"""The real binary as a process: `dev`, or `serve` with a configuration. Port 0 always."""

import functools
import json
import os
import re
import signal
import ssl
import subprocess
import threading
from pathlib import Path

SECRET = "a secret of the tests: long enough for HS256, and for HS512 with its 64 bytes"
API_KEY = "rk_0123456789abcdefghijklmnop"
READY_LINE = re.compile(r"http(s?)://127\.0\.0\.1:(\d+)")
TLS_FOLDER = Path(__file__).parent / "tls"
TLS = {"tls_certificate": str(TLS_FOLDER / "certificate.pem"), "tls_key": str(TLS_FOLDER / "key.pem")}
STOP_SECONDS = 15


@functools.cache
def trusting(*protocols):
    """Trusts the tests' own certificate."""
    context = ssl.create_default_context(cafile=TLS["tls_certificate"])
    context.set_alpn_protocols(protocols)
    return context


class Server:
    """One running server. `http` and `ws` are its addresses, `output` everything it has printed so far."""

    def __init__(self, *arguments, cwd=None, port=0, environment=None):
        binary = os.environ.get("ROOMCAST_BIN")
        assert binary, "set ROOMCAST_BIN to the roomcast binary (cargo xtask test does)"
        self.process = subprocess.Popen(
            [binary, *arguments, "--listen", f"127.0.0.1:{port}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=cwd,
            env={name: value for name, value in os.environ.items() if not name.startswith("ROOMCAST_")}
            | (environment or {}),
        )
        self.told_to_stop = False
        self._lines = []
        self._news = threading.Condition()
        self._listening = threading.Event()
        self._pump = threading.Thread(target=self._read, daemon=True)
        self._pump.start()
        self._listening.wait(STOP_SECONDS)
        found = READY_LINE.search(self.output)
        if not found:
            self.process.kill()
            raise RuntimeError(f"the server did not say where it listens:\n{self.output}")
        self.secure, self.port = bool(found[1]), int(found[2])
        self.http = f"http{found[1]}://127.0.0.1:{self.port}"
        self.ws = f"ws{found[1]}://127.0.0.1:{self.port}"
        # What a client believes it by; nothing is needed in the clear.
        self.context = trusting("http/1.1") if self.secure else None

    def _read(self):
        for line in self.process.stdout:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
            if READY_LINE.search(line):
                self._listening.set()
        self._listening.set()

    @property
    def output(self):
        return "".join(self._lines)

    def says(self, text):
        """Waits until it has printed something."""
        with self._news:
            assert self._news.wait_for(lambda: text in self.output, STOP_SECONDS), self.output

    @property
    def resident_bytes(self):
        """The process's resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    @property
    def open_files(self):
        """How many files and sockets the process has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    @property
    def alive(self):
        return self.process.poll() is None

    def terminate(self, word=signal.SIGTERM):
        """Asks it to stop, and goes on at once."""
        self.told_to_stop = True
        self.process.send_signal(word)

    def kill(self):
        """Ends it as a power cut would."""
        self.told_to_stop = True
        self.process.kill()
        self.wait()

    def wait(self):
        """Waits for the process to end; returns its exit code."""
        code = self.process.wait(STOP_SECONDS)
        self._pump.join(STOP_SECONDS)
        self.process.stdout.close()
        return code


def dev(port=0):
    """`dev`; a port that an earlier server had is for its successor."""
    return Server("dev", port=port)


def serve(folder, port=0, environment=None, **changes):
    """`serve` with the tests' secret and API key. `changes` are top-level tables, merged over the defaults."""
    config = {
        "auth": {"secret": SECRET, "api_keys": [{"id": "backend", "key": API_KEY}]},
        "rooms": [{"pattern": "*", "users": ["*"]}],
    }
    for name, value in changes.items():
        config[name] = config[name] | value if isinstance(config.get(name), dict) else value
    file = Path(folder) / "roomcast.toml"
    file.write_text("".join(f"{name} = {toml(value)}\n" for name, value in config.items()))
    return Server("serve", "--config", str(file), cwd=folder, port=port, environment=environment)


def toml(value):
    """A TOML value on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)
