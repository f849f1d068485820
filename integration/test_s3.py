"""The archive in S3: a real server (versitygw; minio in `make verify`), with latency, resets and stalls by toxiproxy."""
import os
import random
import subprocess
import uuid

import confluent_kafka
import pytest

from harness import BUILD, ROOT, run, wait_until
from s3_server import ACCESS_KEY, SECRET_KEY, keys, s3_server, toxiproxy
from test_archive import archived_and_dropped, settled, shards, values
from test_python_clients import admin, consume, create, produce

SERVERS = ["versitygw", "minio"]


@pytest.fixture
def server(tmp_path):
    with s3_server(tmp_path) as instance:
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
        assert broker.metric("forelog_s3_sent_bytes_total") > sum(len(v) for v in content)
        assert broker.metric("forelog_s3_connections_opened_total") < 64  # the others are used again
        broker.stop()
        broker.start()
        assert [m.value() for m in consume(broker, topic, len(content), seconds=60)] == content
        # Deleting the topic empties the bucket.
        client = admin(broker)
        client.delete_topics([topic])[topic].result(20)
        if kind == "versitygw":
            wait_until(lambda: not [f for f in server.files() if "__" not in f], 60, "the bucket to be empty")


@pytest.mark.parametrize("kind", SERVERS)
def test_the_store_keeps_the_contract_of_all_object_stores(tmp_path, kind):
    program = os.path.join(BUILD, "tests", "env_test")
    assert os.path.exists(program), "run make test-programs"
    with s3_server(tmp_path, kind) as server:
        env = {**os.environ, **keys(), "FORELOG_TEST_S3": server.endpoint, "FORELOG_TEST_S3_KIND": kind}
        done = subprocess.run([program, "--gtest_filter=*InS3*:ObjectStoreContract/2.*"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, timeout=120, check=False)
        said = done.stdout.decode(errors="replace")
        assert done.returncode == 0 and "SKIPPED" not in said and "PASSED  ] 0" not in said, said[-4000:]
