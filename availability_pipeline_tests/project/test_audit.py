"""The audit of dependencies: a real pip-audit asks a server that answers like OSV."""

from __future__ import annotations

import datetime as dt
import json
import runpy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from availability_pipeline_tests.archive.servers import served
from availability_pipeline_tests.dagster_side import root

PINS = "alpha==1.0\nbeta==2.0\n"
FOUND = {
    "id": "GHSA-1", "aliases": ["CVE-2026-1"], "summary": "It can be broken.",
    "affected": [{"package": {"name": "beta", "ecosystem": "PyPI"}}],
}  # fmt: skip
EXCEPTION = '[[exception]]\nid = "CVE-2026-1"\npackage = "beta"\nreason = "not used"\nuntil = {until}\n'

AUDIT = runpy.run_path(str(root() / ".ci" / "audit.py"))
TODAY = dt.date(2026, 11, 20)

Audit = Callable[..., int]


@contextmanager
def osv(answer: Callable[[str], tuple[int, dict[str, Any]]]) -> Iterator[str]:
    """A server that is asked for one package at a time."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, facts = answer(asked["package"]["name"])
            body = json.dumps(facts).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with served(Handler) as url:
        yield f"{url}/v1/query"


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Audit:
    def run(*, status: int = 200, exceptions: str = "") -> int:
        (tmp_path / "pins.txt").write_text(PINS, encoding="utf-8")
        (tmp_path / "exceptions.toml").write_text(exceptions, encoding="utf-8")
        with osv(lambda name: (status, {"vulns": [FOUND]} if name == "beta" else {})) as url:
            monkeypatch.setenv("OSV_URL", url)
            return int(AUDIT["main"](tmp_path / "pins.txt", tmp_path / "exceptions.toml"))

    return run


def test_a_known_vulnerability_fails(audit: Audit, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit() == 1
    assert capsys.readouterr().out == "beta 2.0 has the known vulnerability CVE-2026-1, GHSA-1\n"


def test_an_exception_lets_it_pass(audit: Audit) -> None:
    assert audit(exceptions=EXCEPTION.format(until="2999-01-01")) == 0


@pytest.mark.parametrize(
    ("package", "until", "wrong"),
    [
        ("beta", TODAY, []),
        ("beta", TODAY - dt.timedelta(1), ["CVE-2026-1 ended", "beta 2.0 has the known vulnerability"]),
        ("alpha", TODAY, ["beta 2.0 has the known vulnerability", "CVE-2026-1 is not needed any more"]),
    ],
)
def test_an_exception_is_for_one_package_until_its_last_day(
    package: str, until: dt.date, wrong: list[str]
) -> None:
    excepted = [{"id": "CVE-2026-1", "package": package, "reason": "not used", "until": until}]
    found = AUDIT["verdict"]([("beta", "2.0", {"GHSA-1", "CVE-2026-1"})], excepted, TODAY)
    assert len(found) == len(wrong)
    assert all(part in sentence for part, sentence in zip(wrong, found, strict=True))


@pytest.mark.parametrize(
    "entry",
    [
        EXCEPTION.format(until='"soon"'),
        EXCEPTION.format(until="2999-01-01").replace("not used", " "),
        '[[exception]]\nid = "CVE-2026-1"\n',
    ],
)
def test_an_exception_needs_a_reason_and_an_end(audit: Audit, entry: str) -> None:
    assert audit(exceptions=entry) == 1


def test_no_answer_is_no_clean_bill(audit: Audit, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(status=503) == 3
    assert capsys.readouterr().out.startswith("NOT AUDITED")


def test_the_list_of_exceptions_of_this_repository_is_well_formed() -> None:
    AUDIT["exceptions"](root() / "audit-exceptions.toml")


def test_every_pin_is_one_exact_version() -> None:
    lines = (root() / "constraints.txt").read_text("utf-8").splitlines()[1:]
    assert lines == sorted(set(lines), key=str.lower)
    assert all(line.count("==") == 1 for line in lines)
