"""nginx and Caddy as processes, with the very configurations of `docs/guide/deploy.md`: only the port, the certificate and
the server's port are others. Holds no assertion about what passes through them."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path

from support.server import STOP_SECONDS, TLS, trusting

GUIDE = Path(__file__).parents[2] / "docs/guide/deploy.md"
HOST = "127.0.0.1"


def block(language):
    """The one block of the guide in this language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return found


def changed(text, changes):
    """Each of these stands in the text exactly once."""
    for old, new in changes.items():
        assert text.count(old) == 1, f"{old!r} in\n{text}"
        text = text.replace(old, new)
    return text


class Front:
    """A proxy on a port of its own, which it keeps when it is started again. Looks like a server with TLS."""

    secure, context = True, trusting("http/1.1")

    def __init__(self, folder, server):
        self.folder, self.server, self.process = Path(folder), server, None
        self.door = self.reserve()
        self.port = self.door.getsockname()[1]
        self.http, self.ws = f"https://{HOST}:{self.port}", f"wss://{HOST}:{self.port}"
        self.file = self.folder / self.name
        self.file.write_text(self.configuration())

    def start(self):
        """Starts it, and waits until it is ready to be asked."""
        self.process = self.launch()
        self.output, ready = "", threading.Event()
        self.pump = threading.Thread(target=self._read, args=(ready,), daemon=True)
        self.pump.start()
        ready.wait(STOP_SECONDS)
        assert self.process.poll() is None, self.output
        return self

    def _read(self, ready):
        for line in self.process.stdout:
            self.output += line
            if self.ready_word in line:
                ready.set()
        ready.set()

    def run(self, command, **more):
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more
        )

    def stop(self):
        """Ends it at once, and every connection with it."""
        self.process.send_signal(self.word_to_stop)
        self.process.wait(STOP_SECONDS)
        self.pump.join(STOP_SECONDS)
        self.process.stdout.close()

    def release(self):
        with contextlib.suppress(ProcessLookupError):
            self.stop()
        self.door.close()


class Nginx(Front):
    name, binary = "nginx", "/usr/sbin/nginx"
    ready_word, word_to_stop = "start worker process ", signal.SIGTERM

    def reserve(self):
        door = socket.create_server((HOST, 0), backlog=511)
        door.set_inheritable(True)
        return door

    def configuration(self):
        site = changed(
            block("nginx"),
            {
                "listen 443 ssl http2;": f"listen {HOST}:{self.port} ssl http2;",
                "/etc/ssl/rt.example.com.pem": TLS["tls_certificate"],
                "/etc/ssl/rt.example.com.key": TLS["tls_key"],
                "http://127.0.0.1:8000": f"http://127.0.0.1:{self.server.port}",
            },
        )
        kept = " ".join(f"{what}_temp_path {self.folder};" for what in ("proxy", "fastcgi", "uwsgi", "scgi", "client_body"))
        main = f"daemon off; worker_processes 1; pid {self.folder}/pid; error_log stderr notice;"
        return f"{main}\nevents {{}}\nhttp {{ {kept}\n{site}\n}}\n"

    @property
    def command(self):
        return [self.binary, "-p", str(self.folder), "-e", "stderr", "-c", str(self.file)]

    def launch(self):
        # It takes over the sockets that it is given so, as when a new binary follows an old one.
        environment = os.environ | {"NGINX": f"{self.door.fileno()};"}
        return self.run(self.command, env=environment, pass_fds=[self.door.fileno()])

    def reload(self):
        """`nginx -s reload`: new workers for what comes, the old ones keep what they have."""
        subprocess.run([*self.command, "-s", "reload"], check=True, capture_output=True)


class Caddy(Front):
    name, binary = "caddy", "/usr/bin/caddy"
    ready_word, word_to_stop = "serving initial configuration", signal.SIGKILL

    def reserve(self):
        # It shares a port with whoever shares it; this one never listens.
        door = socket.socket()
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        door.bind((HOST, 0))
        return door

    def configuration(self):
        site = changed(
            block("caddyfile"),
            {
                "rt.example.com {": f"https://{HOST}:{self.port} {{\n\ttls {TLS['tls_certificate']} {TLS['tls_key']}",
                "127.0.0.1:8000": f"127.0.0.1:{self.server.port}",
            },
        )
        main = f"admin unix/{self.folder}/admin\n\tauto_https disable_redirects\n\tdefault_bind {HOST}"
        return f"{{\n\t{main}\n}}\n{site}"

    @property
    def environment(self):
        return os.environ | {"HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}

    def launch(self):
        command = [self.binary, "run", "--config", str(self.file), "--adapter", "caddyfile"]
        return self.run(command, env=self.environment)

    def reload(self):
        """`caddy reload`, though nothing has changed."""
        to = ["--config", str(self.file), "--adapter", "caddyfile", "--address", f"unix/{self.folder}/admin", "--force"]
        subprocess.run([self.binary, "reload", *to], check=True, capture_output=True, env=self.environment)


FRONTS = {"nginx": Nginx, "caddy": Caddy}
