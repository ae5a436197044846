from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from isomesh_dagster.errors import ModelError
from isomesh_dagster.model import cron

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def ms(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=timezone.utc).timestamp() * 1000)


MOMENTS = st.integers(ms(1950, 1, 1), ms(2200, 1, 1))
UNITS = st.sampled_from(cron.UNITS)
CRONS = st.sampled_from(
    [
        "@hourly",
        "@daily",
        "@midnight",
        "@weekly",
        "@monthly",
        "@yearly",
        "@annually",
        "*/5 * * * *",
        "*/7 * * * *",
        "17 * * * *",
        "5 */6 * * *",
        "30 2 * * *",
        "0 3 * * 7",
        "15,45 1-4 * * *",
        "0 9-17 * * MON-FRI",
        "0 0 1,15 * *",
        "0 6 29 2 *",
        "0 0 1 */3 *",
        "30 1 * * 1",
        "0 12 L * *",
    ]
)
ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Asia/Kolkata",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Pacific/Kiritimati",
    ]
)


class TestTicks:
    @given(CRONS, ZONES, st.integers(ms(1990, 1, 1), ms(2037, 1, 1)))
    @settings(max_examples=300)
    def test_the_last_tick_is_not_after_and_the_next_is_after(self, expression: str, zone: str, moment: int) -> None:
        floor, following = cron.cron_floor(expression, zone, moment), cron.cron_next(expression, zone, moment)
        assert floor <= moment < following

    @given(CRONS, ZONES, st.integers(ms(1990, 1, 1), ms(2037, 1, 1)))
    @settings(max_examples=300)
    def test_a_tick_is_its_own_last_tick_and_none_lies_between(self, expression: str, zone: str, moment: int) -> None:
        # Lord Howe's clock jumps by half an hour: the minute of an hourly cron moves there.
        assume(zone != "Australia/Lord_Howe" or not cron._ticks(expression).every_hour)
        floor, following = cron.cron_floor(expression, zone, moment), cron.cron_next(expression, zone, moment)
        assert cron.cron_floor(expression, zone, floor) == floor
        assert cron.cron_floor(expression, zone, following) == following
        assert cron.cron_floor(expression, zone, following - 1) == floor
        assert cron.cron_next(expression, zone, floor) == following

    @given(
        st.sampled_from(
            ["*/15 * * * *", "17 * * * *", "5 */6 * * *", "30 2 * * *", "0 3 * * 7", "0 0 1 * *", "0 0 1 1 *"]
        ),
        st.integers(ms(1975, 1, 1), ms(2100, 1, 1)),
    )
    @settings(max_examples=200)
    def test_arithmetic_agrees_with_the_library(self, expression: str, moment: int) -> None:
        quick = cron._ticks(expression)
        assert cron._regular_ticks(*expression.split()) is not None
        slow = cron._irregular_ticks(expression, expression)
        assert (quick.floor(moment), quick.next(moment)) == (slow.floor(moment), slow.next(moment))

    def test_weekly_is_sunday_midnight(self) -> None:
        assert cron.cron_floor("@weekly", "UTC", ms(2026, 11, 19, 10, 30)) == ms(2026, 11, 15)

    def test_a_zone_shifts_when_to_look(self) -> None:
        assert cron.cron_floor("@daily", "America/Los_Angeles", ms(2024, 1, 2, 7, 59)) == ms(2024, 1, 1, 8)
        assert cron.cron_floor("@daily", "America/Los_Angeles", ms(2024, 7, 2, 7)) == ms(2024, 7, 2, 7)

    def test_a_reading_that_never_shows_ticks_at_the_jump(self) -> None:
        # New York jumps from 2:00 to 3:00 on 2024-03-10, at 7:00 UTC.
        before = ms(2024, 3, 10, 6, 59)
        assert cron.cron_next("30 2 * * *", "America/New_York", before) == ms(2024, 3, 10, 7)
        assert cron.cron_next("30 2 * * *", "America/New_York", ms(2024, 3, 10, 7)) == ms(2024, 3, 11, 6, 30)

    def test_a_reading_that_shows_twice_ticks_once(self) -> None:
        # New York jumps from 2:00 back to 1:00 on 2024-11-03, at 6:00 UTC.
        first = ms(2024, 11, 3, 5, 30)
        assert cron.cron_next("30 1 * * *", "America/New_York", ms(2024, 11, 3, 4)) == first
        assert cron.cron_next("30 1 * * *", "America/New_York", first) == ms(2024, 11, 4, 6, 30)
        assert cron.cron_floor("30 1 * * *", "America/New_York", ms(2024, 11, 3, 6, 45)) == first

    def test_hourly_ticks_every_hour_through_both_jumps(self) -> None:
        for day in ((2024, 3, 10), (2024, 11, 3)):
            moment = ms(*day)
            for _ in range(24):
                following = cron.cron_next("@hourly", "America/New_York", moment)
                assert following - moment == HOUR
                moment = following

    @pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Pacific/Apia"])
    @pytest.mark.parametrize("expression", ["30 2 * * *", "0,30 1-3 * * *", "0 0 * * *"])
    def test_ticks_of_a_year_are_those_a_clock_shows(self, zone: str, expression: str) -> None:
        start, end = ms(2011, 1, 1), ms(2012, 1, 1)  # Apia skipped 2011-12-30
        fields = expression.split()
        minutes = [int(text) for text in fields[0].split(",")]
        low, _, high = fields[1].partition("-")
        wanted = {(hour, minute) for hour in range(int(low), int(high or low) + 1) for minute in minutes}
        shown, latest = [], None
        for moment in range(start - DAY, end, 15 * MINUTE):
            local = datetime.fromtimestamp(moment / 1000, ZoneInfo(zone)).replace(tzinfo=None)
            if latest is None or local > latest:
                readings = []
                reading = latest or local
                while latest is not None and (reading := reading + timedelta(minutes=15)) <= local:
                    readings.append((reading.hour, reading.minute))
                latest = local
                if wanted.intersection(readings) and moment >= start:
                    shown.append(moment)
        ticks, moment = [], start - 1
        while (moment := cron.cron_next(expression, zone, moment)) < end:
            ticks.append(moment)
        assert ticks == shown
        assert len(ticks) >= 364


class TestCronText:
    @pytest.mark.parametrize(
        ("written", "kept"), [("@Daily", "@daily"), ("  0  3 * * mon ", "0 3 * * mon"), ("*/5 * * * *", "*/5 * * * *")]
    )
    def test_is_kept_as_written_but_for_space(self, written: str, kept: str) -> None:
        assert cron.validate_cron(written) == kept

    @pytest.mark.parametrize(
        "bad",
        [
            *(
                "",
                "daily",
                "@fortnightly",
                "* * * *",
                "* * * * * *",
                "60 * * * *",
                "0 24 * * *",
                "0 0 32 * *",
                "0 0 * 13 *",
            ),
            *(
                "H * * * *",
                "R R * * *",
                "0 0 * * FOO",
                "a b c d e",
                "0 0 31 2 *",
                "*/0 * * * *",
                "0 0 ? * *",
                "-1 * * * *",
            ),
        ],
    )
    def test_nonsense_is_refused(self, bad: str) -> None:
        with pytest.raises(ModelError):
            cron.validate_cron(bad)

    def test_unknown_time_zone(self) -> None:
        assert cron.validate_timezone("Europe/Berlin") == "Europe/Berlin"
        for bad in ("Mars/Olympus", "../../etc/passwd", ""):
            with pytest.raises(ModelError, match="unknown time zone"):
                cron.validate_timezone(bad)


class TestIntervalUnit:
    @pytest.mark.parametrize(
        ("expression", "unit"),
        [
            ("@yearly", "year"),
            ("0 0 29 2 *", "year"),
            ("@monthly", "month"),
            ("0 0 31 * *", "month"),
            ("0 0 1 */3 *", "month"),
            ("0 0 1,15 * *", "day"),
            ("@weekly", "day"),
            ("@daily", "day"),
            ("0 3 * * 1-5", "day"),
            ("0 9-17 * * 1-5", "hour"),
            ("0 */6 * * *", "hour"),
            ("@hourly", "hour"),
            ("0,30 * * * *", "half_hour"),
            ("*/20 * * * *", "quarter_hour"),
            ("*/15 9 * * 1", "quarter_hour"),
            ("*/5 * * * *", "five_minute"),
        ],
    )
    def test_is_the_coarsest_within_the_shortest_gap(self, expression: str, unit: str) -> None:
        assert cron.infer_interval_unit(expression) == unit

    @pytest.mark.parametrize("expression", ["* * * * *", "*/7 * * * *"])  # minute 56 is followed by minute 0
    def test_more_often_than_five_minutes_is_refused(self, expression: str) -> None:
        with pytest.raises(ModelError, match="five minutes"):
            cron.infer_interval_unit(expression)

    def test_a_given_unit_may_be_finer_but_not_coarser(self) -> None:
        assert cron.validate_unit("HOUR", cron="@daily") == "hour"
        with pytest.raises(ModelError, match="coarser"):
            cron.validate_unit("day", cron="@hourly")
        assert cron.validate_unit("day", cron="@hourly", allow_partials=True) == "day"
        with pytest.raises(ModelError, match="unknown interval_unit"):
            cron.validate_unit("week", cron="@weekly")


class TestUnits:
    @given(UNITS, MOMENTS)
    def test_floor_and_ceiling_hold_the_moment(self, unit: str, moment: int) -> None:
        floor, ceiling = cron.unit_floor(unit, moment), cron.unit_ceil(unit, moment)
        assert floor <= moment <= ceiling
        assert cron.unit_floor(unit, floor) == floor == cron.unit_ceil(unit, floor)
        assert ceiling in (floor, cron.unit_add(unit, floor, 1))
        assert (ceiling == floor) == (moment == floor)
        assert moment < cron.unit_add(unit, floor, 1)

    @given(UNITS, MOMENTS, st.integers(-50, 50), st.integers(-50, 50))
    def test_steps_add_up(self, unit: str, moment: int, n: int, m: int) -> None:
        start = cron.unit_floor(unit, moment)
        there = cron.unit_add(unit, start, n)
        assert cron.unit_floor(unit, there) == there
        assert cron.unit_add(unit, there, -n) == start
        assert cron.unit_add(unit, there, m) == cron.unit_add(unit, start, n + m)
        assert cron.unit_count(unit, start, there) == max(0, n)

    @given(UNITS, MOMENTS, MOMENTS)
    def test_only_whole_units_count(self, unit: str, start: int, end: int) -> None:
        count = cron.unit_count(unit, start, end)
        first = cron.unit_ceil(unit, start)
        if count:
            assert cron.unit_add(unit, first, count) <= end
        assert end < cron.unit_add(unit, first, count + 1)

    def test_months_and_years_have_their_lengths(self) -> None:
        assert cron.unit_floor("month", ms(2024, 2, 29, 13)) == ms(2024, 2, 1)
        assert cron.unit_ceil("month", ms(2024, 12, 31, 23)) == ms(2025, 1, 1)
        assert cron.unit_add("month", ms(2024, 1, 31, 5), 1) == ms(2024, 2, 29, 5)
        assert cron.unit_add("year", ms(2024, 2, 29), 1) == ms(2025, 2, 28)
        assert cron.unit_floor("year", ms(1969, 7, 20)) == ms(1969, 1, 1)
        assert cron.unit_count("month", ms(2024, 1, 2), ms(2024, 4, 1)) == 2
