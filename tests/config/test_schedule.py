"""When cycles run: crontab(5) against known dates, and intervals."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sync.config.schedule import in_words, interval_seconds, longest_repair, next_runs, probe_after, trigger
from sync.config.schema.cron import CronError, parse_cron
from sync.config.schema.settings import Schedule, Settings
from sync.core.ask.due import GRACE

# 25 November 2026 is a Wednesday. Central European Time goes forward on 29 March and back on 25 October 2026.
ROWS = [
    ("*/15 * * * *", "2026-11-25T10:07", ["2026-11-25T10:15+01:00", "2026-11-25T10:30+01:00"]),
    ("7-59/20 * * * *", "2026-11-25T10:00", ["2026-11-25T10:07+01:00", "2026-11-25T10:27+01:00"]),
    ("5/30 8,20 * * *", "2026-11-25T10:00", ["2026-11-25T20:05+01:00", "2026-11-25T20:35+01:00"]),
    ("@hourly", "2026-11-25T10:07", ["2026-11-25T11:00+01:00", "2026-11-25T12:00+01:00"]),
    ("@Daily", "2026-11-25T10:07", ["2026-11-26T00:00+01:00", "2026-11-27T00:00+01:00"]),
    ("@weekly", "2026-11-25T10:07", ["2026-11-29T00:00+01:00", "2026-12-06T00:00+01:00"]),
    ("@monthly", "2026-11-25T10:07", ["2026-12-01T00:00+01:00", "2027-01-01T00:00+01:00"]),
    ("@yearly", "2026-11-25T10:07", ["2027-01-01T00:00+01:00", "2028-01-01T00:00+01:00"]),
    ("0 6 * * 0", "2026-11-25T10:07", ["2026-11-29T06:00+01:00", "2026-12-06T06:00+01:00"]),
    ("0 6 * * 7", "2026-11-25T10:07", ["2026-11-29T06:00+01:00", "2026-12-06T06:00+01:00"]),
    ("0 6 * * sun", "2026-11-25T10:07", ["2026-11-29T06:00+01:00", "2026-12-06T06:00+01:00"]),
    ("0 6 * * 1-5", "2026-11-27T10:07", ["2026-11-30T06:00+01:00", "2026-12-01T06:00+01:00"]),
    ("0 6 * * mon-fri", "2026-11-27T10:07", ["2026-11-30T06:00+01:00", "2026-12-01T06:00+01:00"]),
    ("0 6 * * 5-7", "2026-11-25T10:07", ["2026-11-27T06:00+01:00", "2026-11-28T06:00+01:00", "2026-11-29T06:00+01:00"]),
    ("0 6 * jan,JUL *", "2026-11-25T10:07", ["2027-01-01T06:00+01:00", "2027-01-02T06:00+01:00"]),
    ("0 9 13 * 5", "2026-12-05T00:00", ["2026-12-11T09:00+01:00", "2026-12-13T09:00+01:00", "2026-12-18T09:00+01:00"]),
    ("0 9 13 * *", "2026-12-05T00:00", ["2026-12-13T09:00+01:00", "2027-01-13T09:00+01:00"]),
    ("0 9 */2 * 1", "2026-12-05T00:00", ["2026-12-07T09:00+01:00", "2026-12-21T09:00+01:00"]),
    ("0 9 30 2 1", "2026-12-05T00:00", ["2027-02-01T09:00+01:00", "2027-02-08T09:00+01:00"]),
    ("0 0 29 2 *", "2026-12-05T00:00", ["2028-02-29T00:00+01:00", "2032-02-29T00:00+01:00"]),
    ("30 2 * * *", "2026-03-28T12:00", ["2026-03-29T03:30+02:00", "2026-03-30T02:30+02:00"]),
    ("30 2 * * *", "2026-10-24T12:00", ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]),
    ("*/30 * * * *", "2026-03-29T01:20", ["2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00"]),
    (
        "*/30 * * * *",
        "2026-10-25T01:45",
        ["2026-10-25T02:00+02:00", "2026-10-25T02:30+02:00", "2026-10-25T02:00+01:00", "2026-10-25T02:30+01:00"],
    ),
]


@pytest.mark.parametrize(("cron", "now", "expected"), ROWS)
def test_cron(cron: str, now: str, expected: list[str]) -> None:
    """Expressions have the meaning of crontab(5), including at changes of summer time."""
    schedule = Schedule(cron=cron, timezone="Europe/Berlin")
    start = datetime.fromisoformat(now).replace(tzinfo=ZoneInfo("Europe/Berlin"))
    runs = next_runs(schedule, count=len(expected), now=start)
    assert [run.isoformat(timespec="minutes") for run in runs] == expected


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("", "neither five fields nor a word such as @hourly"),
        ("* * * *", "neither five fields nor a word such as @hourly"),
        ("* * * * * *", "neither five fields nor a word such as @hourly"),
        ("@reboot", "neither five fields nor a word such as @hourly"),
        ("60 * * * *", "the minute is not within 0 to 59, or its range is reversed"),
        ("* 24 * * *", "the hour is not within 0 to 23, or its range is reversed"),
        ("* * 0 * *", "the day of the month is not within 1 to 31, or its range is reversed"),
        ("* * * 13 *", "the month is not within 1 to 12, or its range is reversed"),
        ("* * * * 8", "the weekday is not within 0 to 7, or its range is reversed"),
        ("* * * * fri-mon", "the weekday is not within 0 to 7, or its range is reversed"),
        ("* * * * day", "the weekday has an unknown name"),
        ("mon * * * *", "the minute has an unknown name"),
        ("*/0 * * * *", "the minute has a step of zero"),
        ("1,,2 * * * *", "the minute is invalid"),
        ("-1 * * * *", "the minute is invalid"),
        ("\u0661 * * * *", "the minute is invalid"),
        ("0 0 30 2 *", "none of the months has this day"),
        ("0 0 31 4,6 *", "none of the months has this day"),
    ],
)
def test_cron_refused(cron: str, message: str) -> None:
    """An expression that crontab(5) does not allow, or that never runs, is refused."""
    with pytest.raises(CronError) as refused:
        parse_cron(cron)
    assert str(refused.value) == message


def test_interval() -> None:
    """The next runs of an interval follow from the time that is passed."""
    schedule = Schedule(every="90s")
    now = datetime(2026, 11, 25, tzinfo=UTC)
    assert next_runs(schedule, count=2, now=now) == [now + timedelta(seconds=90), now + timedelta(seconds=180)]
    assert interval_seconds(schedule) == 90
    assert trigger(schedule).get_next_fire_time(now, now) == now + timedelta(seconds=90)


def test_default_interval() -> None:
    """The default interval is 15 minutes."""
    assert interval_seconds(Schedule()) == 900


def test_interval_of_cron() -> None:
    """The interval of a cron expression is the gap between its next two runs."""
    schedule = Schedule(cron="0 6,18 * * *", timezone="Europe/Berlin")
    assert interval_seconds(schedule, now=datetime(2026, 11, 25, tzinfo=UTC)) == 12 * 3600
    assert interval_seconds(schedule, now=datetime(2026, 10, 24, 12, tzinfo=UTC)) == 13 * 3600


@pytest.mark.parametrize("schedule", [Schedule(every="15m", jitter="1m"), Schedule(cron="0 * * * *", jitter="1m")])
def test_jitter(schedule: Schedule) -> None:
    """Jitter delays a cycle by no more than its value, and never makes it early."""
    now = datetime(2026, 11, 25, 10, tzinfo=UTC)
    steady = schedule.model_copy(update={"jitter": timedelta(0)})
    due = trigger(steady).get_next_fire_time(now, now)
    for _ in range(200):
        assert due <= trigger(schedule).get_next_fire_time(now, now) <= due + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "a cycle now, then every 15m"),
        ({"every": "90m", "jitter": "30s"}, "a cycle now, then every 90m, each up to 30s later"),
        ({"cron": "0 6 * * *", "timezone": "Europe/Berlin"}, "a cycle now, then by cron '0 6 * * *' in Europe/Berlin"),
    ],
)
def test_schedule_in_words(keys: dict[str, str], words: str) -> None:
    """The schedule in words names interval or cron expression, time zone and jitter."""
    assert in_words(Schedule.model_validate(keys)) == words


def settings(schedule: dict[str, object], **more: object) -> Settings:
    """Make the settings of a schedule."""
    whole = {
        "instance": "acme-prod",
        "apps": {"messenger": {"id": "1", "secret": {"env": "SECRET"}}},
        "system_users": {"main": {"app": "messenger", "token": {"env": "TOKEN"}}},
        "stores": {"disk": {"type": "file", "directory": "/tmp/x", "name": "{name}"}},
    }
    return Settings.model_validate({**whole, "schedule": schedule, **more})


@pytest.mark.parametrize(
    ("schedule", "more", "seconds"),
    [
        pytest.param({}, {}, 900, id="each cycle"),
        pytest.param({"every": "15m", "jitter": "1m"}, {}, 960, id="each cycle, with jitter"),
        pytest.param({"every": "20s", "jitter": "15s"}, {}, 290, id="short cycles, with jitter"),
        pytest.param({"every": "20s"}, {"probe_every": "15m"}, 880, id="one cycle in 44"),
        pytest.param({"every": "20s"}, {}, 280, id="the default is at least five minutes"),
        pytest.param({"every": "7m"}, {}, 420, id="the default is the interval"),
        pytest.param({"every": "2h"}, {}, 7200, id="a long interval"),
        pytest.param({"every": "10m"}, {"probe_every": "15m"}, 1200, id="every other cycle"),
        pytest.param({"cron": "*/15 8-17 * * 1-5", "timezone": "Europe/Berlin"}, {}, 224_100, id="a weekend"),
        pytest.param({"cron": "0 0 1 * *"}, {}, 31 * 86_400, id="a month"),
        pytest.param({"cron": "*/15 * * * *"}, {}, 900, id="each quarter of an hour, around the clock"),
        pytest.param({"cron": "*/7 * * * *"}, {"probe_every": "5m"}, 420, id="every seven minutes, around the clock"),
        pytest.param({"cron": "* * * * *"}, {"probe_every": "5m"}, 300, id="every minute"),
    ],
)
def test_longest_repair(schedule: dict[str, object], more: dict[str, object], seconds: int) -> None:
    """An invalid token is found by the next use of it, which the intervals of the schedule and of the probes bound."""
    now = datetime(2026, 12, 2, 12, tzinfo=UTC)
    assert longest_repair(settings(schedule, **more), now=now).total_seconds() == seconds


@pytest.mark.parametrize(("every", "jitter", "probe"), [(900, 60, 900), (20, 0, 900), (20, 15, 300), (600, 0, 900)])
def test_no_cycle_leaves_a_token_out_for_longer(every: int, jitter: int, probe: int) -> None:
    """However cycles are delayed, a token is used again within the time that is named."""
    made = settings({"every": f"{every}s", "jitter": f"{jitter}s"}, probe_every=f"{probe}s")
    most = longest_repair(made, now=datetime(2026, 12, 2, 12, tzinfo=UTC)).total_seconds()
    wait = (probe_after(made) - GRACE).total_seconds()
    draw = random.Random(1)
    for _ in range(300):
        used = draw.uniform(0, jitter)
        gaps = []
        for number in range(1, 200):
            start = number * every + draw.uniform(0, jitter)
            if start - used >= wait:
                gaps.append(start - used)
                used = start
        assert max(gaps) <= most
