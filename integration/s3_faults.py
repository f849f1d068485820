"""A proxy that speaks HTTP in front of an S3 server and does what a bad day does to answers: errors, wrong bytes."""
import contextlib
import http.client
import http.server
import threading

SLOW_DOWN = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>'


class Faults:
    """What is to go wrong now; changed by a test while requests are under way."""

    def __init__(self):
        self.fail_every = 0  # the n-th request gets 503 SlowDown
        self.wrong_in = ""  # answers to GETs of keys that contain this have a byte flipped
        self.requests = self.failed = self.damaged = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        faults = self.server.faults
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            faults.requests += 1
            fails = faults.fail_every and faults.requests % faults.fail_every == 0
            faults.failed += bool(fails)
        if fails:
            self.send_response(503)
            self.send_header("Content-Length", str(len(SLOW_DOWN)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else SLOW_DOWN)
            return
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=60)
        # The signature covers Host, so the request goes on as it came.
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            upstream.putheader(name, value)
        upstream.endheaders(body)
        reply = upstream.getresponse()
        data = reply.read()
        if faults.wrong_in and faults.wrong_in in self.path and self.command == "GET" and len(data) > 100_000:
            data = bytearray(data)
            data[len(data) // 2] ^= 1
            faults.damaged += 1
        self.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        if self.command != "HEAD" and reply.getheader("Content-Length") is None:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        upstream.close()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def faulty(port):
    """A proxy in front of `port`; yields (endpoint, Faults)."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.faults, server.lock, server.upstream = Faults(), threading.Lock(), port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server.faults
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
