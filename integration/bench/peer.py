"""The two brokers that are compared, behind one face: start, stop, create a topic, say what they are.

Both as a user gets them: Kafka with its own default settings and JVM flags, Forelog with its defaults. Neither archives
anything here.
"""
import base64
import os
import re
import shutil
import subprocess
import sys
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import harness  # noqa: E402
from kafka_wire import CREATE_TOPICS, LIST_OFFSETS, Wire, Writer  # noqa: E402

JARS = os.path.join(harness.CLIENTS, "kafka-broker")
# What bin/kafka-server-start.sh and bin/kafka-run-class.sh pass.
JVM = ["-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
       "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true"]
# What config/server.properties sets beyond the built-in defaults.
KAFKA_DEFAULTS = {
    "num.network.threads": 3, "num.io.threads": 8, "socket.send.buffer.bytes": 102400, "socket.receive.buffer.bytes": 102400,
    "offsets.topic.replication.factor": 1, "transaction.state.log.replication.factor": 1, "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1, "share.coordinator.state.topic.min.isr": 1,
}
QUIET_LOG = """<Configuration><Appenders><Console name="out"><PatternLayout pattern="%d %p %c %m%n"/></Console></Appenders>
<Loggers><Root level="warn"><AppenderRef ref="out"/></Root></Loggers></Configuration>
"""


class Peer:
    """One broker process with data of its own. `port` is what kafka_wire.Wire connects to."""

    name = ""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, harness.free_port(), None
        os.makedirs(folder)
        self.prepare()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.process.pid

    def prepare(self):
        raise NotImplementedError

    def command(self):
        raise NotImplementedError

    def start(self, until=None):
        """Seconds from the process's start to its first answer; with `until`, to when that is true of a connection."""
        began = time.monotonic()
        self.process = harness.Process(self.name, self.command(), self.folder)
        end = began + 120
        while True:
            try:
                wire = Wire(self)
                wire.metadata()
                if until is None or until(wire):
                    wire.close()
                    return time.monotonic() - began
                wire.close()
            except (OSError, ConnectionError, AssertionError):
                pass
            if not self.process.running() or time.monotonic() > end:
                raise RuntimeError(f"{self.name} does not serve; its log ends: {self.process.log()[-3000:]}")
            time.sleep(0.005)

    def stop(self):
        """Seconds from the signal to the end of the process."""
        began = time.monotonic()
        # Waited for in steps of its own: Python's wait with a timeout sleeps up to 50 ms beyond the end.
        self.process.process.terminate()
        while self.process.process.poll() is None:
            if time.monotonic() > began + 120:
                self.process.kill()
                raise RuntimeError(f"{self.name} does not stop")
            time.sleep(0.002)
        took = time.monotonic() - began
        self.process = None
        return took

    def close(self):
        if self.process:
            self.process.kill()
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def resident_megabytes(self):
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024

    def create(self, topic, partitions, **config):
        """Seconds from the request to when every partition has a leader."""
        began = time.monotonic()
        wire = Wire(self)
        wire.socket.settimeout(120)
        body = Writer()
        pair = lambda c: body.string(c[0].replace("_", ".")).string(str(c[1]))
        body.array([topic], lambda t: body.string(t).number("i", partitions).number("h", 1).array([], None).array(list(config.items()), pair))
        r = wire.call(CREATE_TOPICS, 4, body.number("i", 120000).number("b", 0))
        r.number("i")
        done = r.array(lambda: r.struct(name="string", error="h", text="string"))[0]
        if done["error"] != 0:
            raise RuntimeError(f"{self.name}: creating {topic}: {done}")
        harness.wait_until(lambda: len(self.ends(wire, topic, partitions)) == partitions, 120, f"{topic} on {self.name}")
        wire.close()
        return time.monotonic() - began

    @staticmethod
    def ends(wire, topic, partitions):
        """The end offset of each partition that is led; one request."""
        body = Writer().number("i", -1).number("b", 0)
        row = lambda p: body.number("i", p, -1).number("q", -1)
        body.array([topic], lambda t: body.string(t).array(range(partitions), row))
        r = wire.call(LIST_OFFSETS, 5, body)
        r.number("i")
        row = lambda: r.struct(index="i", error="h", timestamp="q", offset="q", leader_epoch="i")
        rows = r.array(lambda: r.struct(name="string", partitions=lambda: r.array(row)))[0]["partitions"]
        return {row["index"]: row["offset"] for row in rows if row["error"] == 0}


class Forelog(Peer):
    name = "Forelog"

    def prepare(self):
        self.admin = harness.free_port()
        settings = {
            "listeners": f"PLAINTEXT://{self.address}", "admin.listeners": f"127.0.0.1:{self.admin}",
            "hint.listeners": f"127.0.0.1:{harness.free_port()}", "log.dirs": os.path.join(self.folder, "log"), "archive.url": "",
        }
        settings.update(pair.split("=", 1) for pair in os.environ.get("FORELOG_SETTINGS", "").split())
        with open(os.path.join(self.folder, "server.properties"), "w", encoding="utf-8") as f:
            f.writelines(f"{key}={value}\n" for key, value in settings.items())

    def command(self):
        return [os.path.join(harness.BUILD, "forelog-broker"), os.path.join(self.folder, "server.properties")]

    @staticmethod
    def version():
        return subprocess.run(["git", "-C", harness.ROOT, "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, check=False).stdout.decode().strip()


class Kafka(Peer):
    name = "Kafka"

    def prepare(self):
        controller = harness.free_port()
        settings = {
            **KAFKA_DEFAULTS, "process.roles": "broker,controller", "node.id": 1, "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{controller}", "controller.listener.names": "CONTROLLER",
            "log.dirs": os.path.join(self.folder, "log"),
        }
        self.settings_file = os.path.join(self.folder, "server.properties")
        with open(self.settings_file, "w", encoding="utf-8") as f:
            f.writelines(f"{key}={value}\n" for key, value in settings.items())
        self.log_settings = os.path.join(self.folder, "log4j2.xml")
        with open(self.log_settings, "w", encoding="utf-8") as f:
            f.write(QUIET_LOG)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        harness.run([*self.java(["-Xmx256m"]), "kafka.tools.StorageTool", "format", "-t", cluster, "-c", self.settings_file])

    def java(self, flags):
        return ["java", *flags, f"-Dlog4j2.configurationFile={self.log_settings}", "-cp", os.path.join(JARS, "*")]

    def command(self):
        return [*self.java(JVM), "kafka.Kafka", self.settings_file]

    @staticmethod
    def version():
        return next(m[1] for name in os.listdir(JARS) if (m := re.fullmatch(r"kafka_2\.13-(.*)\.jar", name)))


