"""A proxy between client and server that makes trouble: by rule, counted, never by chance."""

import http.client
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from tests.s3.server import s3_environment

PIECES = 20
"""In how many pieces a slow body is sent."""

CODES = {403: "AccessDenied", 500: "InternalError", 503: "SlowDown"}


@dataclass(frozen=True)
class Fault:
    """What happens to one request."""

    kind: Literal["answer", "silence", "slow", "cut", "freeze", "lost"]
    """answer: an error, the server is not asked; silence: no answer at all, nor is it asked;
    slow: the body comes in small pieces; cut: the connection breaks in the middle of the body;
    freeze: the body stops in its middle; lost: the server did it, and the connection breaks
    before the answer."""
    status: int = 503
    """Of the kind 'answer'."""
    code: str = ""
    """S3's name of that error; by default the usual one."""
    seconds: float = 1.0
    """How long a slow body takes in all."""


@dataclass(frozen=True)
class Rule:
    """To which requests a fault happens: of those that match, a stretch or every so many."""

    fault: Fault
    method: str = ""
    """GET, HEAD, PUT, POST or DELETE; any where empty."""
    path: str = ""
    """Regular expression that is searched in path and query."""
    skip: int = 0
    """So many pass first."""
    times: int | None = None
    """So many suffer; all from then on where None."""
    every: int = 1
    """Of those, each so-manieth suffers."""

    def matches(self, method: str, path: str) -> bool:
        return self.method in ("", method) and re.search(self.path, path) is not None

    def hits(self, number: int) -> bool:
        """Whether the matching request of that number, from 0, suffers."""
        number -= self.skip
        if number < 0 or number % self.every:
            return False
        return self.times is None or number // self.every < self.times


@dataclass(frozen=True)
class Seen:
    """A request that came by."""

    method: str
    path: str
    """With its query."""
    headers: dict[str, str]
    """Names in lower case."""
    num_bytes: int
    """Of its body."""
    fault: Fault | None


@dataclass
class FaultyProxy:
    """Where clients connect to, and what they asked."""

    endpoint: str
    server: str
    rules: Sequence[Rule] = ()
    seen: list[Seen] = field(default_factory=list)
    is_closed: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    _counts: dict[Rule, int] = field(default_factory=dict)

    def set(self, *rules: Rule) -> None:
        """Begin anew with these rules and nothing seen."""
        with self.lock:
            self.rules = rules
            self.seen.clear()
            self._counts.clear()

    def note(self, method: str, path: str, headers: dict[str, str], size: int) -> Fault | None:
        """Count the request; the fault that it suffers, by the first rule that hits."""
        with self.lock:
            suffered = None
            for rule in self.rules:
                if rule.matches(method, path):
                    number = self._counts.get(rule, 0)
                    self._counts[rule] = number + 1
                    if suffered is None and rule.hits(number):
                        suffered = rule.fault
            self.seen.append(Seen(method, path, headers, size, suffered))
            return suffered

    def asked(self, method: str = "", path: str = "") -> list[Seen]:
        """Requests of that method whose path and query hold the expression."""
        with self.lock:
            return [
                one
                for one in self.seen
                if method in ("", one.method) and re.search(path, one.path) is not None
            ]

    @property
    def num_faults(self) -> int:
        """How many requests suffered."""
        with self.lock:
            return sum(one.fault is not None for one in self.seen)


@contextmanager
def faulty_proxy(server: str) -> Iterator[FaultyProxy]:
    """A proxy before that endpoint; s3:// addresses lead through it for as long."""
    listener = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    listener.daemon_threads = True
    listener.block_on_close = False
    proxy = FaultyProxy(f"http://127.0.0.1:{listener.server_port}", server)
    listener.proxy = proxy  # type: ignore[attr-defined]
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        with s3_environment(proxy.endpoint):
            yield proxy
    finally:
        proxy.is_closed.set()
        listener.shutdown()
        listener.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client, and one to the server beside it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Any

    def setup(self) -> None:
        super().setup()
        self.proxy: FaultyProxy = self.server.proxy
        address = urlsplit(self.proxy.server)
        self.upstream = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)

    def finish(self) -> None:
        self.upstream.close()
        super().finish()

    def handle_expect_100(self) -> bool:
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def log_message(self, *_: Any) -> None:
        """Nothing: `seen` has it all."""

    def relay(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        fault = self.proxy.note(self.command, unquote(self.path), headers, len(body))
        kind = fault.kind if fault else None
        if kind == "silence":
            self.proxy.is_closed.wait()
            self.close_connection = True
        elif fault and kind == "answer":
            self.refuse(fault)
        else:
            headers.pop("expect", None)
            self.upstream.request(self.command, self.path, body, headers)
            answer = self.upstream.getresponse()
            data = answer.read()
            if kind == "lost":
                self.close_connection = True
                return
            self.pass_on(answer, data, fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = relay

    def refuse(self, fault: Fault) -> None:
        code = fault.code or CODES.get(fault.status, "InternalError")
        data = (
            f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code>"
            f"<Message>by rule</Message><RequestId>0</RequestId></Error>"
        ).encode()
        self.send_response(fault.status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else data)
        self.wfile.flush()

    def pass_on(self, answer: http.client.HTTPResponse, data: bytes, fault: Fault | None) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        if length is not None and answer.status != 204:
            self.send_header("Content-Length", length)
        self.end_headers()
        if fault is None:
            self.wfile.write(data)
            self.wfile.flush()
            return
        self.send_badly(data, fault)

    def send_badly(self, data: bytes, fault: Fault) -> None:
        if fault.kind == "slow":
            size = max(1, -(-len(data) // PIECES))
            for start in range(0, len(data), size):
                self.wfile.write(data[start : start + size])
                self.wfile.flush()
                self.proxy.is_closed.wait(fault.seconds / PIECES)
            return
        self.close_connection = True
        self.wfile.write(data[: len(data) // 2])
        self.wfile.flush()
        if fault.kind == "freeze":
            self.proxy.is_closed.wait()
