"""One server for the session; every test has an address of its own."""

import secrets
from collections.abc import Callable, Iterator

import pytest

from reelbank.stores import s3
from reelbank.stores.files import Files
from reelbank.stores.s3 import S3
from reelbank.stores.store import Store, open_store
from tests.s3.faults import FaultyProxy, faulty_proxy
from tests.s3.server import S3Server, forget_connections, s3_server
from tests.stores.builders import filled_store


@pytest.fixture(scope="session")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture
def uri(server: S3Server) -> str:
    """Where nothing is yet."""
    return server.new_uri()


@pytest.fixture(scope="session")
def filled() -> dict[str, bytes]:
    """Path -> bytes of a filled store, made in memory."""
    files = filled_store(open_store(f"memory://{secrets.token_hex(4)}", create=True)).files
    return {path: files.read(path) for path in files.walk("")}


@pytest.fixture
def put(uri: str) -> Callable[[dict[str, bytes]], Store]:
    """Brings a store that was made elsewhere to the address: quicker than to fill it there."""

    def bring(found: dict[str, bytes]) -> Store:
        files = Files(uri)
        files.fs.pipe({files.absolute(path): data for path, data in found.items()})
        return open_store(uri)

    return bring


@pytest.fixture
def proxy(server: S3Server) -> Iterator[FaultyProxy]:
    """Troubles between this process and the server, by rule; none at first."""
    with faulty_proxy(server.endpoint) as running:
        yield running


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As many attempts as people have, but silence is noticed soon and waits are short."""
    monkeypatch.setattr(S3, "read_timeout", 0.5)
    monkeypatch.setattr(s3, "_wait", lambda attempt: 0.01)
    monkeypatch.setattr("botocore.retryhandler.delay_exponential", lambda **_: 0.01)
    forget_connections()
    yield
    forget_connections()


@pytest.fixture
def impatient(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two attempts: what stays wrong is told early."""
    monkeypatch.setattr(s3, "ATTEMPTS", 2)
    monkeypatch.setitem(s3.OPTIONS["config_kwargs"]["retries"], "total_max_attempts", 2)
