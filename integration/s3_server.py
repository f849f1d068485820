"""S3 servers and toxiproxy on loopback for tests: versitygw, minio; installed by prepare.sh into build/clients/bin."""
import contextlib
import json
import os
import socket
import urllib.request

import pytest

from harness import CLIENTS, Process, free_port, wait_until

ACCESS_KEY = "forelog-test-key"
SECRET_KEY = "forelog-test-secret-0123456789"
BIN = os.path.join(CLIENTS, "bin")


def program(name):
    path = os.path.join(BIN, name)
    if not os.path.exists(path):
        # Only minio may be missing: it takes minutes to build, and `make verify` has it.
        if name == "minio":
            pytest.skip("minio is not built: run integration/prepare.sh minio")
        raise AssertionError(f"{path} is missing: run integration/prepare.sh")
    return path


def listening(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


class S3Server:
    """One server with one bucket, "archive", that survives `stop` and `start`."""

    def __init__(self, folder, kind="versitygw", certificate=None):
        self.folder, self.kind, self.certificate = str(folder), kind, certificate
        self.port = free_port()
        self.objects = os.path.join(self.folder, "objects")
        os.makedirs(os.path.join(self.objects, "archive"), exist_ok=True)
        self.process = None

    @property
    def endpoint(self):
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"

    def start(self):
        env = dict(os.environ, MINIO_ROOT_USER=ACCESS_KEY, MINIO_ROOT_PASSWORD=SECRET_KEY, MINIO_BROWSER="off")
        address = f"127.0.0.1:{self.port}"
        if self.kind == "minio":
            command = [program("minio"), "server", "--quiet", "--address", address, self.objects]
        else:
            command = [program("versitygw"), "--port", address, "--keep-alive", "--access", ACCESS_KEY, "--secret", SECRET_KEY]
            if self.certificate:
                command += ["--cert", self.certificate[0], "--key", self.certificate[1]]
            command += ["posix", self.objects]
        self.process = Process(self.kind, command, self.folder, env=env)
        wait_until(lambda: listening(self.port) or not self.process.running(), 20, f"{self.kind} to listen")
        assert self.process.running(), self.process.log()[-2000:]
        return self

    def stop(self):
        if self.process:
            self.process.kill()
            self.process = None

    def files(self):
        """The objects as the server keeps them: paths of files below the bucket. For versitygw, which keeps them as they are."""
        bucket = os.path.join(self.objects, "archive")
        found = (os.path.join(folder, name) for folder, _, names in os.walk(bucket) for name in names)
        return sorted(path for path in found if "/.sgwtmp/" not in path)

    def settings(self, endpoint=None):
        """What a broker needs to archive here; the keys come from `keys()` in its environment."""
        return {"archive.url": "s3://archive/of/tests", "archive.s3.endpoint": endpoint or self.endpoint}


def keys(access=ACCESS_KEY, secret=SECRET_KEY):
    return {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret}


class Toxiproxy:
    """One proxy in front of `port`. `add` and `remove` toxics by name."""

    def __init__(self, folder, port):
        self.api, self.port = free_port(), free_port()
        self.process = Process("toxiproxy", [program("toxiproxy-server"), "-host", "127.0.0.1", "-port", str(self.api)], str(folder))
        wait_until(lambda: listening(self.api), 20, "toxiproxy to listen")
        self._call("POST", "/proxies", {"name": "s3", "listen": f"127.0.0.1:{self.port}", "upstream": f"127.0.0.1:{port}", "enabled": True})

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def _call(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.api}{path}", method=method, data=json.dumps(body).encode() if body else None)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def add(self, name, kind, toxicity=1.0, stream="downstream", **attributes):
        body = {"name": name, "type": kind, "stream": stream, "toxicity": toxicity, "attributes": attributes}
        self._call("POST", "/proxies/s3/toxics", body)

    def remove(self, name):
        self._call("DELETE", f"/proxies/s3/toxics/{name}")

    def enable(self, enabled):
        """A disabled proxy refuses connections and cuts those it has."""
        self._call("POST", "/proxies/s3", {"enabled": enabled})

    def stop(self):
        self.process.kill()


@contextlib.contextmanager
def s3_server(folder, kind="versitygw", certificate=None):
    server = S3Server(folder, kind, certificate)
    try:
        yield server.start()
    finally:
        server.stop()


@contextlib.contextmanager
def toxiproxy(folder, port):
    proxy = Toxiproxy(folder, port)
    try:
        yield proxy
    finally:
        proxy.stop()
