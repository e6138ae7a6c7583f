"""S3 through s3fs: time limits, retries with back-off, and one sentence for what stays wrong.

botocore tries a request again after 5xx, throttling, silence and broken connections; what it does
not see is a body that breaks off while it is read, so that one is asked for anew here.
"""

import asyncio
import errno
import io
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
)
from botocore.exceptions import (
    ConnectionError as NoConnection,
)
from fsspec.asyn import sync
from s3fs import S3FileSystem
from s3fs.core import S3_RETRYABLE_ERRORS

ATTEMPTS = 6
"""Of a request, and then of reading its answer; the waits add up to a quarter of a minute each."""

OPTIONS = {
    # Not 'standard': its quota of retries runs dry where many files are read at once.
    "config_kwargs": {
        "retries": {"mode": "legacy", "total_max_attempts": ATTEMPTS},
        "max_pool_connections": 32,
    },
    # 1: a file is read by one request, without asking for its size before.
    "max_concurrency": 1,
    # Another process may write at any moment.
    "use_listings_cache": False,
    "default_block_size": 8 << 20,
}
"""How `S3` is made."""

_DEEDS = {
    "get_object": ("read", "s3:GetObject"),
    "head_object": ("looked up", "s3:GetObject and s3:ListBucket"),
    "head_bucket": ("looked up", "s3:ListBucket"),
    "list_objects_v2": ("listed", "s3:ListBucket"),
    "delete_object": ("removed", "s3:DeleteObject"),
    "delete_objects": ("removed", "s3:DeleteObject"),
}
"""Method -> what it does, and the permission that it needs; every other one writes."""

_BAD_CREDENTIALS = ("ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch")


class RemoteError(OSError):
    """A file on S3 that stays out of reach: file name and one sentence."""

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


class S3(S3FileSystem):  # type: ignore[misc]  # s3fs has no types
    """S3 with patience that ends, and answers that are whole."""

    connect_timeout = 5
    read_timeout = 10
    # botocore's attempts are enough: these would multiply them.
    retries = 1

    async def _call_s3(self, method: str, *args: Any, **kwargs: Any) -> Any:
        try:
            if method != "get_object":
                return await super()._call_s3(method, *args, **kwargs)
            return await self._get_whole(*args, **kwargs)
        except (BotoCoreError, OSError, *S3_RETRYABLE_ERRORS) as error:
            raise self._explained(error, method, kwargs) from error

    async def _get_whole(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        for attempt in range(1, ATTEMPTS):
            answer: dict[str, Any] = await super()._call_s3("get_object", *args, **kwargs)
            try:
                return answer | {"Body": await _whole(answer)}
            except S3_RETRYABLE_ERRORS:
                await asyncio.sleep(_wait(attempt))
        answer = await super()._call_s3("get_object", *args, **kwargs)
        return answer | {"Body": await _whole(answer)}

    async def _pipe_file(self, path: str, data: bytes, *args: Any, **kwargs: Any) -> Any:
        for attempt in range(1, ATTEMPTS):
            try:
                return await super()._pipe_file(path, data, *args, **kwargs)
            except RemoteError as error:
                # Two conditional writes at one moment: S3 may turn both away, to be sent anew.
                if error.errno != errno.EBUSY:
                    raise
                await asyncio.sleep(_wait(attempt))
        return await super()._pipe_file(path, data, *args, **kwargs)

    def remove_many(self, paths: list[str]) -> None:
        """Remove files, many at once; S3 says nothing of those that are gone."""
        sync(self.loop, self._remove_many, paths)

    async def _remove_many(self, paths: list[str]) -> None:
        await asyncio.gather(*map(self._rm_file, paths))

    def names_by_digit(self, folder: str) -> list[str]:
        """Names of the files of a folder that begin with a hexadecimal digit."""
        found: list[list[str]] = sync(self.loop, self._names_by_digit, folder)
        return [name for names in found for name in names]

    async def _names_by_digit(self, folder: str) -> list[list[str]]:
        bucket, key, _ = self.split_path(folder)
        return await asyncio.gather(
            *(self._names(bucket, f"{key}/", digit) for digit in "0123456789abcdef")
        )

    async def _names(self, bucket: str, folder: str, start: str) -> list[str]:
        names: list[str] = []
        more: dict[str, str] = {}
        while True:
            page = await self._call_s3(
                "list_objects_v2", Bucket=bucket, Prefix=folder + start, **more
            )
            names += [one["Key"][len(folder) :] for one in page.get("Contents", ())]
            if not page.get("IsTruncated"):
                return names
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _explained(self, error: Exception, method: str, request: dict[str, Any]) -> Exception:
        """The exception to raise: of the same kind where callers tell kinds apart."""
        bucket, endpoint = request.get("Bucket", ""), self._endpoint()
        place = f"s3://{bucket}/{request.get('Key', request.get('Prefix', ''))}"
        code = _code(error)
        if code == "NoSuchBucket":
            return FileNotFoundError(
                f"there is no bucket {bucket!r} at {endpoint}; make it, or correct the address"
            )
        if isinstance(error, FileNotFoundError):
            return FileNotFoundError(errno.ENOENT, "there is no such file", place)
        if isinstance(error, FileExistsError):
            return error
        if isinstance(error, ParamValidationError):
            return ValueError(f"{bucket!r} cannot name a bucket; give s3://bucket/path")
        deed, permission = _DEEDS.get(method, ("written", "s3:PutObject"))
        number, reason = _reason(error, code, endpoint, permission)
        return RemoteError(number, f"cannot be {deed}: {reason}", place)

    def _endpoint(self) -> str:
        return str(self._s3.meta.endpoint_url) if self._s3 is not None else "S3"


def _wait(attempt: int) -> float:
    return 2.0**attempt / 4


class _Body:
    """What s3fs expects of an answer's body; it has come to its end already."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    async def read(self, size: int = -1) -> bytes:
        return self._stream.read(size)

    def close(self) -> None:
        """Nothing to let go."""


async def _whole(answer: dict[str, Any]) -> _Body:
    body = answer["Body"]
    try:
        data = await body.read()
    finally:
        body.close()
    expected = answer.get("ContentLength", len(data))
    if len(data) != expected:
        raise IncompleteReadError(actual_bytes=len(data), expected_bytes=expected)
    return _Body(data)


def _code(error: BaseException) -> str:
    """S3's name of an error; empty where the server gave none."""
    return str(_response(error).get("Error", {}).get("Code", ""))


def _status(error: BaseException) -> int:
    """HTTP status of the answer; 0 where there was none."""
    return int(_response(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _response(error: BaseException) -> dict[str, Any]:
    # s3fs makes an OSError of botocore's error, and names it as the cause.
    return getattr(error.__cause__, "response", None) or {}


def _reason(error: Exception, code: str, endpoint: str, permission: str) -> tuple[int, str]:
    """Error number; what was found, and the remedy."""
    text = " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())
    keys = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if isinstance(error, NoCredentialsError):
        return errno.EACCES, f"no credentials were found; set {keys}, or AWS_PROFILE"
    if code in _BAD_CREDENTIALS:
        return errno.EACCES, f"{endpoint} does not accept the credentials ({code}); check {keys}"
    if isinstance(error, PermissionError):
        return errno.EACCES, (
            f"{endpoint} denies it ({code}); check the credentials, and that they allow "
            f"{permission}"
        )
    if isinstance(error, (NoConnection, *S3_RETRYABLE_ERRORS)):
        return errno.EIO, (
            f"no whole answer from {endpoint} in {ATTEMPTS} attempts ({text}); check the network "
            "and AWS_ENDPOINT_URL, then give the same command again"
        )
    if _status(error) >= 500:
        return errno.EIO, (
            f"{endpoint} answered {code} ({text}) to each of {ATTEMPTS} attempts; "
            "give the same command again later"
        )
    number = errno.EBUSY if code == "ConditionalRequestConflict" else errno.EIO
    return number, (
        f"{code or type(error).__name__} ({text}); check AWS_ENDPOINT_URL, AWS_DEFAULT_REGION "
        "and the credentials"
    )
