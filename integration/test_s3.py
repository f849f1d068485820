"""The archive in S3: a real server (versitygw; minio in `make verify`), with latency, resets and stalls by toxiproxy."""
import os
import subprocess
import threading
import uuid

import confluent_kafka
import confluent_kafka.admin
import pytest

from harness import BUILD, ROOT, wait_until
from s3_faults import faulty
from s3_server import ACCESS_KEY, SECRET_KEY, keys, s3_server, toxiproxy
from test_archive import archived_and_dropped, settled, values
from test_python_clients import admin, consume, create, produce

SERVERS = ["versitygw", "minio"]


@pytest.fixture
def server(tmp_path, request):
    with s3_server(tmp_path, getattr(request, "param", SERVERS[0])) as instance:
        yield instance


def topic_name(stem):
    return f"{stem}-{uuid.uuid4().hex[:6]}"


@pytest.mark.parametrize("kind", SERVERS)
def test_history_goes_to_s3_and_comes_back(tmp_path, new_broker, kind):
    with s3_server(tmp_path, kind) as server:
        broker = new_broker(keys(), **server.settings(), **{"cache.memory": 4 << 20})
        wait_until(lambda: "archive_ready" in broker.process.log(), 20, "the archive to be asked")
        topic = topic_name("s3")
        content = settled(broker, topic, 8000)
        assert [m.value() for m in consume(broker, topic, len(content), seconds=60)] == content
        assert broker.metric('forelog_s3_requests_total{kind="put",outcome="ok"}') >= 7
        assert broker.metric('forelog_s3_requests_total{kind="get",outcome="ok"}') >= 7
        assert broker.metric("forelog_s3_received_bytes_total") > sum(len(v) for v in content) // 2
        assert broker.metric("forelog_s3_sent_bytes_total") > sum(len(v) for v in content) - (1 << 20)  # the open shard stays here
        assert broker.metric("forelog_s3_connections_opened_total") < 64  # the others are used again
        broker.stop()
        broker.start()
        assert [m.value() for m in consume(broker, topic, len(content), seconds=60)] == content
        # Deleting the topic empties the bucket.
        client = admin(broker)
        client.delete_topics([topic])[topic].result(20)
        if kind == "versitygw":
            wait_until(lambda: not [f for f in server.files() if "__" not in f and not f.endswith("archive.id")], 60, "the bucket to be empty")


@pytest.mark.parametrize("kind", SERVERS)
def test_the_store_keeps_the_contract_of_all_object_stores(tmp_path, kind):
    program = os.path.join(BUILD, "tests", "env_test")
    assert os.path.exists(program), "run make test-programs"
    with s3_server(tmp_path, kind) as server:
        env = {**os.environ, **keys(), "FORELOG_TEST_S3": server.endpoint, "FORELOG_TEST_S3_KIND": kind}
        done = subprocess.run([program, "--gtest_filter=*InS3*:ObjectStoreContract/2.*"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, timeout=120, check=False)
        said = done.stdout.decode(errors="replace")
        assert done.returncode == 0 and "SKIPPED" not in said and "PASSED  ] 0" not in said, said[-4000:]


# --- configuration ---------------------------------------------------------------------------------------------------


def refusal(tmp_path, settings, environment, arguments=(), mode=0o600):
    """What a broker says that does not start; its exit status is not zero."""
    path = tmp_path / "server.properties"
    lines = {"listeners": "PLAINTEXT://127.0.0.1:0", "admin.listeners": "", "hint.listeners": "", "log.dirs": str(tmp_path / "log"), **settings}
    path.write_text("".join(f"{k}={v}\n" for k, v in lines.items()))
    path.chmod(mode)
    env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    done = subprocess.run([os.path.join(BUILD, "forelog-broker"), str(path), *arguments], env={**env, "HOME": str(tmp_path), **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=False)
    said = done.stdout.decode()
    assert done.returncode == 1, said
    assert SECRET_KEY not in said
    return said


def test_what_is_plainly_wrong_is_refused_and_says_what_to_do(tmp_path):
    s3 = {"archive.url": "s3://archive", "archive.s3.endpoint": "http://127.0.0.1:1"}
    in_file = {"archive.s3.access.key": ACCESS_KEY, "archive.s3.secret.key": SECRET_KEY}
    assert "AWS_ACCESS_KEY_ID" in refusal(tmp_path, s3, {})
    assert "only one of" in refusal(tmp_path, s3, {"AWS_ACCESS_KEY_ID": ACCESS_KEY})
    assert "chmod 600" in refusal(tmp_path, {**s3, **in_file}, {}, mode=0o644)
    assert "chmod 600" in refusal(tmp_path, {**s3, **in_file}, {}, mode=0o640)
    assert "--set" in refusal(tmp_path, s3, {}, arguments=["--set", f"archive.s3.secret.key={SECRET_KEY}"])
    assert "archive.s3.endpoint" in refusal(tmp_path, {**s3, "archive.s3.endpoint": "localhost:9000"}, keys())
    assert "not the name of a bucket" in refusal(tmp_path, {**s3, "archive.url": "s3://No_Bucket/x"}, keys())
    assert "neither" in refusal(tmp_path, {**s3, "archive.url": "gs://archive"}, keys())
    credentials = tmp_path / "credentials"
    credentials.write_text(f"[other]\naws_access_key_id={ACCESS_KEY}\naws_secret_access_key={SECRET_KEY}\n")
    credentials.chmod(0o644)
    in_credentials = {**s3, "archive.s3.credentials.file": str(credentials)}
    assert "chmod 600" in refusal(tmp_path, in_credentials, {})
    credentials.chmod(0o600)
    assert "[default]" in refusal(tmp_path, in_credentials, {})


def unusable(new_broker, settings, environment):
    """A broker that starts although it cannot use its archive: what it says of that. It serves meanwhile."""
    broker = new_broker(environment, **settings)
    topic = topic_name("served")
    create(broker, topic, 1)
    produce(broker, topic, [b"x"], partition=0)
    assert [m.value() for m in consume(broker, topic, 1)] == [b"x"]
    wait_until(lambda: "archive_unusable" in broker.process.log(), 20, "a word on the archive")
    said = next(line for line in broker.process.log().splitlines() if "archive_unusable" in line)
    assert SECRET_KEY not in broker.process.log()
    return said


def test_a_broker_starts_without_its_archive_and_says_what_to_do(server, new_broker):
    usable = server.settings()
    assert "the secret key is wrong" in unusable(new_broker, usable, keys(secret="wrong"))
    assert "does not know the access key" in unusable(new_broker, usable, keys(access="unknown"))
    assert "create it, or correct archive.url" in unusable(new_broker, {**usable, "archive.url": "s3://nowhere"}, keys())
    assert "refuses connections" in unusable(new_broker, {**usable, "archive.s3.endpoint": "http://127.0.0.1:1"}, keys())


@pytest.mark.parametrize("wrong", [keys(secret="another-secret"), keys(access="another-key")], ids=["secret", "access"])
def test_keys_that_were_wrong_or_rotated_are_read_again(tmp_path, server, new_broker, wrong):
    credentials = tmp_path / "credentials"

    def write(pair):
        credentials.write_text(f"[default]\naws_access_key_id={pair['AWS_ACCESS_KEY_ID']}\naws_secret_access_key={pair['AWS_SECRET_ACCESS_KEY']}\n")
        credentials.chmod(0o600)

    write(wrong)
    broker = new_broker(**server.settings(), **{"archive.s3.credentials.file": str(credentials)})
    wait_until(lambda: "archive_unusable" in broker.process.log(), 20, "the broker to say so")
    write(keys())
    wait_until(lambda: "archive_ready" in broker.process.log(), 30, "the keys to be read again")
    settled(broker, topic_name("rotated"), 3000)


def test_secrets_are_shown_to_nobody(tmp_path, server, new_broker):
    broker = new_broker({"HOME": str(tmp_path)}, **server.settings(), **{"archive.s3.access.key": ACCESS_KEY, "archive.s3.secret.key": SECRET_KEY})
    settled(broker, topic_name("secret"), 2000)
    client = admin(broker)
    resource = confluent_kafka.admin.ConfigResource(confluent_kafka.admin.ResourceType.BROKER, "0")
    described = client.describe_configs([resource])[resource].result(20)
    for name in ("archive.s3.secret.key", "archive.s3.access.key", "archive.s3.session.token"):
        assert described[name].is_sensitive and not described[name].value
    everything = broker.process.log() + broker.http("/metrics") + str({k: v.value for k, v in described.items()})
    assert SECRET_KEY not in everything and ACCESS_KEY not in everything


def test_tls_is_verified(tmp_path, new_broker):
    certificate, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key], check=True, stderr=subprocess.DEVNULL)
    with s3_server(tmp_path, certificate=(certificate, key)) as server:
        assert "archive.s3.ca.file" in unusable(new_broker, server.settings(), keys())
        credentials = tmp_path / "credentials"
        credentials.write_text(f"[default]\naws_access_key_id={ACCESS_KEY}\naws_secret_access_key={SECRET_KEY}\n")
        credentials.chmod(0o600)
        broker = new_broker({"AWS_SHARED_CREDENTIALS_FILE": str(credentials)}, **server.settings(), **{"archive.s3.ca.file": certificate})
        topic = topic_name("tls")
        content = settled(broker, topic, 3000)
        assert [m.value() for m in consume(broker, topic, len(content), seconds=60)] == content


# --- bad days --------------------------------------------------------------------------------------------------------


def test_one_request_in_five_fails(server, new_broker):
    with faulty(server.port) as (endpoint, faults):
        broker = new_broker(keys(), **server.settings(endpoint), **{"cache.memory": 4 << 20})
        faults.fail_every = 5
        topic = topic_name("fifth")
        content = settled(broker, topic, 6000)
        assert [m.value() for m in consume(broker, topic, len(content), seconds=60)] == content
        assert faults.failed >= 5
        assert broker.metric("forelog_s3_retries_total") >= 5
        assert broker.metric('forelog_s3_requests_total{kind="put",outcome="throttled"') + broker.metric('forelog_s3_requests_total{kind="get",outcome="throttled"') > 0
        faults.fail_every = 0


def first_error_or_record(broker, topic, offset, seconds=30):
    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker.address, "group.id": uuid.uuid4().hex, "fetch.message.max.bytes": 100_000})
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, offset)])
    try:
        return wait_until(lambda: consumer.poll(0.5), seconds, f"offset {offset}")
    finally:
        consumer.close()


def reader_at(broker, topic, offset):
    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker.address, "group.id": uuid.uuid4().hex, "fetch.message.max.bytes": 100_000})
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, offset)])
    return consumer


def test_wrong_bytes_and_a_missing_object_harm_only_their_shard(server, new_broker):
    with faulty(server.port) as (endpoint, faults):
        broker = new_broker(keys(), **server.settings(endpoint), **{"cache.memory": 4 << 20, "prefetch.mode": "off", "cache.failure.memory.ms": 100})
        topic = topic_name("wrong")
        content = settled(broker, topic, 6000)
        rows = [r for r in broker.json(f"/api/shards?topic={topic}")["shards"] if r["location"] == "archive"]
        lost, other, victim = rows[0], rows[1], rows[3]  # clients read ahead: nobody comes to the victim's end, nor to the lost one
        gone = next(path for path in server.files() if f"/{lost['base']:020}." in path)
        faults.wrong_in = f"{victim['base']:020}"
        os.rename(gone, gone + ".hidden")
        at_lost, at_victim = reader_at(broker, topic, lost["base"]), reader_at(broker, topic, victim["base"] + 500)
        wait_until(lambda: at_victim.poll(0.2) is None and broker.metric("forelog_archive_corrupt_blocks_total") >= 2, 30, "the checksum to be noticed")
        wait_until(lambda: at_lost.poll(0.2) is None and "NoSuchKey" in broker.process.log(), 30, "the missing object to be named")
        assert first_error_or_record(broker, topic, other["base"]).value() == content[other["base"]]
        # Both resume by themselves.
        faults.wrong_in = ""
        os.rename(gone + ".hidden", gone)
        for consumer in (at_lost, at_victim):
            message = wait_until(lambda c=consumer: c.poll(0.5), 30, "the shard to be readable again")
            assert message.error() is None and message.value() == content[message.offset()]
            consumer.close()


def test_away_and_back(tmp_path, server, new_broker):
    with toxiproxy(tmp_path, server.port) as proxy:
        broker = new_broker(keys(), **server.settings(proxy.endpoint), **{"archive.retry.backoff.max.ms": 2000})
        topic = topic_name("away")
        content = settled(broker, topic, 3000)
        proxy.enable(False)
        more = values(3000, 3000)
        produce(broker, topic, more, partition=0)
        assert first_error_or_record(broker, topic, 5990).value() == (content + more)[5990]
        wait_until(lambda: "refuses connections" in broker.process.log(), 30, "the outage to be noticed")
        proxy.enable(True)
        wait_until(lambda: archived_and_dropped(broker, topic), 90, "archiving to resume")
        assert [m.value() for m in consume(broker, topic, 6000, seconds=60)] == content + more
        # A stop does not wait for an archive that is away.
        proxy.enable(False)
        produce(broker, topic, more, partition=0)


def test_latency_breaks_and_stalls(tmp_path, server, new_broker):
    with toxiproxy(tmp_path, server.port) as proxy:
        broker = new_broker(keys(), **server.settings(proxy.endpoint), **{"cache.memory": 4 << 20, "archive.s3.stall.timeout.ms": 1000, "cache.load.timeout.ms": 20000})
        topic = topic_name("bad")
        content = settled(broker, topic, 6000)
        proxy.add("late", "latency", latency=50, jitter=10)
        proxy.add("break", "limit_data", bytes=700_000)  # each connection ends in the middle of a shard
        assert [m.value() for m in consume(broker, topic, len(content), seconds=90)] == content
        broken = broker.metric('forelog_s3_requests_total{kind="get",outcome="transport"}')
        assert broken > 0 and broker.metric('forelog_s3_retries_total{kind="get"}') > 0
        proxy.remove("break")
        proxy.add("reset", "reset_peer", timeout=30)
        threading.Timer(1.5, lambda: proxy.remove("reset")).start()
        assert [m.value() for m in consume(broker, topic, len(content), seconds=90)] == content
        proxy.add("stall", "timeout", timeout=0)  # takes everything and answers nothing
        threading.Timer(3, lambda: proxy.remove("stall")).start()
        assert [m.value() for m in consume(broker, topic, len(content), seconds=90)] == content
        assert broker.metric('forelog_s3_requests_total{kind="get",outcome="transport"}') > broken


# --- verify and restore ----------------------------------------------------------------------------------------------


def verify(broker, *more):
    """Exit status and output of `forelog archive verify`."""
    command = [os.path.join(BUILD, "forelog"), "archive", "verify", "--config", os.path.join(broker.folder, "server.properties"), *more]
    done = subprocess.run(command, env={**os.environ, **broker.environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
    return done.returncode, done.stdout.decode()


def test_verify_finds_what_is_damaged_missing_or_orphaned(server, new_broker):
    broker = new_broker(keys(), **server.settings())
    topic = topic_name("verify")
    settled(broker, topic, 5000)
    status, said = verify(broker)
    assert status == 0 and "0 damaged, 0 missing, 0 unreadable, 0 orphaned" in said, said
    topic_id = broker.json(f"/api/shards?topic={topic}")["topic_id"]
    objects = [path for path in server.files() if f"/{topic_id}/0/" in path]
    damaged, missing = objects[0], objects[1]
    with open(damaged, "r+b") as f:
        f.seek(300_000)
        byte = f.read(1)
        f.seek(300_000)
        f.write(bytes([byte[0] ^ 1]))
    os.rename(missing, missing + "0")  # under a name that is a shard's, of another generation
    name = lambda path: path.split("/of/tests/", 1)[1]
    for stopped in (False, True):
        if stopped:
            broker.stop()
        status, said = verify(broker)
        assert status == 1, said
        assert f"damaged: {name(damaged)}: " in said and "block 1 of" in said
        assert f"missing: {name(missing)}: " in said
        assert f"{name(missing)}0: " in said
        assert "objects" in said
    # The broker would remove the orphan: what it is told of is what it then does.
    os.rename(missing + "0", missing)
    with open(damaged, "r+b") as f:
        f.seek(300_000)
        f.write(byte)
    status, said = verify(broker, "--bucket-only")
    assert status == 0 and " 0 damaged, 0 missing" in said, said
    os.rename(missing, missing + ".away")
    status, said = verify(broker, "--bucket-only")
    assert status == 1 and "no shard has the offsets" in said
    os.rename(missing + ".away", missing)
    broker.start()


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_a_topic_is_rebuilt_from_nothing_but_the_bucket(server, new_broker):
    broker = new_broker(keys(), **server.settings())
    topic = topic_name("lost")
    create(broker, topic, 2, segment_bytes=1 << 20, local_retention_ms=1, retention_ms=86_400_000, **{"max_message_bytes": 2_000_000})
    content = values(5000)
    produce(broker, topic, content, partition=1, **{"linger.ms": 5, "enable.idempotence": True})
    wait_until(lambda: archived_and_dropped(broker, topic), 60, "the shards to be archived")
    rows = broker.json(f"/api/shards?topic={topic}")["shards"]
    end = max(r["end"] for r in rows if r["state"] == "archived" and r["partition"] == 1)
    topic_id = broker.json(f"/api/shards?topic={topic}")["topic_id"]
    broker.kill()
    # Everything that the broker had is gone: log, catalog, metadata.
    subprocess.run(["rm", "-rf", broker.settings["log.dirs"]], check=True)
    config = ["--config", os.path.join(broker.folder, "server.properties")]
    assert topic in broker.cli("archive", "topics", *config)
    said = broker.cli("archive", "restore", topic, *config)
    assert f"1: offsets 0 to {end}" in said, said
    broker.start()
    assert broker.json(f"/api/shards?topic={topic}")["topic_id"] == topic_id
    got = consume(broker, topic, end, seconds=60)
    assert [m.value() for m in got] == content[:end] and got[-1].offset() == end - 1
    client = admin(broker)
    resource = confluent_kafka.admin.ConfigResource(confluent_kafka.admin.ResourceType.TOPIC, topic)
    described = client.describe_configs([resource])[resource].result(20)
    assert described["segment.bytes"].value == str(1 << 20) and described["max.message.bytes"].value == "2000000"
    # It goes on where the archive ends, in a newer epoch, and the archive takes what comes.
    more = values(2000, 9000)
    produce(broker, topic, more, partition=1, **{"linger.ms": 5})
    wait_until(lambda: archived_and_dropped(broker, topic), 60, "what came later to be archived")
    got = consume(broker, topic, end + 2000, seconds=60)
    assert [m.value() for m in got] == content[:end] + more
    assert verify(broker)[0] == 0
    # While the broker runs, or with the topic there, nothing is touched.
    command = [os.path.join(BUILD, "forelog"), "archive", "restore", topic, *config]
    for says in ("Stop it first", "there is a topic"):
        done = subprocess.run(command, env={**os.environ, **broker.environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
        assert done.returncode == 1 and says in done.stdout.decode(), done.stdout.decode()
        if broker.process:
            broker.stop()


def test_no_partition_is_left_out_because_the_newest_description_is_damaged(server, new_broker):
    broker = new_broker(keys(), **server.settings())
    topic = topic_name("described")
    content = settled(broker, topic, 3000)
    descriptions = lambda: [path for path in server.files() if "/topic/" in path]
    older = descriptions()[0]
    with open(older, "rb") as f:
        before = f.read()
    client = admin(broker)
    client.create_partitions([confluent_kafka.admin.NewPartitions(topic, 3)])[topic].result(20)
    more = values(3000)
    produce(broker, topic, more, partition=2, **{"linger.ms": 5})
    wait_until(lambda: archived_and_dropped(broker, topic), 60, "the shards to be archived")
    rows = [r for r in broker.json(f"/api/shards?topic={topic}")["shards"] if r["state"] == "archived"]
    first_end, end = (max(r["end"] for r in rows if r["partition"] == number) for number in (0, 2))
    newest = wait_until(lambda: [path for path in descriptions() if path != older], 20, "the new description")[-1]
    broker.kill()
    # As a crash between the two leaves it, and a damaged disk of the server's.
    with open(older, "wb") as f:
        f.write(before)
    with open(newest, "r+b") as f:
        f.seek(20)
        f.write(b"?")
    subprocess.run(["rm", "-rf", broker.settings["log.dirs"]], check=True)
    said = broker.cli("archive", "restore", topic, "--config", os.path.join(broker.folder, "server.properties"))
    assert "3 partitions" in said and f"2: offsets 0 to {end}" in said, said
    broker.start()
    got = [m.value() for m in consume(broker, topic, first_end + end, seconds=60)]
    assert set(got) == {*content[:first_end], *more[:end]}


def test_restore_names_what_is_missing_and_takes_the_rest_if_told(server, new_broker):
    broker = new_broker(keys(), **server.settings())
    topic = topic_name("gap")
    content = settled(broker, topic, 5000)
    rows = [r for r in broker.json(f"/api/shards?topic={topic}")["shards"] if r["state"] == "archived"]
    broker.kill()
    subprocess.run(["rm", "-rf", broker.settings["log.dirs"]], check=True)
    victim = rows[1]
    os.remove(next(path for path in server.files() if f"/{victim['base']:020}." in path))
    command = [os.path.join(BUILD, "forelog"), "archive", "restore", topic, "--config", os.path.join(broker.folder, "server.properties")]
    run = lambda *more: subprocess.run([*command, *more], env={**os.environ, **broker.environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
    done = run()
    assert done.returncode == 1 and f"offsets {victim['base']} to {victim['end'] - 1}" in done.stdout.decode(), done.stdout.decode()
    # Half done is not served.
    done = subprocess.run([os.path.join(BUILD, "forelog-broker"), os.path.join(broker.folder, "server.properties")], env={**os.environ, **broker.environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=False)
    assert done.returncode == 1 and "run forelog archive restore again" in done.stdout.decode()
    done = run("--partial", "--as", "rescued")
    assert done.returncode == 0 and "left out" in done.stdout.decode(), done.stdout.decode()
    broker.start()
    got = consume(broker, "rescued", rows[-1]["end"] - victim["end"], seconds=60)
    assert got[0].offset() == victim["end"] and [m.value() for m in got] == content[victim["end"]:rows[-1]["end"]]
