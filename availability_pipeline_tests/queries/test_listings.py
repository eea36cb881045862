"""A universe is as of its day, the same day by day or for a whole backtest; each rule leaves out what it names."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from availability_pipeline import AvailabilityQueries, UsageError
from availability_pipeline.dates import DayRange
from availability_pipeline.queries.listings import (
    Announcement,
    Endings,
    ListingHistory,
    UniverseRules,
    histories_of,
    member,
    membership_spans,
)
from availability_pipeline_tests.demo_data import Demo

FIRST = dt.date(2024, 1, 1)


def day(offset: int) -> dt.date:
    return FIRST + dt.timedelta(days=offset)


def life(*spans: tuple[int, int, str, int, int | None], kind: str | None = None) -> ListingHistory:
    """A contract from its spans, written as first and last day, status, day from which it is known, and listing day."""
    rows = [
        ("AUSDT", day(first), day(last), status, day(known), None if listed is None else day(listed))
        for first, last, status, known, listed in spans
    ]
    return histories_of(rows, {"AUSDT": (kind, None)})[0]


# Listed on day 10, one gap, flat from day 40 on, known to be flat on day 44.
DELISTED = life(
    (0, 9, "not_listed", 0, None),
    (10, 19, "published", 10, 10),
    (20, 22, "missing", 23, 10),
    (23, 39, "published", 23, 10),
    (40, 60, "flat", 44, 10),
    (61, 70, "ended", 64, None),
)

REASONS: list[tuple[int, dict[str, Any], str | None]] = [
    (10, {}, None),
    (21, {}, "missing"),
    (39, {}, None),
    (43, {}, None),  # nobody could know
    (44, {}, "flat"),
    (44, {"include_flat": True}, None),
    (61, {"include_flat": True}, "ended"),
    (19, {"min_age_days": 10}, "young"),
    (23, {"min_age_days": 13}, None),
    (23, {"min_age_days": 14}, "young"),
    (29, {"days_in_window": (7, 10)}, None),  # 20 to 29 with the gap of 3
    (29, {"days_in_window": (8, 10)}, "few_days"),
    (14, {"days_in_window": (5, 30)}, None),
    (14, {"days_in_window": (6, 30)}, "few_days"),
    (43, {"days_in_window": (21, 21)}, None),  # the small files still count as live
    (44, {"days_in_window": (6, 10), "include_flat": True}, "few_days"),  # and now they do not
    (44, {"days_in_window": (5, 10), "include_flat": True}, None),
    (12, {"contract_types": frozenset({"PERPETUAL"})}, None),
    (12, {"contract_types": frozenset({"TRADIFI_PERPETUAL"})}, "contract_type"),
]


@pytest.mark.parametrize(("offset", "rules", "reason"), REASONS)
def test_each_rule_leaves_out_what_it_names(offset: int, rules: dict[str, Any], reason: str | None) -> None:
    found = member(DELISTED, day(offset), UniverseRules(**rules))
    assert found is not None
    assert found.reason == reason


# On day 30 the end of day 40 is announced, on day 33 it is withdrawn, on day 35 it is that of day 38.
ANNOUNCED = {"AUSDT": [(5, None), (30, 40), (33, None), (35, 38)]}


def endings(days: int, said: dict[str, list[tuple[int, int | None]]]) -> Endings:
    """A rule from days of announcements and ends."""
    return Endings(
        days,
        {
            symbol: [Announcement(day(at), None if end is None else day(end)) for at, end in announced]
            for symbol, announced in said.items()
        },
    )


@pytest.mark.parametrize(
    ("days", "out"),
    [
        (0, [38, 39, 40, 43]),
        (2, [36, 37, 38, 39, 40, 43]),
        (3, [35, 36, 37, 38, 39, 40, 43]),
        (9, [31, 32, 35, 36, 37, 38, 39, 40, 43]),
        (30, [30, 31, 32, 35, 36, 37, 38, 39, 40, 43]),
    ],
)
def test_a_contract_is_left_out_from_so_many_days_before_its_announced_end(days: int, out: list[int]) -> None:
    rules = UniverseRules(endings=endings(days, ANNOUNCED))
    found = {at: member(DELISTED, day(at), rules) for at in (12, *range(29, 41), 43)}
    assert [at for at, one in found.items() if one and one.reason == "ending"] == out
    assert {one.reason for at, one in found.items() if one and at not in out} == {None}


def test_the_announced_end_of_a_former_contract_does_not_count() -> None:
    relisted = life((0, 19, "published", 0, 0), (20, 29, "ended", 20, None), (30, 40, "published", 30, 30))
    rules = UniverseRules(endings=endings(5, {"AUSDT": [(10, 19)], "BUSDT": [(0, 35)]}))
    found = {at: member(relisted, day(at), rules) for at in (13, 14, 19, 30, 40)}
    assert [one.reason if one else "" for one in found.values()] == [None, "ending", "ending", None, None]


def test_days_of_an_earlier_listing_do_not_count() -> None:
    relisted = life(
        (0, 19, "published", 0, 0),
        (20, 24, "flat", 24, 0),
        (25, 29, "ended", 30, None),
        (30, 40, "published", 30, 30),
    )
    for days, reason in ((5, None), (6, "few_days")):
        found = member(relisted, day(34), UniverseRules(days_in_window=(days, 30)))
        assert found is not None
        assert (found.reason, found.listed_on) == (reason, day(30))


def test_before_its_listing_a_contract_is_not_there_at_all() -> None:
    assert member(DELISTED, day(9), UniverseRules()) is None
    assert member(DELISTED, day(71), UniverseRules()) is None


def test_a_copy_of_a_contract_does_not_count_twice() -> None:
    rows = [
        ("AUSDT", day(0), day(9), "published", day(0), day(0)),
        ("AUSDT_SETTLED", day(0), day(19), "published", day(0), day(0)),
    ]
    _, settled = histories_of(rows, {"AUSDT_SETTLED": (None, "AUSDT")})
    assert [getattr(member(settled, day(at), UniverseRules()), "reason", "") for at in (9, 10)] == [
        "same_contract",
        None,
    ]
    assert [
        (one.first_day, one.last_day)
        for one in membership_spans(settled, DayRange(day(0), day(30)), UniverseRules())
    ] == [(day(10), day(19))]


RULES = st.builds(
    UniverseRules,
    min_age_days=st.integers(0, 12),
    days_in_window=st.none() | st.tuples(st.integers(1, 4), st.integers(4, 12)),
    include_flat=st.booleans(),
    endings=st.none()
    | st.builds(
        lambda days, said: endings(days, {"AUSDT": sorted(said, key=lambda one: one[0])}),
        st.integers(0, 12),
        st.lists(st.tuples(st.integers(0, 60), st.none() | st.integers(0, 70)), max_size=4),
    ),
)
STATUSES = ["published", "flat", "missing", "pending", "ended"]


@st.composite
def lives(draw: st.DrawFn) -> ListingHistory:
    """Lives of any spans, whether or not analysis could have found them."""
    bounds = draw(st.lists(st.integers(0, 60), min_size=2, max_size=9, unique=True).map(sorted))
    spans, listed = [], bounds[0]
    for first, following in pairwise(bounds):
        status = draw(st.sampled_from(STATUSES))
        listed = draw(st.sampled_from([listed, first]))
        known = draw(st.integers(first, following + 3))
        spans.append((first, following - 1, status, known, None if status == "ended" else listed))
    return life(*spans)


@settings(max_examples=80, deadline=None)
@given(one=lives(), rules=RULES, start=st.integers(0, 60), length=st.integers(0, 60))
def test_stretches_are_the_days_one_by_one(
    one: ListingHistory, rules: UniverseRules, start: int, length: int
) -> None:
    days = DayRange(day(start), day(start + length))
    expected = {
        each: (found.status, found.listed_on)
        for each in days
        if (found := member(one, each, rules)) and found.reason is None
    }
    got = {
        each: (stretch.member.status, stretch.member.listed_on)
        for stretch in membership_spans(one, days, rules)
        for each in DayRange(stretch.first_day, stretch.last_day)
    }
    assert got == expected


@pytest.mark.parametrize(
    "rules", [{}, {"min_age_days": 30, "min_days_in_window": (25, 30)}, {"include_flat": True}]
)
def test_a_history_is_its_universes_one_by_one(demo: Demo, rules: dict[str, Any]) -> None:
    with AvailabilityQueries(demo.path) as queries:
        table = queries.universe_history("2022-04-01", "2023-01-10", 9, **rules)
        days = [dt.date(2022, 4, 1) + dt.timedelta(days=9 * at) for at in range(32)]
        expected = [row for each in days for row in queries.get_universe(each, **rules)]
        assert queries.get_universe(days[0], **rules).arrow().to_pylist() == queries.get_universe(
            days[0], **rules
        )
    for row in expected:
        assert row.pop("reason") is None  # type: ignore[misc]
    assert table == expected
    assert len({row["date"] for row in expected}) == len(days)


def test_a_window_is_thirty_days_unless_it_is_said(demo: Demo) -> None:
    with AvailabilityQueries(demo.path) as queries:
        by_place = queries.get_universe("2022-11-25", 30, 15, True, ["PERPETUAL"])
        by_name = queries.get_universe(
            "2022-11-25",
            min_age_days=30,
            min_days_in_window=(15, 30),
            include_flat=True,
            contract_types=["PERPETUAL"],
        )
        assert by_place == by_name != queries.get_universe("2022-11-25")


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"min_age_days": -1}, "min_age_days is -1, but it must be a whole number from 0 to 36,500"),
        ({"min_age_days": 10**12}, "min_age_days is 1000000000000, but"),
        (
            {"min_days_in_window": (31, 30)},
            r"min_days_in_window is \(31, 30\), but it must be a number of the last 30",
        ),
        ({"min_days_in_window": 31}, "min_days_in_window is 31, but"),
        ({"min_days_in_window": "25"}, "min_days_in_window is '25', but"),
        ({"min_days_in_window": (1.5, 30)}, r"min_days_in_window is \(1.5, 30\), but"),
        ({"min_days_in_window": (1, 2, 3)}, r"min_days_in_window is \(1, 2, 3\), but"),
        ({"min_age_days": "7"}, "min_age_days is '7', but it must be a whole number"),
        ({"min_age_days": 1.5}, "min_age_days is 1.5, but it must be a whole number"),
        ({"min_days_in_window": (0, 30)}, r"min_days_in_window is \(0, 30\)"),
        ({"min_days_in_window": (1, 10**12)}, r"not above the second, which is 36,500 at most"),
        *(
            (
                {"exclude_ending": days},
                f"exclude_ending is {days!r}, but it must be a whole number from 0 to 36,500",
            )
            for days in (-1, 36_501, 1.0, True, "7")
        ),
        ({"contract_types": "PERPETUAL"}, "contract_types is 'PERPETUAL', but it must be a list"),
        ({"contract_types": 5}, "contract_types is 5, but it must be a list"),
        ({"contract_types": [5]}, r"contract_types is \[5\], but it must be a list"),
        (
            {"contract_types": ["spot"]},
            "contract_types has 'SPOT', which no contract is; there are PERPETUAL, TRADIFI_PER",
        ),
    ],
)
def test_rules_that_make_no_sense_are_named(demo: Demo, rules: dict[str, Any], message: str) -> None:
    with AvailabilityQueries(demo.path) as queries:
        with pytest.raises(UsageError, match=message):
            queries.get_universe("2024-01-15", **rules)
        for step in (0, 1.5, "1"):
            with pytest.raises(
                UsageError, match=f"step is {step!r}, but it must be a whole number from 1 to"
            ):
                queries.universe_history("2024-01-15", "2024-01-16", step)  # type: ignore[arg-type]
