"""Single files on S3: what goes wrong once is tried again, what stays wrong is one sentence."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from reelbank.stores import s3
from reelbank.stores.files import Files
from reelbank.stores.s3 import S3, RemoteError
from reelbank.stores.store import open_store
from tests.s3.faults import Fault, FaultyProxy, Rule
from tests.s3.server import forget_connections, s3_environment
from tests.shared_data import ROOT

DATA = bytes(range(256)) * 4000
"""A megabyte, so that a body comes in many packets."""


@pytest.fixture
def files(impatient: None, proxy: FaultyProxy, uri: str) -> Files:
    found = Files(uri)
    found.write_new("folder/file", DATA)
    return found


ONE_TIME = [
    Fault("answer", 500),
    Fault("answer", 503),
    Fault("cut"),
    Fault("freeze"),
    Fault("lost"),
    Fault("silence"),
]


@pytest.mark.parametrize("fault", ONE_TIME, ids=lambda fault: f"{fault.kind}{fault.status}")
def test_a_fault_that_happens_once_is_not_noticed(fault, files, proxy):
    def suffering(method: str, action: Callable[[], object]) -> object:
        proxy.set(Rule(fault, method=method, times=1))
        found = action()
        assert proxy.num_faults == 1
        return found

    assert suffering("GET", lambda: files.read("folder/file")) == DATA
    assert suffering("GET", lambda: files.read_many(["folder/file"]))["folder/file"] == DATA
    assert suffering("GET", lambda: files.list_names("folder")) == ["file"]
    assert suffering("GET", lambda: files.open("folder/file").read()) == DATA
    suffering("PUT", lambda: files.write_new("folder/other", DATA))
    assert files.read("folder/other") == DATA


def test_a_slow_answer_is_waited_for(files, proxy):
    proxy.set(Rule(Fault("slow", seconds=1.5), method="GET"))
    began = time.monotonic()
    assert files.read("folder/file") == DATA
    assert time.monotonic() - began > 1
    assert len(proxy.asked("GET")) == 1


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (Fault("cut"), "no whole answer from .* in 2 attempts .*check the network and AWS_ENDPOI"),
        (Fault("freeze"), "no whole answer from .*check the network"),
        (Fault("silence"), "no whole answer from .*Read timeout.*check the network"),
        (Fault("answer", 500), "answered InternalError .* each of 2 attempts; give the same"),
        (Fault("answer", 503), "answered SlowDown .* each of 2 attempts; give the same"),
    ],
    ids=lambda value: f"{value.kind}{value.status}" if isinstance(value, Fault) else "",
)
def test_a_fault_that_stays_is_one_sentence_that_names_file_cause_and_remedy(
    fault, found, files, proxy
):
    proxy.set(Rule(fault, method="GET"))
    for action in (
        lambda: files.read("folder/file"),
        lambda: files.read_many(["folder/file"]),
        lambda: files.open("folder/file").read(),
    ):
        with pytest.raises(RemoteError, match=found) as raised:
            action()
        text = str(raised.value)
        assert text.startswith(f"{files.uri}/folder/file: cannot be read: ")
        assert "\n" not in text


def test_short_data_never_comes_back(files, proxy):
    """Whatever the server breaks off, and however often: all bytes, or an error."""
    for skip in range(3):
        proxy.set(Rule(Fault("cut"), method="GET", skip=skip, every=2))
        for _ in range(4):
            assert files.read("folder/file") == DATA
            with files.open("folder/file") as stream:
                stream.seek(1000)
                assert stream.read(5000) == DATA[1000:6000]


@pytest.mark.parametrize(
    ("status", "code", "found"),
    [
        (403, "AccessDenied", r"denies it \(AccessDenied\); .* allow s3:GetObject$"),
        (403, "InvalidAccessKeyId", "does not accept the credentials .* AWS_ACCESS_KEY_ID and"),
        (403, "SignatureDoesNotMatch", "does not accept the credentials .*AWS_SECRET_ACCESS_KEY"),
        (400, "ExpiredToken", "does not accept the credentials"),
        (400, "AuthorizationHeaderMalformed", "AWS_DEFAULT_REGION"),
    ],
)
def test_a_refusal_is_not_repeated_and_says_what_to_check(status, code, found, files, proxy):
    proxy.set(Rule(Fault("answer", status, code), method="GET"))
    with pytest.raises(RemoteError, match=found):
        files.read("folder/file")
    assert len(proxy.asked("GET")) == 1


def test_a_file_that_is_not_there_is_named(files):
    with pytest.raises(FileNotFoundError, match=r"no such file: '.*/folder/none'"):
        files.read("folder/none")


# One sentence for an address that leads nowhere, from whoever opens a store.


def sentence(uri: str, *, create: bool) -> str:
    with pytest.raises(ValueError, match=re.escape(uri)) as raised:
        open_store(uri, create=create)
    text = str(raised.value)
    assert "\n" not in text
    return text


def test_a_bucket_that_is_not_there(server):
    assert "there is no store" in sentence("s3://nowhere-at-all/store", create=False)
    text = sentence("s3://nowhere-at-all/store", create=True)
    assert f"there is no bucket 'nowhere-at-all' at {server.endpoint}; make it" in text


def test_a_name_that_no_bucket_can_have(server):
    with pytest.raises(ValueError, match=r"'No Bucket!' cannot name a bucket; give s3://bucket"):
        open_store("s3://No Bucket!/store")


def test_a_place_where_nothing_is(uri):
    assert "there is no store at" in sentence(uri, create=False)


def test_no_permission_names_the_store_and_the_permission(proxy, uri):
    proxy.set(Rule(Fault("answer", 403)))
    assert "s3:GetObject and s3:ListBucket" in sentence(uri, create=False)
    proxy.set(Rule(Fault("answer", 403), method="PUT"))
    text = sentence(uri, create=True)
    assert "store.json: cannot be written" in text
    assert text.endswith("s3:PutObject")


def test_no_credentials(server, uri, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    forget_connections()
    text = sentence(uri, create=False)
    assert "no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in text
    forget_connections()


def test_a_server_that_is_not_there(impatient, uri):
    with s3_environment("http://127.0.0.1:9"):
        text = sentence(uri, create=False)
    assert "no whole answer from http://127.0.0.1:9 in 2 attempts" in text
    assert "check the network and AWS_ENDPOINT_URL" in text


def test_without_s3fs_the_sentence_says_what_to_install():
    code = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from reelbank.stores.store import open_store\n"
        "try: open_store('s3://bucket/store')\n"
        "except ValueError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert "'s3://bucket/store' needs the package s3fs" in done.stdout
    assert "pip install 'reelbank[s3]'" in done.stdout


# Creation: of two, one.


def test_a_created_file_is_asked_for_on_condition_and_stays_as_it_was(files, proxy):
    proxy.set()
    assert files.create("new", b"first")
    assert not files.create("new", b"second")
    assert files.read("new") == b"first"
    puts = proxy.asked("PUT")
    assert [put.headers.get("if-none-match") for put in puts] == ["*", "*"]


@pytest.mark.slow
def test_a_created_file_of_many_parts_is_asked_for_on_condition(files, proxy):
    proxy.set()
    data = bytes(101 << 20)
    assert files.create("large", data)
    ends = proxy.asked("POST", "uploadId")
    assert {end.headers.get("if-none-match") for end in ends} == {"*"}
    assert not files.create("large", data[:-1])
    assert files.size("large") == len(data)


def test_a_creation_whose_answer_is_lost_fails_to_itself(files, proxy):
    """The file is there, and whole; whoever created it must look whose it is."""
    proxy.set(Rule(Fault("lost"), method="PUT", times=1))
    assert not files.create("new", b"mine")
    assert len(proxy.asked("PUT")) == 2
    assert files.read("new") == b"mine"


def test_two_creations_that_meet_are_sent_again(files, proxy):
    proxy.set(Rule(Fault("answer", 409, "ConditionalRequestConflict"), method="PUT", times=1))
    assert files.create("new", b"mine")
    assert len(proxy.asked("PUT")) == 2


RACER = """
import json, sys, time
from reelbank.stores.files import Files

files, me, num_rounds, start = Files(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
files.exists("warm")
won = []
for number in range(num_rounds):
    time.sleep(max(0.0, start + number * 0.05 - 0.002 - time.time()))
    while time.time() < start + number * 0.05:
        pass
    if files.create(f"commits/{number}", me.encode()):
        won.append(number)
print(json.dumps(won))
"""


def race(uri: str, *, num_rounds: int, num_racers: int) -> list[list[int]]:
    start = time.time() + 4
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, uri, str(me), str(num_rounds), str(start)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for me in range(num_racers)
    ]
    answers = [racer.communicate(timeout=100)[0] for racer in racers]
    return [json.loads(answer) for answer in answers]


def test_of_two_processes_that_create_one_file_exactly_one_wins(uri):
    wins = race(uri, num_rounds=20, num_racers=2)
    assert sorted(number for won in wins for number in won) == list(range(20))
    files = Files(uri)
    for me, won in enumerate(wins):
        assert all(files.read(f"commits/{number}") == str(me).encode() for number in won)


# Folders.


@pytest.mark.slow
def test_a_folder_of_thousands_is_listed_whole(files, proxy):
    """More than one page, each of which may suffer."""
    names = [f"{number:04x}.json" for number in range(1100)]
    put_many(files, [f"many/{name}" for name in names])
    proxy.set(Rule(Fault("cut"), method="GET", path="list-type", every=2))
    assert files.list_names("many") == names
    assert len(proxy.asked("GET", "list-type")) == 4
    proxy.set()
    assert files.walk("many") == [f"many/{name}" for name in names]


def put_many(files: Files, paths: list[str]) -> None:
    files.fs.pipe({files.absolute(path): b"" for path in paths})


def test_what_another_process_writes_is_seen_at_once(files, uri):
    forget_connections()
    other = Files(uri)
    assert other.fs is not files.fs
    assert not files.exists("later")
    assert files.list_names("") == ["folder"]
    other.write_new("later", b"now")
    assert files.exists("later")
    assert files.list_names("") == ["folder", "later"]
    other.remove("later")
    assert not files.exists("later")


def test_a_removed_file_is_gone_and_may_be_removed_again(files):
    files.remove("folder/file")
    files.remove("folder/file")
    assert not files.exists("folder/file")


def test_the_patience_is_bounded():
    """Silence costs a minute for each request, not the five of s3fs's own settings."""
    assert S3.read_timeout * s3.ATTEMPTS <= 60
    assert S3.retries == 1
    assert s3.OPTIONS["config_kwargs"]["retries"]["total_max_attempts"] == s3.ATTEMPTS
