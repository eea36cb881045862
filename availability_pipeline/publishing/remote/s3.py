"""S3-compatible object storage: one method per request, with errors translated to `RequestFailed`.

boto3 finds endpoint, credentials and region as for any program. The archive's own client, `archive.client`, shares only
the sending of requests.
"""

from __future__ import annotations

import datetime as dt
import re
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import IO, Any

import boto3
import botocore.session
import requests
import urllib3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigParseError,
    IncompleteReadError,
    InvalidRegionError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.parsers import ResponseParserError

from availability_pipeline.archive.boto import send_by
from availability_pipeline.archive.environment import Environment
from availability_pipeline.archive.http import Session
from availability_pipeline.errors import is_transient_status
from availability_pipeline.publishing.remote.objects import Chunks, RequestFailed
from availability_pipeline.publishing.remote.web import Meanings, failure_of
from availability_pipeline.settings.values import bucket_and_prefix

CHUNK_BYTES = 1 << 20

CONNECTIONS = 8
"""Requests under way at once."""

_TRANSIENT_CODES = frozenset({"BadDigest", "RequestTimeout", "SlowDown", "InternalError", "OperationAborted"})
_CODE = re.compile(r"[A-Za-z]{1,60}")
_TELLING = (ProfileNotFound, ConfigParseError, PartialCredentialsError, InvalidRegionError)
"""Errors about the user's configuration whose text has no secret in it."""

_FAILURES: Meanings = (
    (
        (ssl.SSLCertVerificationError,),
        "the endpoint's certificate is not trusted", "check AWS_ENDPOINT_URL and AWS_CA_BUNDLE", False,
    ),
    (
        (ssl.SSLError,),
        "the endpoint does not speak TLS as it should", "check AWS_ENDPOINT_URL, http may be meant", False,
    ),
    (
        (requests.Timeout, ReadTimeoutError, urllib3.exceptions.ReadTimeoutError),
        "no answer came in time", "try again, or raise AVAILABILITY_TIMEOUT_SECONDS", True,
    ),
    (
        (IncompleteReadError, ResponseStreamingError, urllib3.exceptions.IncompleteRead),
        "an answer was cut off", "try again", True,
    ),
    ((requests.RequestException,), "the connection failed", "check the endpoint and the network", True),
    ((ResponseParserError,), "the endpoint does not answer as S3 does", "check AWS_ENDPOINT_URL", False),
    ((RecursionError,), "the endpoint redirects", "check AWS_ENDPOINT_URL, https may be meant", False),
    ((ValueError,), "the endpoint is no URL", "check AWS_ENDPOINT_URL", False),
)  # fmt: skip

# RecursionError: boto3 follows a redirect by asking for the region of the bucket, which is redirected again.
_RAISED = (
    BotoCoreError, ResponseParserError, requests.RequestException, urllib3.exceptions.HTTPError, ValueError,
    RecursionError, OSError,
)  # fmt: skip


class Bucket:
    """The objects below an `s3://` URL; thread-safe.

    Args:
        url: As of `settings.values.bucket_url`.
        timeout_seconds: Seconds without a byte after which a request fails.
        writing: Whether credentials are required; without any, reading is anonymous.

    Raises:
        RequestFailed: There are no credentials, or the configuration is invalid.
    """

    def __init__(self, url: str, timeout_seconds: int, *, writing: bool = False) -> None:
        self._name, self._prefix = bucket_and_prefix(url)
        with self._translated("the bucket"):
            self._client = _client(timeout_seconds, writing=writing)

    def chunks(self, path: str) -> Chunks:
        """As `Source.chunks`."""
        with self._translated(path):
            answer = self._client.get_object(Bucket=self._name, Key=self._prefix + path)
            with closing(answer["Body"]) as body:
                yield from body.iter_chunks(CHUNK_BYTES)

    def put(self, path: str, content: bytes | IO[bytes], md5: str, content_type: str, caching: str) -> None:
        """Write an object atomically, with one request.

        Args:
            path: Its name, relative to the URL.
            content: Its content.
            md5: The content's checksum, which the store verifies, base64.
            content_type: Its media type.
            caching: Its Cache-Control.

        Raises:
            RequestFailed: The store did not confirm it.
        """
        with self._translated(path):
            self._client.put_object(
                Bucket=self._name, Key=self._prefix + path, Body=content, ContentMD5=md5,
                ContentType=content_type, CacheControl=caching,
            )  # fmt: skip

    def objects(self, folder: str) -> list[tuple[str, dt.datetime]]:
        """Names, relative to the URL, and write times, by the store's clock, of the objects below a folder."""
        with self._translated(folder):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._name, Prefix=self._prefix + folder
            )
            return [
                (entry["Key"].removeprefix(self._prefix), entry["LastModified"])
                for page in pages
                for entry in page.get("Contents", ())
            ]

    def delete(self, path: str) -> None:
        """Remove an object if it exists.

        One at a time: not every store supports bulk deletion, or the checksum that it requires.
        """
        with self._translated(path):
            self._client.delete_object(Bucket=self._name, Key=self._prefix + path)

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        """Translate boto3's errors into RequestFailed, unchained: they may contain credentials."""
        try:
            yield
        except ClientError as error:
            raise self._refused(path, error) from None
        except _RAISED as error:
            raise _failed(error) from None

    def _refused(self, path: str, error: ClientError) -> RequestFailed:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code == "NoSuchBucket":
            return RequestFailed(f"there is no bucket {self._name}", "check the address and the endpoint")
        if status == 404:
            return RequestFailed(f"{path} does not exist", "check the address", missing=True)
        said = f"HTTP {status} {code}" if _CODE.fullmatch(code) else f"HTTP {status}"
        transient = is_transient_status(status) or code in _TRANSIENT_CODES
        return RequestFailed(f"{said} for {path}", transient=transient)


def _failed(error: Exception) -> RequestFailed:
    if isinstance(error, NoCredentialsError):
        return _no_credentials()
    if isinstance(error, _TELLING):
        return RequestFailed(str(error).rstrip("."), "correct the AWS configuration")
    return failure_of(error, _FAILURES) or RequestFailed(
        f"the AWS configuration cannot be used ({type(error).__name__})",
        "correct it; `aws s3 ls` may say more",
    )


def _client(timeout_seconds: int, *, writing: bool) -> Any:
    core = botocore.session.get_session()
    session = boto3.session.Session(botocore_session=core)
    environment = Environment(ca_bundle=core.get_config_variable("ca_bundle"))
    sending = Session(CONNECTIONS, anonymous=True, environment=environment)
    send_by(sending, session.events, timeout_seconds)
    anonymous = session.get_credentials() is None
    if anonymous and writing:
        raise _no_credentials()
    return session.client(
        "s3",
        config=Config(
            signature_version=UNSIGNED if anonymous else None,
            retries={"total_max_attempts": 1, "mode": "standard"},
            # Other stores do not know Amazon's newer checksums; puts have a Content-MD5, reads a SHA-256.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _no_credentials() -> RequestFailed:
    return RequestFailed(
        "there are no AWS credentials",
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give this machine a role",
    )
