"""Starts real processes on loopback with free ports, for tests, and stops them by process id.

Forelog's broker and predictor; kcat and Apache Kafka's command-line tools as clients. Everything lives in a folder of
the test's own.
"""
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BUILD = os.environ.get("FORELOG_BUILD", os.path.join(ROOT, "build", "release"))
# A sanitizer makes everything larger and slower: what is measured then says nothing about the broker.
SANITIZED = os.path.basename(BUILD) in ("asan", "tsan")
# librdkafka starts its threads by C11's call, which ThreadSanitizer of this release does not see: programs that use it
# crash with it. What the tests are about is the broker, which does not.
WITH_RDKAFKA = os.path.join(ROOT, "build", "release") if os.path.basename(BUILD) == "tsan" else BUILD
CLIENTS = os.path.join(ROOT, "build", "clients")


_given_ports = set()


def free_port():
    """A port that nobody listens on, none of them twice; where there are enough, none that the system gives to
    connections meanwhile."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        lowest = int(f.read().split()[0])
    while True:
        port = random.randrange(max(lowest - 16384, 10000), lowest) if lowest > 15000 else 0
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            port = s.getsockname()[1]
        if port not in _given_ports:
            _given_ports.add(port)
            return port


def wait_until(condition, seconds=20.0, what="the condition"):
    """Polls until `condition()` is true and returns its value; a bound on hanging, not a measure of speed."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


class Process:
    def __init__(self, name, command, folder, env=None):
        self.name = name
        self.log_path = os.path.join(folder, f"{name}.log")
        self._log = open(self.log_path, "ab")
        self.process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT, env=env)

    def running(self):
        return self.process.poll() is None

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self, seconds=20):
        """A clean stop; returns the exit status."""
        if self.running():
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop within {seconds} s; its log ends: {self.log()[-2000:]}")
        self._log.close()
        return status

    def kill(self):
        if self.running():
            self.process.kill()
            self.process.wait()
        self._log.close()


class Broker:
    """One broker with data of its own, that survives `stop`, `kill` and `start`."""

    def __init__(self, folder, **settings):
        self.folder = str(folder)
        self.port, self.admin_port, self.hint_port = free_port(), free_port(), free_port()
        self.archive = os.path.join(self.folder, "archive")
        os.makedirs(self.archive, exist_ok=True)
        self.settings = {
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "admin.listeners": f"127.0.0.1:{self.admin_port}",
            "hint.listeners": f"127.0.0.1:{self.hint_port}",
            "log.dirs": os.path.join(self.folder, "log"),
            "archive.url": f"file:{self.archive}",
            "group.initial.rebalance.delay.ms": "0",
            "cache.memory": str(64 << 20),
        }
        # FORELOG_SETTINGS="reactor.cores=2 …" runs everything with other settings.
        self.settings.update(pair.split("=", 1) for pair in os.environ.get("FORELOG_SETTINGS", "").split())
        self.settings.update({k.replace("_", "."): str(v) for k, v in settings.items()})
        self.environment = {}  # on top of this process's
        self.process = None
        self._predictors = []

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self, **overrides):
        self.settings.update({k.replace("_", "."): str(v) for k, v in overrides.items()})
        path = os.path.join(self.folder, "server.properties")
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(f"{key}={value}\n" for key, value in self.settings.items())
        os.chmod(path, 0o600)  # some hold keys
        self.process = Process("broker", [os.path.join(BUILD, "forelog-broker"), path], self.folder, env={**os.environ, **self.environment})
        wait_until(lambda: self.ready() or not self.process.running(), 20, "the broker to be ready")
        assert self.process.running(), self.process.log()[-4000:]
        return self

    def ready(self):
        try:
            return self.http("/ready", timeout=1) is not None
        except OSError:
            return False

    def http(self, path, method="GET", timeout=10):
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin_port}{path}", method=method)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.read().decode()

    def json(self, path, method="GET"):
        return json.loads(self.http(path, method))

    def metrics(self):
        """{'name{labels}': value} of everything in /metrics but the histograms' buckets."""
        values = {}
        for line in self.http("/metrics").splitlines():
            if line and not line.startswith("#") and "_bucket{" not in line:
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        return values

    def metric(self, prefix):
        """Sum of all series whose name and labels start with `prefix`."""
        return sum(v for k, v in self.metrics().items() if k.startswith(prefix))

    def start_predictor(self, **settings):
        command = [os.path.join(WITH_RDKAFKA, "forelog-predictor"), "--bootstrap-server", self.address]
        settings = {"state.dir": os.path.join(self.folder, "predictor"), **settings}
        for key, value in settings.items():
            command += ["--set", f"{key.replace('_', '.')}={value}"]
        predictor = Process(f"predictor{len(self._predictors)}", command, self.folder)
        self._predictors.append(predictor)
        return predictor

    def cli(self, *args, check=True, timeout=30):
        """The `forelog` command; those that ask the broker are told where it is."""
        where = {"access-log": ["--bootstrap-server", self.address], "inspect": [], "replay": [], "archive": []}
        command = [os.path.join(WITH_RDKAFKA, "forelog"), *args, *where.get(args[0], ["--admin", f"127.0.0.1:{self.admin_port}"])]
        return run(command, check=check, timeout=timeout, env={**os.environ, **self.environment})

    def stop(self):
        for predictor in self._predictors:
            if predictor.running():
                predictor.stop()
        self._predictors.clear()
        if self.process:
            status = self.process.stop()
            self.process, log = None, self.process.log()
            assert status == 0, log[-4000:]
            assert "\nerror " not in log and " error " not in "".join(l.split("Z ", 1)[-1][:6] for l in log.splitlines()), log[-4000:]

    def kill(self):
        self.process.kill()
        self.process = None

    def close(self):
        for predictor in self._predictors:
            predictor.kill()
        if self.process:
            self.process.kill()


def run(command, check=True, timeout=60, stdin=None, env=None):
    """A client to its end; its standard output. With `check`, a failure shows what it said."""
    done = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, env=env, check=False)
    if check and done.returncode != 0:
        raise AssertionError(
            f"{' '.join(command)}: exit {done.returncode}\n{done.stdout.decode(errors='replace')}\n{done.stderr.decode(errors='replace')}"
        )
    return done.stdout.decode(errors="replace")


def kcat(broker, *args, stdin=None, timeout=60):
    return run(["kcat", "-b", broker.address, *args], stdin=stdin.encode() if isinstance(stdin, str) else stdin, timeout=timeout)


KAFKA_TOOLS = {
    "topics": "org.apache.kafka.tools.TopicCommand",
    "consumer-groups": {
        "3.9.1": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        "4.1.0": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    },
    "configs": "kafka.admin.ConfigCommand",
    "console-producer": {"3.9.1": "kafka.tools.ConsoleProducer", "4.1.0": "org.apache.kafka.tools.ConsoleProducer"},
    "console-consumer": {
        "3.9.1": "org.apache.kafka.tools.consumer.ConsoleConsumer",
        "4.1.0": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    },
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
}


def kafka_tool(version, tool, *args, stdin=None, check=True, timeout=60):
    name = KAFKA_TOOLS[tool]
    if isinstance(name, dict):
        name = name[version]
    command = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", os.path.join(CLIENTS, f"kafka-{version}", "*"), name]
    return run([*command, *args], stdin=stdin.encode() if stdin else None, check=check, timeout=timeout)


@contextlib.contextmanager
def broker(folder, **settings):
    instance = Broker(folder, **settings)
    try:
        yield instance.start()
        instance.stop()
    finally:
        instance.close()
