"""Proxies: the same variables lead every kind of request through the same proxy, and a failure of it is called that."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from availability_pipeline.errors import AvailabilityError, UsageError
from availability_pipeline.publishing.remote.objects import RequestFailed
from availability_pipeline_tests.archive.network.asking import ARCHIVE, BOTH_WAYS, READING, alert
from availability_pipeline_tests.archive.network.servers import Address, Authority, http_proxy, socks_proxy
from availability_pipeline_tests.archive.servers import nobody_listening
from availability_pipeline_tests.conftest import run_python

NOWHERE = "http://archive.test"
"""A host that nothing but a proxy of a test leads to."""

Endpoint = Callable[[str], str]
FAILURES = (AvailabilityError, RequestFailed)


@pytest.mark.parametrize("kind", READING)
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_every_request_goes_through_the_proxy(
    address: Address, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, kind: str, variable: str
) -> None:
    with http_proxy(address) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        assert READING[kind](endpoint(NOWHERE))
    assert proxy.asked
    assert all(NOWHERE in line for line in proxy.asked)


@pytest.mark.parametrize("kind", READING)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_https_goes_through_a_tunnel_of_the_proxy(
    address: Address, endpoint: Endpoint, authority: Authority, monkeypatch: pytest.MonkeyPatch, kind: str,
    variable: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle))
    with authority.in_front_of(address) as place, http_proxy(place) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        assert READING[kind](endpoint("https://archive.test"))
    assert set(proxy.asked) == {"CONNECT archive.test:443 HTTP/1.0"}


@pytest.mark.parametrize("kind", READING)
@pytest.mark.parametrize("is_https", [False, True])
def test_every_request_goes_through_a_socks_proxy(
    address: Address, endpoint: Endpoint, authority: Authority, monkeypatch: pytest.MonkeyPatch, kind: str,
    is_https: bool,
) -> None:  # fmt: skip
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))
    with ExitStack() as stack:
        place = stack.enter_context(authority.in_front_of(address)) if is_https else address
        proxy = stack.enter_context(socks_proxy(place))
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        assert READING[kind](endpoint("https://archive.test" if is_https else NOWHERE))
    assert set(proxy.asked) == {f"archive.test:{443 if is_https else 80}"}


@pytest.mark.parametrize("kind", BOTH_WAYS)
@pytest.mark.parametrize(
    "exception", ["127.0.0.1", "*", "127.0.0.0/8", "example.com, 127.0.0.1:{port}", ".0.0.1"]
)
def test_hosts_that_are_excepted_are_asked_directly(
    address: Address, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, kind: str, exception: str
) -> None:
    with http_proxy(address) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        monkeypatch.setenv("no_proxy", exception.format(port=address[1]))
        READING[kind](endpoint(f"http://127.0.0.1:{address[1]}"))
    assert proxy.asked == []


@pytest.mark.parametrize("kind", BOTH_WAYS)
@pytest.mark.parametrize("exception", ["127.0.0.1:1", "10.0.0.0/8", "example.com"])
def test_other_hosts_are_not(
    address: Address, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, kind: str, exception: str
) -> None:
    with http_proxy(address) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", exception)
        READING[kind](endpoint(f"http://127.0.0.1:{address[1]}"))
    assert proxy.asked


@pytest.mark.parametrize("kind", READING)
def test_user_name_and_password_go_to_the_proxy(
    address: Address, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with http_proxy(address) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("://", "://user:p%40ss@"))
        READING[kind](endpoint(NOWHERE))
    assert all("Proxy-Authorization: Basic dXNlcjpwQHNz" in head for head in proxy.heads)


@pytest.mark.parametrize("kind", BOTH_WAYS)
@pytest.mark.parametrize("url", [NOWHERE, "https://archive.test"])
@pytest.mark.parametrize(
    "refusal", ["407 Proxy Authentication Required", "403 Forbidden", "502 Bad Gateway", ""]
)
def test_a_proxy_that_refuses_is_named(
    address: Address, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, kind: str, url: str, refusal: str
) -> None:
    if url == NOWHERE and not refusal.startswith("407"):
        pytest.skip("such an answer may be the server's")
    with http_proxy(address, refusal) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url.replace("://", "://user:secret@"))
        with pytest.raises(FAILURES) as failure:
            READING[kind](endpoint(url))
    reason = f"HTTP {refusal[:3]}" if refusal else "no answer"
    assert f"the proxy {proxy.url} does not let the request through ({reason}); correct ALL_PROXY" in str(
        failure.value
    )
    assert "secret" not in str(failure.value)


@pytest.mark.parametrize("kind", BOTH_WAYS)
@pytest.mark.parametrize("url", [NOWHERE, "https://archive.test"])
@pytest.mark.parametrize("scheme", ["http", "socks5h", "socks5", "socks4"])
def test_a_proxy_that_is_not_there_is_named(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, kind: str, url: str, scheme: str
) -> None:
    with nobody_listening() as place:
        monkeypatch.setenv("all_proxy", place.replace("http", scheme))
        with pytest.raises(
            FAILURES, match=rf"the proxy {scheme}://127.0.0.1:\d+ does not let .*Connection refused"
        ):
            READING[kind](endpoint(url if scheme != "socks4" else url.replace("archive.test", "127.0.0.1")))


@pytest.mark.parametrize("kind", READING)
def test_a_socks_proxy_that_refuses_is_named(
    address: Address, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with socks_proxy(address, refusing=True) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        with pytest.raises(
            FAILURES, match=r"the proxy socks5h://.* does not let the request through \(0x02: "
        ):
            READING[kind](endpoint(NOWHERE))


@pytest.mark.parametrize("kind", BOTH_WAYS)
@pytest.mark.parametrize(
    "value",
    [
        "socks://127.0.0.1:1080",
        "ftp://proxy:21",
        "http://",
        "http://proxy:port",
        "http://a b:1",
        "http://proxy:99999",
    ],
)
def test_what_is_no_proxy_is_named(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, kind: str, value: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", value)
    with pytest.raises(UsageError) as failure:
        READING[kind](endpoint(NOWHERE))
    assert str(failure.value).startswith(
        f"HTTP_PROXY is {value!r}, which is no proxy's URL; write it like http://"
    )


def test_a_proxy_may_be_written_without_its_scheme(
    address: Address, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with http_proxy(address) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removeprefix("http://").replace("127.0.0.1", "localhost"))
        for ask in READING.values():
            ask(endpoint(NOWHERE))
    assert len(proxy.asked) >= len(READING)


WITHOUT_SOCKS = """
    import sys
    sys.modules["socks"] = None
    from availability_pipeline.errors import UsageError
    from availability_pipeline_tests.archive.network.asking import READING
    for kind, ask in READING.items():
        try:
            ask("http://archive.test")
        except UsageError as error:
            print(error)
"""


def test_the_package_for_socks_is_named_where_it_is_missing() -> None:
    said = run_python(
        WITHOUT_SOCKS, ALL_PROXY="socks5://user:secret@127.0.0.1:1080", AWS_ENDPOINT_URL=NOWHERE,
        AWS_EC2_METADATA_DISABLED="true", AWS_DEFAULT_REGION="eu-west-1",
    ).splitlines()  # fmt: skip
    sentence = (
        "ALL_PROXY is 'socks5://127.0.0.1:1080', and SOCKS takes the package PySocks, which is not installed; run "
        "`pip install 'binance-futures-availability[socks]'`"
    )
    assert said == [sentence] * len(READING)


def test_an_alert_goes_through_the_proxy_and_names_one_that_refuses(
    address: Address, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with http_proxy(address) as proxy, caplog.at_level(logging.WARNING):
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        alert(NOWHERE)
    assert proxy.asked == [f"POST {NOWHERE}/hook HTTP/1.1"]
    with nobody_listening() as place, caplog.at_level(logging.WARNING):
        monkeypatch.setenv("ALL_PROXY", place)
        assert alert(NOWHERE) == 0
    assert "JSON: the proxy does not let the request through" in caplog.text


def test_the_variables_are_read_when_requests_are_made(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    with http_proxy(address) as first, http_proxy(address) as second:
        for proxy in (first, second):
            monkeypatch.setenv("ALL_PROXY", proxy.url)
            for ask in ARCHIVE.values():
                ask(NOWHERE)
    assert len(first.asked) == len(second.asked) >= len(ARCHIVE)
