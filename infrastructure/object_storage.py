"""A bucket that speaks S3: files go in and come out piece by piece, and what it refuses is said in words.

The client (minio-py) is loaded by who talks to a bucket, a worker, and by nobody else: it takes 19 MB.
"""

from __future__ import annotations

import io
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from infrastructure.errors import HostProblem, Refused
from infrastructure.secret import Secret

if TYPE_CHECKING:
    from minio import Minio

MEBIBYTE = 1024 * 1024
PART = 8 * MEBIBYTE  # of a large file; one is in memory at a time
MOST_PARTS = 9_000  # S3 takes 10,000
MOST_PAGES = 20  # of 1,000 uploads that are under way
CONNECT_SECONDS, READ_SECONDS, RETRIES = 10.0, 60.0, 3
NO_SUCH_THING = ("NoSuchKey", "NoSuchObject")
# What it says (docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html), what we say, and what to do.
REFUSALS = {
    "NoSuchBucket": ("storage.no-bucket", "There is no such bucket.", "Make it there, or correct its name."),
    "InvalidAccessKeyId": ("storage.refused", "The access key is not known there.", "Correct the access key."),
    "SignatureDoesNotMatch": ("storage.refused", "The secret key is wrong.", "Enter the secret key again."),
    "AccessDenied": (
        "storage.refused",
        "The key may not do this.",
        "Give it the rights to read, write and delete objects of this bucket.",
    ),
    "AuthorizationHeaderMalformed": ("storage.refused", "The region is not the bucket's.", "Correct the region."),
}


@dataclass(frozen=True)
class Bucket:
    """Where it is, and the key to it. ``endpoint`` is a URL without a path."""

    endpoint: str
    name: str
    access_key: str
    secret_key: Secret
    region: str = ""
    is_tried_once: bool = False

    def put(self, key: str, file: Path, look: Callable[[], None] = lambda: None) -> None:
        """Store ``file``, in parts where it is large; it is there when it is whole. ``look`` is called between them and
        may raise: then nothing is stored."""
        size = file.stat().st_size
        part = max(PART, -(-size // MOST_PARTS // MEBIBYTE) * MEBIBYTE)
        with self._words(), file.open("rb") as content:
            stream = _Watched(content, look)
            self._client().put_object(self.name, key, stream, size, part_size=part, num_parallel_uploads=1)  # type: ignore[arg-type]

    def get(self, key: str) -> Iterator[bytes]:
        with self._words():
            answer = self._client().get_object(self.name, key)
            try:
                yield from answer.stream(MEBIBYTE)
            finally:
                answer.close()
                answer.release_conn()

    def delete(self, key: str) -> None:
        """Gone afterwards, also when it was not there."""
        with self._words():
            self._client().remove_object(self.name, key)

    def size(self, key: str) -> int | None:
        """In bytes; None: there is no such object."""
        from minio.error import S3Error

        with self._words():
            try:
                return self._client().stat_object(self.name, key).size
            except S3Error as error:
                if error.code in NO_SUCH_THING:
                    return None
                raise

    def end_uploads(self, prefix: str, ours: re.Pattern[str], before: datetime) -> int:
        """Uploads in parts, of keys that match as a whole, that began before then and were never ended; how many. What
        had come of them is gone. The library has no public call for it any more."""
        ended, marker = 0, None
        with self._words():
            client = self._client()
            for _ in range(MOST_PAGES):
                page = client._list_multipart_uploads(self.name, prefix=prefix, key_marker=marker)  # noqa: SLF001
                for upload in page.uploads:
                    begun = upload.initiated_time
                    if upload.upload_id and ours.fullmatch(upload.object_name) and begun and begun < before:
                        client._abort_multipart_upload(self.name, upload.object_name, upload.upload_id)  # noqa: SLF001
                        ended += 1
                marker = page.next_key_marker
                if not (page.is_truncated and marker):
                    break
        return ended

    def try_out(self, key: str) -> None:
        """Everything that backups need: write, read, delete."""
        token = secrets.token_bytes(32)
        with self._words():
            self._client().put_object(self.name, key, io.BytesIO(token), len(token))
        read = b"".join(self.get(key))
        self.delete(key)
        if read != token:
            raise HostProblem(
                "storage.failed", "The bucket gave back something else than was written.", "Try another one."
            )

    def _client(self) -> Minio:
        import certifi
        from minio import Minio
        from urllib3 import PoolManager, Retry, Timeout

        where = urlsplit(self.endpoint)
        pool = PoolManager(
            timeout=Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            retries=Retry(
                total=0 if self.is_tried_once else RETRIES, backoff_factor=0.5, status_forcelist=[500, 502, 503, 504]
            ),
            ca_certs=os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or certifi.where(),
            cert_reqs="CERT_REQUIRED",
            maxsize=2,
        )
        return Minio(
            where.netloc,
            access_key=self.access_key,
            secret_key=self.secret_key.reveal(),
            secure=where.scheme == "https",
            region=self.region or None,
            http_client=pool,
        )

    @contextmanager
    def _words(self) -> Iterator[None]:
        from xml.etree.ElementTree import ParseError

        from minio.error import MinioException, S3Error
        from urllib3.exceptions import HTTPError

        where = f"{self.name} at {self.endpoint}"
        try:
            yield
        except S3Error as error:
            if error.code in NO_SUCH_THING:
                raise HostProblem("storage.no-object", f"The file is not in {where} any more.") from error
            kind, why, hint = REFUSALS.get(
                error.code or "",
                ("storage.failed", f"It said {error.code}: {(error.message or 'nothing more')[:300]}", "Try again."),
            )
            raise HostProblem(kind, f"The storage {where} refused. {why}", hint) from error
        except (MinioException, ParseError, ValueError) as error:  # a proxy may answer with a page of its own
            raise HostProblem("storage.failed", f"The storage {where} refused: {error}"[:400]) from error
        except HTTPError as error:
            raise HostProblem(
                "storage.silent",
                f"The storage {where} does not answer: {_reason(error)}",
                "Check its address, and whether this host reaches it.",
            ) from error


def parse_endpoint(text: str) -> str:
    """``https://s3.example.com``, ``http://127.0.0.1:9000``: no path, nobody's name or password."""
    text = text.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.netloc.isascii()
        usable = usable and not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
        usable = usable and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in text):
        raise Refused(
            "input.endpoint",
            "The address of a storage begins with https:// (or http://) and has a host, maybe a port, and no more.",
            "The bucket has a field of its own.",
        )
    return text


class _Watched:
    def __init__(self, content: BinaryIO, look: Callable[[], None]) -> None:
        self._content = content
        self._look = look

    def read(self, size: int = -1) -> bytes:
        self._look()
        return self._content.read(size)


def _reason(error: Exception) -> str:
    """The innermost cause, which says it without the library's own names."""
    reason = getattr(error, "reason", None) or error
    text = str(reason)
    return text.rsplit(": ", 1)[-1][:200] or type(reason).__name__
