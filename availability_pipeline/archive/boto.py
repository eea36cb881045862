"""The requests of boto3's clients, sent as all others are.

botocore has connections, proxies and certificates of its own, which know neither SOCKS nor ALL_PROXY. Its event
`before-send` lets others send in its place.
"""

from __future__ import annotations

from typing import Any

import requests
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from availability_pipeline.archive.batch import Turn
from availability_pipeline.archive.http import FAILURES, Session
from availability_pipeline.archive.wire import Answer


def send_by(session: Session, events: Any, timeout_seconds: int, turn: Turn | None = None) -> None:
    """Let a session send what clients with these events ask; they then raise RequestException, or UsageError.

    Args:
        session: The session.
        events: The events of the clients.
        timeout_seconds: How long the server may be silent.
        turn: What their threads take turns by.
    """
    events.register("before-send", _Sender(session, timeout_seconds, turn or Turn()))


class _Sender:
    def __init__(self, session: Session, timeout_seconds: int, turn: Turn) -> None:
        self._session = session
        self._timeout = timeout_seconds
        self._turn = turn

    def __call__(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        """Send a request as it is: signed, and neither redirected nor given cookies."""
        with self._turn.given_up():
            return self._response(request)

    def _response(self, request: AWSPreparedRequest) -> AWSResponse:
        try:
            answer = self._answer(request)
            headers: Any = answer.headers
            response = AWSResponse(request.url, answer.status_code, headers, answer.raw)
            if not request.stream_output:
                response.content  # noqa: B018 - read by now, so that a failure is one of the request
        except requests.RequestException:
            raise
        except FAILURES as error:
            raise requests.ConnectionError(error) from error
        return response

    def _answer(self, request: AWSPreparedRequest) -> Answer:
        method, url, headers = request.method, request.url, dict(request.headers.items())
        if method == "GET" and not request.stream_output and not request.body:
            return self._session.send_plain(method, url, headers, self._timeout)
        return self._session.send_by_requests(method, url, headers, self._timeout, request.body)
