"""The anonymous S3 client: how the bucket is asked, and what its failures become.

One function per kind of request; what the answers mean is for `listing` to decide.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import boto3
import botocore.loaders
import botocore.session
import requests
from botocore import UNSIGNED
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.exceptions import BotoCoreError
from botocore.parsers import ResponseParserError

from availability_pipeline.archive.page_parser import take_contents
from availability_pipeline.errors import ArchiveError, ArchiveUnreachable, UnexpectedAnswer
from availability_pipeline.network.boto import send_by
from availability_pipeline.network.failures import problem
from availability_pipeline.network.session import Session
from availability_pipeline.settings import Settings

REGION = "ap-northeast-1"
"""Where the bucket is."""

MAX_KEYS = 1000
"""The most keys that S3 puts on one page."""


class Bucket:
    """The archive's bucket, to be listed. Safe to use from several threads at once."""

    def __init__(self, settings: Settings) -> None:
        self.name = settings.s3_bucket
        self.url = f"{settings.s3_endpoint}/{self.name}"
        self._timeout = settings.timeout_seconds
        self._session = Session(settings.connections, anonymous=True)
        self._client = _unsigned_client(settings)
        send_by(self._session, self._client.meta.events, settings.timeout_seconds)
        # Under this name, and not "…s3.ListObjectsV2", botocore calls it before its own handler, which would parse
        # the whole page only to see whether it is an error.
        self._client.meta.events.register_first("before-parse.*.ListObjectsV2", take_contents)

    def list_page(self, symbol: str | None = None, **parameters: str | int) -> dict[str, Any]:
        """Ask for one page of ListObjectsV2, keys and prefixes still url-encoded.

        Args:
            symbol: The contract that it is about, for the message of an error.
            parameters: boto3's parameters, `Bucket` and `EncodingType` left out.

        Returns:
            boto3's answer, with `Contents` as `page_parser.Entries`.

        Raises:
            ArchiveError: No usable answer came.
            UsageError: The configuration of the network cannot be used.
        """
        url = f"{self.url}?prefix={parameters.get('Prefix', '')}"
        try:
            answer: dict[str, Any] = self._client.list_objects_v2(
                Bucket=self.name, EncodingType="url", **parameters
            )
        except ArchiveError as error:
            raise type(error)(error.problem, url=url, symbol=symbol, status=error.status) from error.__cause__
        except (requests.RequestException, BotoCoreError) as error:
            raise ArchiveUnreachable(problem(error, self._timeout), url=url, symbol=symbol) from error
        except (ResponseParserError, ValueError, TypeError) as error:  # the latter are a number that is none
            why = "the answer is not the XML of a listing; check AVAILABILITY_S3_ENDPOINT"
            raise UnexpectedAnswer(why, url=url, symbol=symbol) from error
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._session.close()


@cache
def _loader() -> Any:
    """What reads botocore's descriptions of services, which takes longer than all the rest of a client."""
    return botocore.loaders.create_loader()


def _unsigned_client(settings: Settings) -> Any:
    # Anonymous access needs nothing of what AWS_… and ~/.aws say, which is for publishing, or for other programs.
    variables = {
        name: (None, None, default, cast)
        for name, (_, _, default, cast) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()
    }
    nothing = (None, None, os.devnull, None)
    isolated = botocore.session.Session(
        session_vars={**variables, "config_file": nothing, "credentials_file": nothing}
    )
    isolated.register_component("data_loader", _loader())
    return boto3.session.Session(botocore_session=isolated).client(
        "s3",
        region_name=REGION,
        endpoint_url=settings.s3_endpoint,
        config=Config(
            signature_version=UNSIGNED,
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1, "mode": "standard"},
        ),
    )
