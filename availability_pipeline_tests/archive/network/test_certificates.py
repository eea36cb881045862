"""Certificates: the same variables say which are trusted by every kind of request, and what is wrong is said."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from availability_pipeline.archive.environment import CA_BUNDLES
from availability_pipeline.collecting.collect import discover
from availability_pipeline.errors import AvailabilityError, UsageError
from availability_pipeline.publishing.remote.objects import RequestFailed
from availability_pipeline_tests.archive.network.asking import BOTH_WAYS, READING, alert, settings
from availability_pipeline_tests.archive.network.servers import Address, Authority, listening

Endpoint = Callable[[str], str]
FAILURES = (AvailabilityError, RequestFailed)


@pytest.mark.parametrize("kind", READING)
@pytest.mark.parametrize("variable", CA_BUNDLES)
def test_an_authority_is_trusted_that_a_variable_names(
    address: Address,
    endpoint: Endpoint,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    variable: str,
) -> None:
    monkeypatch.setenv(variable, str(authority.bundle))
    with authority.in_front_of(address) as (_, port):
        assert READING[kind](endpoint(f"https://localhost:{port}"))


@pytest.mark.parametrize("kind", READING)
def test_a_folder_of_authorities_is_trusted(
    address: Address,
    endpoint: Endpoint,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    tmp_path: Path,
) -> None:
    shutil.copy(authority.bundle, tmp_path)
    subprocess.run(["openssl", "rehash", tmp_path], check=True)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    with authority.in_front_of(address) as (_, port):
        assert READING[kind](endpoint(f"https://localhost:{port}"))


def test_object_storage_trusts_the_authority_of_its_profile(
    address: Address,
    endpoint: Endpoint,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "config").write_text(f"[default]\nca_bundle = {authority.bundle}\n")
    with authority.in_front_of(address) as (_, port):
        url = endpoint(f"https://localhost:{port}")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        assert READING["s3"](url)


@pytest.mark.parametrize("kind", READING)
def test_a_certificate_of_an_unknown_authority_is_refused(
    address: Address, endpoint: Endpoint, authority: Authority, kind: str
) -> None:
    with (
        authority.in_front_of(address) as (_, port),
        pytest.raises(FAILURES, match=r"certificate( of the host)? is not trusted; .*CA_BUNDLE"),
    ):
        READING[kind](endpoint(f"https://localhost:{port}"))


@pytest.mark.parametrize("kind", READING)
def test_http_where_https_is_meant_is_no_certificate(endpoint: Endpoint, kind: str) -> None:
    with (
        listening(lambda client: client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as (_, port),
        pytest.raises(FAILURES, match="does not speak TLS as it should"),
    ):
        READING[kind](endpoint(f"https://localhost:{port}"))


def missing(folder: Path) -> str:
    del folder
    return "No such file or directory"


def garbage(folder: Path) -> str:
    (folder / "ca.pem").write_bytes(b"\0garbage")
    return "it has no certificate"


def empty(folder: Path) -> str:
    (folder / "ca.pem").touch()
    return "it has no certificate"


def damaged(folder: Path) -> str:
    (folder / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return "it has no certificate"


@pytest.mark.parametrize("kind", BOTH_WAYS)
@pytest.mark.parametrize("wrong", [missing, garbage, empty, damaged])
@pytest.mark.parametrize("variable", CA_BUNDLES)
def test_a_bundle_that_is_none_is_named(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, wrong: Callable[[Path], str],
    variable: str,
) -> None:  # fmt: skip
    why = wrong(tmp_path)
    monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))
    with pytest.raises(UsageError) as failure:
        READING[kind](endpoint("https://localhost:1"))
    source = "ca_bundle" if kind == "s3" and variable == "AWS_CA_BUNDLE" else variable
    assert str(failure.value) == (
        f"{source} is {str(tmp_path / 'ca.pem')!r}, from which no certificates can be read ({why}); "
        "set it to a file of certificates in PEM format, or unset it"
    )


def test_a_bundle_that_is_none_is_of_no_matter_where_there_is_no_tls(
    server_url: str, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/ca.pem")
    for ask in READING.values():
        assert ask(endpoint(server_url))


def test_an_alert_says_what_is_wrong_with_a_certificate(
    address: Address, authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with authority.in_front_of(address) as (_, port):
        assert alert(f"https://localhost:{port}") == 0
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/ca.pem")
    assert alert("https://localhost:1") == 0
    assert "(JSON: the certificate of the host is not trusted)" in caplog.text
    assert "(JSON: the file of certificates cannot be read)" in caplog.text


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("REQUESTS_CA_BUNDLE=/nonexistent/ca.pem", "REQUESTS_CA_BUNDLE is '/nonexistent/ca.pem'"),
        ("HTTPS_PROXY=http://127.0.0.1:1", "the proxy http://127.0.0.1:1 does not let"),
        ("HTTPS_PROXY=ftp://127.0.0.1:1", "HTTPS_PROXY is 'ftp://127.0.0.1:1'"),
        ("HTTPS_PROXY=http://u\u20ac:p@127.0.0.1:1", ""),
        ("UNUSED=", "the certificate of the host is not trusted"),
    ],
)  # fmt: skip
def test_exchange_info_that_fails_leaves_the_discovery_as_it_is(
    server_url: str,
    address: Address,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    said: str,
) -> None:
    monkeypatch.setenv(*setting.split("=", 1))
    with authority.in_front_of(address) as (_, port):
        found = discover(settings(server_url, fapi_url=f"https://localhost:{port}"))
    assert [symbol.name for symbol in found.folders.symbols] == ["BTCUSDT", "ETHUSDT"]
    assert found.exchange.contracts == ()
    assert said in (found.exchange_problem or "")
    assert found.exchange_problem
