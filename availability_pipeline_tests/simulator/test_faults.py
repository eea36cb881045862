"""Every fault does what it says, on the requests it was meant for and no others.

A fault that did not happen would let a test of the pipeline's errors pass for nothing.
"""

from __future__ import annotations

import datetime as dt
import xml.etree.ElementTree as ET
from typing import Any

import pytest
import requests

from availability_pipeline.errors import UsageError
from availability_pipeline_tests.simulator import Fault, ObservedServer
from availability_pipeline_tests.simulator.conftest import BUCKET, ROOT, key_of, parse_xml

NAMES = "{http://s3.amazonaws.com/doc/2006-03-01/}"
DAY = dt.date(2024, 3, 7)
FOLDER = f"{ROOT}BTCUSDT/1m/"


def listing(server: ObservedServer, prefix: str = FOLDER, **query: str) -> requests.Response:
    parameters = {
        "list-type": "2",
        "prefix": prefix,
        **{name.replace("_", "-"): query[name] for name in query},
    }
    return requests.get(f"{server.url}/{BUCKET}", params=parameters, timeout=30)


def head(server: ObservedServer, symbol: str = "BTCUSDT") -> requests.Response:
    return requests.head(f"{server.url}/{key_of(symbol, DAY)}", timeout=30)


def keys_of(root: ET.Element) -> list[str]:
    return [str(node.text) for node in root.iter(f"{NAMES}Key")]


def spoiled(server: ObservedServer, fault: Fault, **query: str) -> ET.Element:
    """The page that a fault makes of BTCUSDT's folder."""
    server.faults.inject(fault, on="LIST", times=1)
    return parse_xml(listing(server, **query).content)


def text(root: ET.Element, name: str) -> str | None:
    return root.findtext(f"{NAMES}{name}")


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_status_of_s3(server: ObservedServer, status: int) -> None:
    server.faults.inject(Fault.status(status), on="LIST")
    answer = listing(server)
    assert answer.status_code == status
    assert parse_xml(answer.content).tag == "Error"
    assert server.requests.records()[-1].status == status


def test_slow_down_is_what_s3_calls_it(server: ObservedServer, s3: Any) -> None:
    server.faults.inject(Fault.status(503), on="LIST", times=1)
    with pytest.raises(s3.exceptions.ClientError, match="SlowDown"):
        s3.list_objects_v2(Bucket=BUCKET)


@pytest.mark.parametrize("status", [418, 429, 451, 500])
def test_a_status_of_the_exchange(server: ObservedServer, http: requests.Session, status: int) -> None:
    server.faults.inject(Fault.status(status), on="EXCHANGE_INFO")
    answer = http.get(f"{server.url}/fapi/v1/exchangeInfo")
    assert answer.status_code == status
    assert set(answer.json()) == {"code", "msg"}


def test_a_status_with_a_body_of_its_own(server: ObservedServer) -> None:
    server.faults.inject(Fault.status(429, body="slowly", content_type="text/plain"), on="LIST")
    answer = listing(server)
    assert (answer.status_code, answer.text, answer.headers["Content-Type"]) == (429, "slowly", "text/plain")


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_status_of_head(server: ObservedServer, status: int) -> None:
    server.faults.inject(Fault.status(status), on="HEAD")
    assert head(server).status_code == status


@pytest.mark.parametrize("on", ["LIST", "HEAD"])
def test_a_reset(server: ObservedServer, on: Any) -> None:
    server.faults.inject(Fault.reset(), on=on, times=1)
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        (listing if on == "LIST" else head)(server)
    assert [record.status for record in server.requests] == [0]


def test_a_hang(server: ObservedServer) -> None:
    server.faults.inject(Fault.hang(), on="HEAD", times=1)
    with pytest.raises(requests.ReadTimeout):
        requests.head(f"{server.url}/{key_of('BTCUSDT', DAY)}", timeout=(5, 0.2))
    assert head(server).status_code == 200


def test_a_short_hang_is_only_slow(server: ObservedServer) -> None:
    server.faults.inject(Fault.hang(0.05), on="HEAD", times=1)
    answer = head(server)
    assert answer.status_code == 200
    assert answer.elapsed >= dt.timedelta(seconds=0.05)


def test_a_body_cut_in_the_middle(server: ObservedServer) -> None:
    whole = len(listing(server).content)
    server.faults.inject(Fault.cut(), on="LIST", times=1)
    with pytest.raises(
        requests.exceptions.ChunkedEncodingError, match=rf"{whole // 2} bytes read, {whole - whole // 2}"
    ):
        listing(server)


def test_headers_cut_in_the_middle(server: ObservedServer) -> None:
    server.faults.inject(Fault.cut(), on="HEAD", times=1)
    # The client takes it for an answer: what it is worth has to be told by the headers that are missing.
    assert "Content-Length" not in head(server).headers


def test_half_a_page_that_is_well_formed_http(server: ObservedServer) -> None:
    whole = listing(server).content
    server.faults.inject(Fault.cut_short(), on="LIST", times=1)
    answer = listing(server)
    assert answer.content == whole[: len(whole) // 2]
    assert int(answer.headers["Content-Length"]) == len(answer.content)


@pytest.mark.parametrize("on", ["LIST", "HEAD", "GET", "EXCHANGE_INFO"])
def test_html(server: ObservedServer, on: Any) -> None:
    server.faults.inject(Fault.html(), on=on, times=1)
    path = {"LIST": BUCKET, "EXCHANGE_INFO": "fapi/v1/exchangeInfo"}.get(on, key_of("BTCUSDT", DAY))
    answer = requests.request("HEAD" if on == "HEAD" else "GET", f"{server.url}/{path}", timeout=30)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("name", ["Content-Length", "Last-Modified", "ETag"])
def test_a_missing_header(server: ObservedServer, name: str) -> None:
    server.faults.inject(Fault.without_header(name), on="HEAD", times=1)
    assert name not in head(server).headers
    assert name in head(server).headers


def test_truncated_without_a_token(server: ObservedServer) -> None:
    root = spoiled(server, Fault.truncated_without_token())
    assert text(root, "IsTruncated") == "true"
    assert text(root, "NextContinuationToken") is None


def test_a_token_that_repeats(server: ObservedServer) -> None:
    server.faults.inject(Fault.repeated_token(), on="LIST")
    first = parse_xml(listing(server, max_keys="4").content)
    token = str(text(first, "NextContinuationToken"))
    second = parse_xml(listing(server, max_keys="4", continuation_token=token).content)
    assert text(second, "NextContinuationToken") == token
    assert keys_of(second)[0] > keys_of(first)[-1]


def test_a_token_that_repeats_behind_the_last_page(server: ObservedServer) -> None:
    token = str(text(spoiled(server, Fault.repeated_token()), "NextContinuationToken"))
    root = spoiled(server, Fault.repeated_token(), continuation_token=token)
    assert (keys_of(root), text(root, "IsTruncated")) == ([], "true")
    assert text(root, "NextContinuationToken") == token


def test_keys_out_of_order(server: ObservedServer) -> None:
    right = keys_of(parse_xml(listing(server).content))
    assert keys_of(spoiled(server, Fault.out_of_order())) == right[::-1]


def test_keys_twice(server: ObservedServer) -> None:
    right = keys_of(parse_xml(listing(server).content))
    root = spoiled(server, Fault.duplicate_keys())
    assert keys_of(root) == [key for key in right for _ in range(2)]
    assert text(root, "KeyCount") == str(2 * len(right))


def test_a_missing_is_truncated(server: ObservedServer) -> None:
    root = spoiled(server, Fault.without_is_truncated())
    assert text(root, "IsTruncated") is None
    assert keys_of(root)


def test_an_empty_bucket(server: ObservedServer) -> None:
    root = spoiled(server, Fault.empty_listing(), max_keys="3")
    assert keys_of(root) == []
    assert (text(root, "KeyCount"), text(root, "IsTruncated")) == ("0", "false")
    assert text(root, "NextContinuationToken") is None


def test_half_of_the_keys_missing(server: ObservedServer) -> None:
    right = keys_of(parse_xml(listing(server).content))
    root = spoiled(server, Fault.half_missing())
    assert keys_of(root) == right[::2]
    assert text(root, "KeyCount") == str(len(right))


def test_half_of_the_folders_missing(server: ObservedServer) -> None:
    server.faults.inject(Fault.half_missing(), on="LIST", times=1)
    root = parse_xml(listing(server, ROOT, delimiter="/").content)
    assert len(root.findall(f"{NAMES}CommonPrefixes")) == 3
    assert text(root, "KeyCount") == "6"


def test_defects_leave_errors_alone(server: ObservedServer) -> None:
    server.faults.inject(Fault.half_missing(), on="LIST")
    assert parse_xml(listing(server, max_keys="x").content).findtext("Code") == "InvalidArgument"


def test_a_fault_happens_so_often(server: ObservedServer) -> None:
    injection = server.faults.inject(Fault.status(503), on="HEAD", times=2)
    assert [head(server).status_code for _ in range(4)] == [503, 503, 200, 200]
    assert injection.fired == 2


def test_a_fault_lets_some_through(server: ObservedServer) -> None:
    server.faults.inject(Fault.status(503), on="HEAD", times=1, after=2)
    assert [head(server).status_code for _ in range(4)] == [200, 200, 503, 200]


def test_a_fault_goes_on_until_it_is_cleared(server: ObservedServer) -> None:
    server.faults.inject(Fault.status(503), on="HEAD")
    assert {head(server).status_code for _ in range(5)} == {503}
    server.faults.clear()
    assert head(server).status_code == 200


def test_a_symbol_does_not_match_longer_names(server: ObservedServer) -> None:
    server.faults.inject(Fault.status(503), on="HEAD", match="BTCUSDT")
    assert head(server, "BTCUSDT_240329").status_code == 200
    assert head(server).status_code == 503


def test_a_symbol_matches_its_listing_but_not_the_folders(server: ObservedServer) -> None:
    server.faults.inject(Fault.status(503), on="LIST", match="BTCUSDT")
    assert listing(server, ROOT, delimiter="/").status_code == 200
    assert listing(server).status_code == 503


def test_a_part_of_the_path(server: ObservedServer) -> None:
    server.faults.inject(Fault.status(503), on="HEAD", match="1m-2024-03-07.zip")
    assert head(server, "AB").status_code == 503
    other = f"{server.url}/{key_of('AB', dt.date(2024, 3, 6))}"
    assert requests.head(other, timeout=30).status_code == 200


def test_a_part_of_the_prefix(server: ObservedServer) -> None:
    server.faults.inject(Fault.status(503), on="LIST", match="BTCUSDT/1m/")
    assert listing(server).status_code == 503
    assert listing(server, f"{ROOT}AB/1m/").status_code == 200


def test_other_kinds_are_spared(server: ObservedServer) -> None:
    server.faults.inject(Fault.status(503), on="LIST")
    assert head(server).status_code == 200


def test_the_first_fault_wins_until_it_is_used_up(server: ObservedServer) -> None:
    server.faults.inject(Fault.status(500), on="HEAD", times=1)
    server.faults.inject(Fault.status(503), on="HEAD", times=1)
    assert [head(server).status_code for _ in range(3)] == [500, 503, 200]


def test_an_unknown_kind_is_refused(server: ObservedServer) -> None:
    with pytest.raises(UsageError, match="PUT"):
        server.faults.inject(Fault.reset(), on="PUT")  # type: ignore[arg-type]
