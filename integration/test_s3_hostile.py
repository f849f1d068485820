"""A server that speaks S3 and lies: what is asked of it ends, and its listings are believed only where they are whole."""
import contextlib
import http.server
import itertools
import os
import subprocess
import threading
import urllib.parse

import pytest

from harness import BUILD
from s3_server import keys

TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAQ"


def shard(base):
    return f"of/tests/forelog/{TOPIC_ID}/0/{base:020}.0"


def page(names, more="", truncated=False):
    objects = "".join(f"<Contents><Key>{name}</Key><Size>100</Size></Contents>" for name in names)
    token = f"<NextContinuationToken>{more}</NextContinuationToken>" if more else ""
    return f"<ListBucketResult><IsTruncated>{str(truncated or bool(more)).lower()}</IsTruncated>{token}{objects}</ListBucketResult>".encode()


@contextlib.contextmanager
def server(answer):
    """`answer(method, path, query)` yields status, body (bytes, or pieces without end), and headers if need be."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self):
            url = urllib.parse.urlsplit(self.path)
            status, body, *more = answer(self.command, url.path, dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True)))
            self.send_response(status)
            for name, value in more[0].items() if more else ():
                self.send_header(name, value)
            size = len(body) if isinstance(body, bytes) else 1 << 50
            self.send_header("Content-Length", str(size))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.writelines([body] if isinstance(body, bytes) else body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = respond

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            pass

    instance = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=instance.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{instance.server_address[1]}"
    finally:
        instance.shutdown()
        instance.server_close()


def archive(tmp_path, endpoint, *command, seconds=30, environment=None):
    config = tmp_path / "server.properties"
    config.write_text(f"archive.url=s3://archive/of/tests\narchive.s3.endpoint={endpoint}\nlog.dirs={tmp_path / 'log'}\n")
    config.chmod(0o600)
    done = subprocess.run([os.path.join(BUILD, "forelog"), "archive", *command, "--config", str(config)], env={**os.environ, **(environment or keys())}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, check=False)
    return done.returncode, done.stdout.decode()


FIRST, SECOND = [shard(n) for n in range(5)], [shard(n) for n in range(5, 10)]
INCOMPLETE = {
    "more, and no way to ask for it": lambda token: page(FIRST, truncated=True),
    "the same page for ever": lambda token: page(FIRST, more="t"),
    "the same page under two names": lambda token: page(FIRST, more="b" if token == "a" else "a"),
    "in no order": lambda token: page(FIRST) if token else page(SECOND, more="t"),
}


# A topic rebuilt from a part of its listing would give the offsets of the other part to new records.
@pytest.mark.parametrize("lie", INCOMPLETE)
def test_a_listing_that_cannot_be_whole_is_an_error(tmp_path, lie):
    with server(lambda method, path, query: (200, INCOMPLETE[lie](query.get("continuation-token", "")))) as endpoint:
        status, said = archive(tmp_path, endpoint, "topics")
    assert status == 1 and "listing" in said, said


def test_a_last_page_may_be_empty(tmp_path):
    def answer(method, path, query):
        if "list-type" not in query:
            return 404, b""
        return 200, page([]) if "continuation-token" in query else page(FIRST, more="t")

    with server(answer) as endpoint:
        status, said = archive(tmp_path, endpoint, "topics")
    assert status == 0 and TOPIC_ID in said, said


def test_verify_does_not_call_sound_what_is_listed_and_cannot_be_read(tmp_path):
    with server(lambda method, path, query: (200, page(FIRST)) if "list-type" in query else (404, b"")) as endpoint:
        status, said = archive(tmp_path, endpoint, "verify", "--bucket-only")
    assert status == 1 and f"missing: {FIRST[0].removeprefix('of/tests/')}: " in said, said


def test_a_page_of_a_proxy_makes_no_object_a_missing_one(tmp_path):
    sorry = b"<html><body>Not Found</body></html>"
    with server(lambda method, path, query: (200, page(FIRST)) if "list-type" in query else (404, sorry, {"Content-Type": "text/html"})) as endpoint:
        status, said = archive(tmp_path, endpoint, "verify", "--bucket-only")
    assert status == 1 and f"unreadable: {FIRST[0].removeprefix('of/tests/')}: " in said and "missing: forelog/" + TOPIC_ID + "/0/" not in said, said


# The whole object instead of the range, or the range and more: what is not wanted is not waited for.
@pytest.mark.parametrize("status, headers, says", [(200, {}, "is not the range asked for"), (206, {"Content-Range": "bytes 0-99/100"}, "no magic at the end")], ids=["whole", "more"])
def test_an_answer_without_end_is_not_waited_for(tmp_path, status, headers, says):
    def answer(method, path, query):
        return (200, page(FIRST)) if "list-type" in query else (status, itertools.repeat(b"x" * 65536), headers)

    with server(answer) as endpoint:
        result, said = archive(tmp_path, endpoint, "verify", "--bucket-only", seconds=20)
    assert result == 1 and f"damaged: {FIRST[0].removeprefix('of/tests/')}: " in said and says in said, said


# As in the parts of a large upload beside a server that is busy.
def test_keys_that_expire_between_two_tries_are_read_again(tmp_path):
    credentials = tmp_path / "credentials"

    def write(key):
        credentials.write_text(f"[default]\naws_access_key_id={key}\naws_secret_access_key=secret\n")
        credentials.chmod(0o600)

    def answer(method, path, query):
        if query.get("max-keys") == "1":  # a look whether the archive answers
            return 200, page([])
        number = next(asked)
        if number == 0:
            return 503, b"<Error><Code>SlowDown</Code></Error>"
        if number == 1:
            write("new")
            return 403, b"<Error><Code>ExpiredToken</Code></Error>"
        return 200, page([])

    write("old")
    asked = itertools.count()
    with server(answer) as endpoint:
        status, said = archive(tmp_path, endpoint, "topics", environment={"AWS_SHARED_CREDENTIALS_FILE": str(credentials)})
    assert status == 0, said
