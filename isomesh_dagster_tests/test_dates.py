import subprocess
import sys
from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isomesh_dagster.dates import duration, is_date_only, to_exclusive_end_ms, to_ms
from isomesh_dagster.errors import ConfigError, ModelError


def ms(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=timezone.utc).timestamp() * 1000)


NOW = ms(2026, 11, 19, 10, 30)


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("2020-01-01", ms(2020, 1, 1)),
        ("20200101", ms(2020, 1, 1)),
        ("2020-01-01 10:00:00", ms(2020, 1, 1, 10)),
        ("2020-01-01T10:00", ms(2020, 1, 1, 10)),
        ("2020-01-01T10:00:00Z", ms(2020, 1, 1, 10)),
        ("2020-01-01T10:00:00.123456+02:00", ms(2020, 1, 1, 8) + 123),
        ("2020-01-01 10:00:00-0330", ms(2020, 1, 1, 13, 30)),
        ("1577836800000", ms(2020, 1, 1)),
        (1577836800000, ms(2020, 1, 1)),
        (0, 0),
        (date(2020, 1, 1), ms(2020, 1, 1)),
        (datetime(2020, 1, 1, 5), ms(2020, 1, 1, 5)),
        (datetime(2020, 1, 1, 5, tzinfo=timezone(timedelta(hours=2))), ms(2020, 1, 1, 3)),
        ("now", NOW),
        ("today", ms(2026, 11, 19)),
        ("Yesterday", ms(2026, 11, 18)),
        ("tomorrow", ms(2026, 11, 20)),
        ("1 week ago", ms(2026, 11, 12)),
        ("a day  ago", ms(2026, 11, 18)),
        ("2 hours ago", ms(2026, 11, 19, 8, 30)),
        ("30 min ago", ms(2026, 11, 19, 10)),
        ("in 1 week", ms(2026, 11, 26)),
        ("in 3 months", ms(2027, 2, 19)),
        ("9 months ago", ms(2026, 2, 19)),
        ("1 year ago", ms(2025, 11, 19)),
        ("January 5, 2020", ms(2020, 1, 5)),
        ("5 Jan 2020 13:00", ms(2020, 1, 5, 13)),
        ("2 weeks and 1 day ago", ms(2026, 11, 4)),
    ],
)
def test_phrases(phrase: object, expected: int) -> None:
    assert to_ms(phrase, now_ms=NOW) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad", ["", "soon", "2020-13-01", "20201301", "2020-02-30 10:00", "2020-01-01 25:00:00", "999999 years ago", True]
)
def test_what_cannot_be_read_is_refused(bad: object) -> None:
    with pytest.raises(ModelError, match="cannot read"):
        to_ms(bad, now_ms=NOW)  # type: ignore[arg-type]


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)), st.sampled_from(["T", " "]))
def test_iso_text_means_the_moment(moment: datetime, separator: str) -> None:
    text = moment.isoformat(sep=separator)
    assert to_ms(text, now_ms=NOW) == to_ms(moment, now_ms=NOW) == to_ms(text + "+00:00", now_ms=NOW)


@given(st.dates(min_value=date(1900, 1, 1), max_value=date(2200, 1, 1)))
def test_a_date_as_an_end_includes_its_day(day: date) -> None:
    following = to_ms(day + timedelta(days=1), now_ms=NOW)
    for phrase in (day, day.isoformat(), day.strftime("%Y%m%d")):
        assert is_date_only(phrase)
        assert to_exclusive_end_ms(phrase, now_ms=NOW) == following


def test_a_moment_as_an_end_is_itself() -> None:
    for phrase in ("2020-01-01 00:00:00", datetime(2020, 1, 1), ms(2020, 1, 1)):
        assert not is_date_only(phrase)
        assert to_exclusive_end_ms(phrase, now_ms=NOW) == ms(2020, 1, 1)


@pytest.mark.parametrize(
    ("phrase", "length"),
    [
        ("in 1 week", timedelta(weeks=1)),
        ("1 week", timedelta(weeks=1)),
        ("in 36 hours", timedelta(hours=36)),
        ("in a month", timedelta(days=30)),
        ("in 2 years", timedelta(days=730)),
    ],
)
def test_durations(phrase: str, length: timedelta) -> None:
    assert duration(phrase) == length


@pytest.mark.parametrize("bad", ["1 week ago", "yesterday", "today", "in 0 days", "forever", "", "-1 week"])
def test_a_duration_lies_ahead(bad: str) -> None:
    with pytest.raises(ConfigError):
        duration(bad)


def test_ordinary_dates_need_no_library() -> None:
    code = (
        "import sys\n"
        "from isomesh_dagster.dates import to_ms\n"
        "for phrase in ('2020-01-01', '2020-01-01 10:00:00', '1 week ago', 'yesterday'): to_ms(phrase, now_ms=0)\n"
        "sys.exit('dateparser' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
