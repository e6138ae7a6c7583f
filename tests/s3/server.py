"""A real S3 server on loopback: moto's, in a process of its own that ends with this one.

`python -m tests.s3.server` is that process: it prints its port, and stops at the end of its input.
"""

import io
import os
import secrets
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.shared_data import ROOT

FOREIGN = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE")
"""Variables by which a person's own settings would reach the tests."""
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@dataclass(frozen=True)
class S3Server:
    """A server that runs, and a bucket of its own."""

    endpoint: str
    """http://127.0.0.1:<port>."""
    bucket: str

    @property
    def uri(self) -> str:
        """The bucket, which starts empty."""
        return f"s3://{self.bucket}"

    def new_uri(self) -> str:
        """An address below the bucket at which nothing is yet."""
        return f"{self.uri}/{secrets.token_hex(4)}"


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Start a server; this process and its children reach it, and no other, by s3:// addresses."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.s3.server"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in PROXIES},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            port = process.stdout.readline().strip()
            if not port:
                raise RuntimeError("moto's server did not start; is moto[s3,server] installed?")
            server = S3Server(f"http://127.0.0.1:{port}", f"films-{secrets.token_hex(4)}")
            make_bucket(server.endpoint, server.bucket)
            with s3_environment(server.endpoint):
                yield server
        finally:
            process.stdin.close()
            process.wait(20)


def make_bucket(endpoint: str, bucket: str) -> None:
    """Make a bucket."""
    request = urllib.request.Request(f"{endpoint}/{bucket}", method="PUT")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=20) as answer:
        answer.read()


@contextmanager
def s3_environment(endpoint: str, **changes: str) -> Iterator[None]:
    """Set what clients in this process and its children go by; put it back afterwards."""
    here = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }
    before = {name: os.environ.get(name) for name in (*here, *changes, *FOREIGN, *PROXIES)}
    _set(dict.fromkeys(before) | here | changes)
    forget_connections()
    try:
        yield
    finally:
        _set(before)
        forget_connections()


def forget_connections() -> None:
    """Let the next file system look at the environment anew: fsspec keeps those it made."""
    from s3fs import S3FileSystem

    from reelbank.stores.s3 import S3

    S3.clear_instance_cache()
    S3FileSystem.clear_instance_cache()


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


# In the process of the server.

Application = Callable[[dict[str, Any], Callable[..., Any]], Any]


class AtomicCreation:
    """One conditional write at a time: moto looks first and writes then, S3 does both at once."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if "HTTP_IF_NONE_MATCH" not in environ or environ["REQUEST_METHOD"] == "GET":
            return self._application(environ, start_response)
        # Read before the lock is taken: a slow sender must not hold up the others.
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        with self._lock:
            return self._application(environ | {"wsgi.input": io.BytesIO(body)}, start_response)


def serve() -> None:
    """Listen on a free port of loopback until the input ends."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log_request(self, *_: Any) -> None:
            """Nothing: tests look at answers."""

    application = AtomicCreation(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    serve()
