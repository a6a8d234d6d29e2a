"""Open hours against what other systems document or test: their facts, as rows of text.

A row is `start +span = deadline`, `start .. end = open time`, `at ? opens closes` or `start +n days = …`;
times without Z are local to the calendar, - is never. Where a product decided otherwise than we do
(its minutes are truncated, a deadline at the closing rolls to the next opening) the row is left out.
"""

import re
from datetime import UTC, datetime

import pytest

from shared.calendars import evaluate
from shared.calendars.zones import zone

WORK = ("mon", "tue", "wed", "thu", "fri")
ALL = (*WORK, "sat", "sun")
BERLIN, TEHRAN, SAO_PAULO = "Europe/Berlin", "Asia/Tehran", "America/Sao_Paulo"


def week(*windows, days=WORK, zone="UTC", **more):
    pairs = [window.split("-") for window in windows]
    return {"timezone": zone, "hours": dict.fromkeys(days, pairs), **more}


def by_day(zone="UTC", holidays=(), **days):
    hours = {day: [one.split("-") for one in windows.split()] for day, windows in days.items()}
    return {"timezone": zone, "hours": hours, "holidays": list(holidays)}


NINE = week("09:00-17:00")
SPLIT = week("09:00-12:00", "14:00-18:00")
NIGHT = week("19:00-05:00")
LATE = week("21:00-02:00")
OTRS_DAYS = [{"yearly": day} for day in ("01-01", "05-01", "12-24", "12-25", "12-26", "12-31")]
BIZ = by_day(
    mon="09:00-17:00", tue="10:00-16:00", wed="09:00-17:00", thu="10:00-16:00", fri="09:00-17:00",
    sat="11:00-14:30", holidays=["2006-01-16", "2006-01-18"],
)  # fmt: skip


def otrs(windows, days=ALL, zone="UTC", holidays=OTRS_DAYS):
    return week(*windows.split(), days=days, zone=zone, holidays=holidays)


TABLES = {
    "pandas, business hours 9 to 17": (NINE, """
        2014-07-01T11:00 +1h = 2014-07-01T12:00
        2014-07-01T19:00 +1h = 2014-07-02T10:00
        2014-07-01T16:30:15 +1h = 2014-07-02T09:30:15
        2014-07-01T17:00 +1h = 2014-07-02T10:00
        2014-07-03T00:00 +1h = 2014-07-03T10:00
        2014-07-05T15:00 +1h = 2014-07-07T10:00
        2014-07-04T16:30:30 +1h = 2014-07-07T09:30:30
        2014-07-04T16:00 +1h = 2014-07-04T17:00
        2014-07-01T10:00 -1h = 2014-07-01T09:00
        2014-07-01T09:30:15 -1h = 2014-06-30T16:30:15
        2014-07-01T05:00 -1h = 2014-06-30T16:00
        2014-07-07T09:00 -1h = 2014-07-04T16:00
        2014-07-01T11:00 -4h = 2014-06-30T15:00
        2014-07-05T15:00 -4h = 2014-07-04T13:00
        2000-01-10T10:00 -1h = 2000-01-10T09:00
        2014-07-01T11:00 +40h = 2014-07-08T11:00
        2014-07-07T09:30:30 +40h = 2014-07-14T09:30:30
        2014-07-01T09:00 -25h = 2014-06-25T16:00
        2014-07-01T10:00 -25h = 2014-06-26T09:00
        2014-07-06T18:00 -25h = 2014-07-01T16:00
    """),
    "pandas, split business hours": (SPLIT, """
        2014-07-01T13:00 +1h = 2014-07-01T15:00
        2014-07-04T17:30:30 +1h = 2014-07-07T09:30:30
        2014-07-01T11:00 +4h = 2014-07-01T17:00
        2014-07-01T16:00 +4h = 2014-07-02T11:00
        2014-07-04T16:30:30 +4h = 2014-07-07T11:30:30
        2014-07-01T13:00 -4h = 2014-06-30T17:00
        2014-07-02T08:00 -4h = 2014-07-01T14:00
        2014-07-07T09:30 -4h = 2014-07-04T14:30
    """),
    "pandas, overnight business hours": (NIGHT, """
        2014-07-01T17:00 +1h = 2014-07-01T20:00
        2014-07-02T04:30 +1h = 2014-07-02T19:30
        2014-07-04T23:00 +1h = 2014-07-05T00:00
        2014-07-05T04:30:30 +1h = 2014-07-07T19:30:30
        2014-07-05T04:00 +1h = 2014-07-05T05:00
        2014-07-02T19:00 -1h = 2014-07-02T04:00
        2014-07-03T00:00 -1h = 2014-07-02T23:00
        2014-07-07T19:30:30 -1h = 2014-07-05T04:30:30
        2014-07-05T01:00 ? 2014-07-05T01:00 2014-07-05T05:00
        2014-07-06T23:00 ? 2014-07-07T19:00 2014-07-08T05:00
        2014-07-07T03:00 ? 2014-07-07T19:00 2014-07-08T05:00
    """),
    "pandas, five hours a night": (LATE, """
        2014-07-01T11:00 +28h = 2014-07-09T00:00
        2014-07-02T02:00 +28h = 2014-07-10T00:00
        2014-07-04T01:00 +28h = 2014-07-11T23:00
        2014-07-05T01:00 +28h = 2014-07-14T23:00
        2014-07-07T23:30 +28h = 2014-07-15T21:30
    """),
    "pandas, all but the last hour": (week("00:00-23:00"), """
        2014-07-03T22:20 +4h = 2014-07-04T03:20
        2014-07-04T22:30:30 +4h = 2014-07-07T03:30:30
        2014-07-07T03:30:20 -4h = 2014-07-04T22:30:20
    """),
    "biz, durations": (BIZ, """
        2006-01-02T11:00 +19h = 2006-01-04T16:00
        2006-01-04T16:00 -19h = 2006-01-02T11:00
        2006-01-14T00:00 ? 2006-01-14T11:00 2006-01-14T14:30
        2006-01-14T14:30 ? 2006-01-17T10:00 2006-01-17T16:00
        2006-01-17T16:00 ? 2006-01-19T10:00 2006-01-19T16:00
        2006-01-01T00:00 .. 2006-01-04T00:00 = 14h
    """),
    "biz, a window lost to the clocks": (
        by_day("America/Los_Angeles", sun="02:30-03:15", mon="09:00-17:00"), """
        2006-04-02T00:00 ? 2006-04-03T09:00 2006-04-03T17:00
        2006-04-01T00:00 .. 2006-04-03T09:00 = 0h
    """),
    "biz, an opening moved by the clocks": (
        week("02:30-24:00", days=ALL, zone="America/Los_Angeles"), """
        2014-03-09T00:00 ? 2014-03-09T10:30Z 2014-03-10T07:00Z
        2014-11-02T00:00 ? 2014-11-02T10:30Z 2014-11-03T08:00Z
    """),
    "biz, an opening that comes twice": (
        week("01:30-24:00", days=ALL, zone="America/Los_Angeles"), """
        2014-11-02T00:00 ? 2014-11-02T08:30Z 2014-11-03T08:00Z
        2014-11-02T00:00 .. 2014-11-03T00:00 = 23h30m
    """),
    "biz, a midnight that does not exist": (
        by_day(SAO_PAULO, sat="09:00-24:00"), """
        2015-10-17T12:00 ? 2015-10-17T15:00Z 2015-10-18T03:00Z
        2015-10-17T09:00 .. 2015-10-18T09:00 = 15h
    """),
    "working_hours, computations": (NINE, """
        1991-11-15T14:00:42 +2h = 1991-11-15T16:00:42
        1991-11-18T14:00:42 -7h = 1991-11-15T15:00:42
        1991-11-15T16:30:42 +45m = 1991-11-18T09:15:42
        1991-11-15T16:59:42 +120s = 1991-11-18T09:01:42
        2014-04-07T17:00 ? 2014-04-08T09:00 2014-04-08T17:00
        2014-04-07T00:00-09:00 ? 2014-04-07T09:00 2014-04-07T17:00
        2014-04-07T22:00+02:00 ? 2014-04-08T09:00 2014-04-08T17:00
        2014-04-11T20:00 .. 2014-04-14T05:00 = 0h
        2014-04-07T01:00-09:00 .. 2014-04-07T15:00-04:00 = 7h
        1991-11-15T14:00:42 +1 days = 1991-11-18T14:00:42
        1991-11-15T14:00:42 -7 days = 1991-11-06T14:00:42
    """),
    "working_hours, whole Mondays": (by_day(mon="00:00-24:00", tue="08:00-18:00"), """
        2014-04-07T23:59:30 +60s = 2014-04-08T08:00:30
        2014-04-08T08:00:30 -60s = 2014-04-07T23:59:30
        2014-04-08T00:00:30 -60s = 2014-04-07T23:59:00
        2014-04-06T17:00 ? 2014-04-07T00:00 2014-04-08T00:00
    """),
    "working_hours, Mondays of two years": (by_day(mon="00:00-24:00"), """
        2014-04-06T12:00 .. 2016-04-06T12:00 = 2520h
        2014-04-07T23:59:30 +60s = 2014-04-14T00:00:30
    """),
    "working_hours, a break on Monday": (by_day(mon="07:00-12:00 13:00-18:00"), """
        1991-11-11T05:00 +6h = 1991-11-11T14:00
        2014-04-07T11:59 .. 2014-04-07T13:01 = 2m
        2014-04-07T11:00 .. 2014-04-14T13:00 = 11h
        2014-04-07T12:00 ? 2014-04-07T13:00 2014-04-07T18:00
    """),
    "working_hours, Tokyo": (week("09:00-17:00", zone="Asia/Tokyo"), """
        1991-11-15T07:00Z +3h = 1991-11-18T11:00
        1991-11-14T21:00Z +1 days = 1991-11-18T09:00
        2014-04-07T00:00Z ? 2014-04-07T09:00 2014-04-07T17:00
    """),
    "working_hours, days from a day off": (
        by_day(mon="09:00-17:00", wed="09:00-17:00", thu="09:00-17:00", sun="09:00-17:00"), """
        2014-04-08T10:00 +1 days = 2014-04-09T10:00
        2014-04-08T10:00 -1 days = 2014-04-07T10:00
    """),
    "working_hours, days over a holiday": (
        by_day(mon="09:00-17:00", wed="09:00-17:00", holidays=["2014-04-09"]), """
        2014-04-07T10:00 +3 days = 2014-04-21T10:00
    """),
    "business_time, three days a week": (
        by_day(mon="09:00-17:00", fri="09:00-17:00", sat="10:00-15:00"), """
        2010-12-24T15:00 +9h = 2010-12-27T11:00
        2010-12-24T08:00 +15h = 2010-12-27T11:00
        2010-12-24T15:00 .. 2010-12-27T11:00 = 9h
    """),
    "business_time, whole days": (
        by_day(mon="00:00-24:00", fri="00:00-24:00", sat="11:00-15:00"), """
        2010-12-24T15:00 +24h = 2010-12-27T11:00
        2010-12-25T08:00 +15h = 2010-12-27T11:00
        2010-12-24T15:00 .. 2010-12-27T11:00 = 24h
    """),
    "business_time, a holiday on Monday": (week("09:00-17:00", holidays=["2010-07-05"]), """
        2010-07-02T16:50 +1h = 2010-07-06T09:50
        2010-08-04T09:35 +8h = 2010-08-05T09:35
        2010-08-04T09:35 -8h = 2010-08-03T09:35
    """),
    "business_time, seconds between zones": (by_day(mon="09:00-18:00", tue="09:00-18:00"), """
        2012-05-28T11:04:26+03:00 .. 2012-05-29T17:56:45+03:00 = 14h56m45s
    """),
    "businesstimedelta, readme": (week("09:00-12:00", "13:00-18:00"), """
        2016-01-18T09:00 .. 2016-01-25T09:00 = 40h
        2016-01-18T09:00 +40h = 2016-01-22T18:00
        2016-01-25T09:00 -40h = 2016-01-18T09:00
    """),
    "businesstimedelta, a day used up": (NINE, """
        2016-01-22T09:00 +8h = 2016-01-22T17:00
        2016-01-22T18:00 -8h = 2016-01-22T09:00
        2016-01-25T11:14 -8h = 2016-01-22T11:14
        2016-01-23T13:14 +12h = 2016-01-26T13:00
    """),
    "businesstimedelta, California at Christmas": (
        week("09:00-12:00", "13:00-18:00", country="US", subdivision="CA"), """
        2015-12-21T09:00 .. 2015-12-28T09:00 = 32h
    """),
    "businesstimedelta, Santiago seen from San Francisco": (
        week("09:00-12:00", "13:00-18:00", zone="America/Santiago"), """
        2016-01-18T09:00-08:00 .. 2016-01-18T18:00-08:00 = 4h
    """),
    "moment-business-time, working time": (NINE, """
        2015-02-26T10:12:34 +9h48m17s = 2015-02-27T12:00:51
        2015-02-26T10:12:34 +108h = 2015-03-17T14:12:34
        2016-03-21T15:30 +17h = 2016-03-23T16:30
        2016-03-21T15:30 +18h = 2016-03-24T09:30
        2015-02-26T16:59:59.700 +0.555s = 2015-02-27T09:00:00.255
        2015-02-26T09:00:00.100 -0.555s = 2015-02-25T16:59:59.545
        2015-02-26T16:12:34 -108h = 2015-02-09T12:12:34
        2015-03-01T16:12:34 -0.555s = 2015-02-27T16:59:59.445
        2015-02-26T10:12:34 +100 days = 2015-07-16T10:12:34
        2015-02-28T10:13 +1 days = 2015-03-02T10:13
        2015-03-01T16:12:34 -1 days = 2015-02-27T16:12:34
    """),
    "moment-business-time, each day its own": (
        by_day(mon="12:00-17:00", tue="09:30-17:00", wed="10:00-17:00", thu="09:00-17:00"), """
        2015-02-23T10:00 +2h = 2015-02-23T14:00
        2015-02-23T10:00 +15h = 2015-02-25T12:30
    """),
    "rickar/cal, work hours": (NINE, """
        2020-04-01T06:00 +8h = 2020-04-01T17:00
        2020-04-01T09:15 +10h45m = 2020-04-02T12:00
        2020-04-04T09:00 +24h = 2020-04-08T17:00
        2020-04-04T09:00 +0h = 2020-04-06T09:00
        2020-04-01T18:00 .. 2020-04-02T12:00 = 3h
        2020-04-04T09:00 .. 2020-04-06T08:00 = 0h
    """),
    "rickar/cal, workdays with 4 July": (week("00:00-24:00", holidays=[{"yearly": "07-04"}]), """
        2016-01-15T00:00 -12 days = 2015-12-30T00:00
        2016-07-01T00:00 +1 days = 2016-07-05T00:00
        2016-07-04T00:00 -1 days = 2016-07-01T00:00
    """),
    "spatie, overflow": (by_day(mon="09:00-02:00"), """
        2019-04-23T01:00 ? 2019-04-23T01:00 2019-04-23T02:00
    """),
    "spatie, open on through midnights": (
        by_day(mon="09:00-24:00", tue="00:00-24:00", wed="00:00-03:00 09:00-24:00", fri="00:00-03:00"),
        """
        2019-02-04T11:00 ? 2019-02-04T11:00 2019-02-06T03:00
        2019-02-06T03:00 ? 2019-02-06T09:00 2019-02-07T00:00
        2019-02-07T00:00 ? 2019-02-08T00:00 2019-02-08T03:00
        2019-02-04T08:50 ? 2019-02-04T09:00 2019-02-06T03:00
    """,
    ),
    "spatie, twice a day": (by_day(mon="09:00-11:00 13:00-19:00", tue="09:00-11:00 13:00-19:00"), """
        2016-09-26T11:00 ? 2016-09-26T13:00 2016-09-26T19:00
        2016-09-26T19:00 ? 2016-09-27T09:00 2016-09-27T11:00
    """),
    "Libredesk, Tuesdays": (by_day(tue="09:00-17:00"), """
        2023-10-10T08:00 +1h = 2023-10-10T10:00
        2023-10-10T18:00 +1h = 2023-10-17T10:00
    """),
    "Libredesk, Tuesday on a holiday": (by_day(tue="09:00-17:00", holidays=["2023-10-10"]), """
        2023-10-10T10:00 +1h = 2023-10-17T10:00
    """),
    "Libredesk, a minute short of the day": (by_day(tue="00:01-23:59"), """
        2023-10-10T23:30 +29m = 2023-10-10T23:59
        2023-10-10T23:30 +30m = 2023-10-17T00:02
    """),
    "Libredesk, Kolkata": (by_day("Asia/Kolkata", tue="09:00-17:00"), """
        2023-10-10T20:00Z +1h = 2023-10-17T10:00
    """),
    "Libredesk, half an hour on Tuesday": (by_day(tue="09:00-09:30", wed="09:00-17:00"), """
        2023-10-10T09:00 +90m = 2023-10-11T10:00
        2025-03-22T18:01+05:30 +24h = 2025-04-09T15:30
    """),
    "Libredesk, six days in Kolkata": (
        by_day("Asia/Kolkata", mon="10:00-18:00", tue="10:00-18:00", wed="10:00-18:00",
               thu="10:00-18:00", fri="10:00-18:00", sat="10:00-14:00"), """
        2025-03-22T18:01:43 +1439m = 2025-03-26T17:59
        2025-03-22T18:01:43 +1440m = 2025-03-26T18:00
        2025-03-22T18:01:43 +1450m = 2025-03-27T10:10
    """),
    "Chatwoot, New York": (week("09:00-17:00", zone="America/New_York"), """
        2024-01-19T16:00 +2h = 2024-01-22T10:00
        2024-01-15T16:00 +10h = 2024-01-17T10:00
    """),
    "Chatwoot, a whole Saturday": (by_day(fri="09:00-17:00", sat="00:00-24:00"), """
        2024-01-20T00:00 +24h = 2024-01-21T00:00
        2024-01-20T10:00 +2h = 2024-01-20T12:00
    """),
    "Chatwoot, a longer Tuesday": (by_day(mon="09:00-17:00", tue="09:00-20:00"), """
        2024-01-15T18:00 +10h = 2024-01-16T19:00
        2024-01-15T16:00 +12h = 2024-01-16T20:00
    """),
    "ServiceNow, a weekend": (week("08:00-17:00"), """
        2014-12-12T20:49 .. 2014-12-15T09:44 = 1h44m
    """),
    "Odoo, a week with a day off": (
        week("08:00-16:00", zone="Europe/Brussels", holidays=["2018-04-03"]), """
        2018-04-02T00:00 .. 2018-04-06T23:59:59 = 32h
    """),
    "GLPI, whole working days": (week("00:00-24:00"), """
        2018-11-19T10:00 +7 days = 2018-11-28T10:00
        2018-11-19T10:00 -7 days = 2018-11-08T10:00
        2018-11-19T10:00 +7 ends = 2018-11-29T00:00
        2018-11-19T10:00 -7 ends = 2018-11-09T00:00
    """),
    "GLPI, 8 to 20": (week("08:00-20:00"), """
        2018-11-19T10:00 +7 days = 2018-11-28T10:00
        2018-11-19T10:00 +7 ends = 2018-11-28T20:00
        2018-11-19T10:00 -7 ends = 2018-11-08T20:00
        2019-01-01T07:00 .. 2019-01-01T09:00 = 1h
        2019-01-01T00:00 .. 2019-01-08T00:00 = 60h
        2019-01-08T00:00 .. 2019-01-01T00:00 = 0h
        2019-01-04T21:00 ? 2019-01-07T08:00 2019-01-07T20:00
    """),
    "Znuny, round the clock": (otrs("00:00-24:00"), """
        2015-02-17T12:00 +17520h = 2017-02-28T12:00
        2015-02-17T12:00 +2160h = 2015-05-19T12:00
        2015-02-20T22:10:05 +102h20m15s = 2015-02-25T04:30:20
    """),
    "Znuny, Berlin round the clock": (otrs("00:00-24:00", zone=BERLIN), """
        2015-02-17T12:00 +2161h = 2015-05-19T14:00
        2016-03-26T22:24:39 .. 2016-03-28T23:24:39 = 48h
        2015-12-23T08:10:15 .. 2015-12-28T17:10:14 = 56h59m59s
        2015-12-28T17:10:14 .. 2015-12-23T08:10:15 = 0h
    """),
    "Znuny, Berlin with a break": (otrs("08:00-13:00 14:00-18:00", WORK, BERLIN), """
        2015-03-27T11:00Z +15h = 2015-03-31T07:00Z
        2015-03-27T11:00Z .. 2015-03-31T07:00Z = 15h
        2015-03-26T16:00Z .. 2015-03-27T08:00Z = 2h
        2016-02-01T12:25:30 +5h = 2016-02-02T08:25:30
        2016-01-31T12:25:30 +45h25m30s = 2016-02-08T08:25:30
        2015-12-22T16:24:49 +20h = 2015-12-29T08:24:49
        2016-03-24T12:15:41 .. 2016-03-30T10:15:41 = 34h
    """),
    "Znuny, São Paulo": (otrs("00:00-24:00", zone=SAO_PAULO), """
        2015-02-21T22:00 +5h = 2015-02-22T02:00
        2015-02-21T22:10:05 +101h20m15s = 2015-02-26T02:30:20
        2015-10-17T22:00 +7h = 2015-10-18T06:00
        2015-02-20T22:10:05 .. 2015-02-25T04:30:20 = 103h20m15s
        2015-10-17T22:00 .. 2015-10-18T04:00 = 5h
    """),
    "Znuny, Tehran round the clock": (otrs("00:00-24:00", zone=TEHRAN), """
        2015-09-21T12:00 +15h = 2015-09-22T02:00
        2015-09-20T12:00 +48h = 2015-09-22T11:00
        2015-09-19T12:00 +96h = 2015-09-23T11:00
        2015-03-21T12:00 +17h = 2015-03-22T06:00
        2015-01-21T12:00 +2177h = 2015-04-22T06:00
        2016-03-20T00:00 +29h = 2016-03-21T06:00
        2015-03-21T12:00 .. 2015-03-22T04:00 = 15h
    """),
    "Znuny, Tehran by day": (otrs("08:00-18:00", WORK, TEHRAN), """
        2016-03-20T00:00 +5h = 2016-03-21T13:00
        2016-03-20T00:00 +13h = 2016-03-22T11:00
        2016-09-20T22:00 +5h = 2016-09-21T13:00
    """),
    "Znuny, Sydney": (otrs("00:00-24:00", zone="Australia/Sydney"), """
        2016-04-02T12:00 +41h = 2016-04-04T04:00
        2015-01-21T12:00 .. 2015-04-22T04:00 = 2177h
    """),
    "Zammad, Berlin in summer": (
        week("08:00-17:00", days=ALL, zone=BERLIN, holidays=["2015-09-22"]), """
        2013-10-21T05:30Z +2h = 2013-10-21T08:00Z
        2013-10-21T09:30Z +4h = 2013-10-21T13:30Z
        2015-09-21T14:30Z +2h = 2015-09-23T07:30Z
        2015-09-21T14:30Z +3h = 2015-09-23T08:30Z
    """),
    "Zammad, All Saints' Day": (week("08:00-20:00", zone=BERLIN, holidays=["2016-11-01"]), """
        2016-11-01T13:56:21Z +2h = 2016-11-02T09:00Z
        2016-11-01T13:56:21Z +20h = 2016-11-03T15:00Z
    """),
    "Jira Service Management, goal time": (
        by_day(mon="09:00-17:00", tue="09:00-16:00", thu="08:00-17:00"), """
        2026-11-23T11:00 +16h = 2026-11-26T11:00
    """),
    "FreeScout, four hours late in the day": (NINE, """
        2026-11-23T16:00 +4h = 2026-11-24T12:00
    """),
}  # fmt: skip

# Clocks that people change: gaps, overlaps, odd offsets, days that never were.
ZONES = {
    "Lord Howe, half an hour back": (week("00:00-24:00", days=ALL, zone="Australia/Lord_Howe"), """
        2026-04-05T00:00 .. 2026-04-06T00:00 = 24h30m
        2026-04-04T15:00Z +1h = 2026-04-04T16:00Z
    """),
    "Lord Howe, a window in the overlap": (by_day("Australia/Lord_Howe", sun="01:45-02:30"), """
        2026-04-05T00:00 ? 2026-04-04T14:45Z 2026-04-04T16:00Z
        2026-04-05T00:00 .. 2026-04-06T00:00 = 1h15m
    """),
    "Lord Howe, a window in the gap": (by_day("Australia/Lord_Howe", sun="02:00-02:45"), """
        2026-10-04T00:00 .. 2026-10-05T00:00 = 15m
    """),
    "Samoa, the day that never was": (week("08:00-16:00", days=ALL, zone="Pacific/Apia"), """
        2011-12-29T12:00 +5h = 2011-12-31T09:00
        2011-12-29T12:00 +1 days = 2011-12-31T12:00
        2011-12-31T12:00 -1 days = 2011-12-29T12:00
        2011-12-29T00:00 .. 2012-01-01T00:00 = 16h
        2011-12-29T16:00 ? 2011-12-30T18:00Z 2011-12-31T02:00Z
    """),
    "Samoa, overnight into the gap": (week("22:00-06:00", days=ALL, zone="Pacific/Apia"), """
        2011-12-29T12:00 .. 2012-01-01T12:00 = 16h
    """),
    "Kwajalein, the day that never was": (week("00:00-24:00", days=ALL, zone="Pacific/Kwajalein"), """
        1993-08-20T00:00 .. 1993-08-23T00:00 = 48h
    """),
    "Morocco, Ramadan": (week("09:00-17:00", days=ALL, zone="Africa/Casablanca"), """
        2025-02-22T08:00Z ? 2025-02-22T08:00Z 2025-02-22T16:00Z
        2025-02-23T08:00Z ? 2025-02-23T09:00Z 2025-02-23T17:00Z
        2025-04-05T09:00Z ? 2025-04-05T09:00Z 2025-04-05T17:00Z
        2025-04-06T07:00Z ? 2025-04-06T08:00Z 2025-04-06T16:00Z
        2025-02-22T15:00Z +9h = 2025-02-23T17:00Z
    """),
    "Morocco, the night of the change": (by_day("Africa/Casablanca", sun="01:30-04:00"), """
        2025-02-23T00:00 .. 2025-02-24T00:00 = 3h30m
        2025-04-06T00:00 .. 2025-04-07T00:00 = 1h30m
    """),
    "Turkey, summer for ever": (NINE | {"timezone": "Europe/Istanbul"}, """
        2016-10-28T16:00 +2h = 2016-10-31T07:00Z
        2016-11-07T09:00 ? 2016-11-07T06:00Z 2016-11-07T14:00Z
    """),
    "Pyongyang, half an hour": (week("00:00-24:00", days=ALL, zone="Asia/Pyongyang"), """
        2015-08-15T00:00 .. 2015-08-16T00:00 = 24h
        2015-08-14T00:00 .. 2015-08-16T00:00 = 48h30m
        2018-05-04T00:00 .. 2018-05-06T00:00 = 47h30m
    """),
    "Caracas, from half to whole": (week("09:00-17:00", zone="America/Caracas"), """
        2016-04-29T16:00 +2h = 2016-05-02T14:00Z
    """),
    "Moscow, permanent summer and winter": (week("09:00-18:00", zone="Europe/Moscow"), """
        2011-03-25T17:00 +2h = 2011-03-28T06:00Z
        2014-10-24T17:00 +2h = 2014-10-27T07:00Z
    """),
    "Troll, two hours": (week("00:00-24:00", days=ALL, zone="Antarctica/Troll"), """
        2026-03-29T00:00 .. 2026-03-30T00:00 = 22h
        2026-10-25T00:00 .. 2026-10-26T00:00 = 26h
    """),
    "Gaza, clocks at one in the night": (week("22:00-06:00", days=ALL, zone="Asia/Gaza"), """
        2020-10-23T12:00 .. 2020-10-24T12:00 = 9h
    """),
    "Chatham, three quarters": (by_day("Pacific/Chatham", sun="02:30-04:00"), """
        2026-09-27T00:00 .. 2026-09-28T00:00 = 30m
        2026-04-05T00:00 .. 2026-04-06T00:00 = 2h30m
    """),
    "Berlin, an hour that is missing": (by_day(BERLIN, sun="00:00-06:00"), """
        2026-03-29T01:30 +1h = 2026-03-29T03:30
        2026-03-29T02:30 +1h = 2026-03-29T04:30
        2026-03-29T00:00 .. 2026-03-29T06:00 = 5h
    """),
    "Berlin, an hour that comes twice": (by_day(BERLIN, sun="00:00-06:00"), """
        2026-10-25T01:30 +1h = 2026-10-25T00:30Z
        2026-10-25T01:30 +2h = 2026-10-25T01:30Z
        2026-10-25T02:30 +1h = 2026-10-25T01:30Z
        2026-10-25T00:00 .. 2026-10-25T06:00 = 7h
    """),
    "Berlin, nights over the change": (week("22:00-06:00", days=ALL, zone=BERLIN), """
        2026-03-28T22:00 .. 2026-03-29T06:00 = 7h
        2026-10-24T22:00 .. 2026-10-25T06:00 = 9h
        2026-03-28T23:00 -2h = 2026-03-28T05:00
    """),
    "Lisbon, before its zone's reform": (week("09:00-17:00", zone="Europe/Lisbon"), """
        1996-03-29T16:00 +2h = 1996-04-01T09:00Z
        1992-09-25T16:00 +2h = 1992-09-28T09:00Z
    """),
    "Dublin, whose winter is the exception": (week("09:00-17:00", zone="Europe/Dublin"), """
        2026-10-23T16:00 +2h = 2026-10-26T10:00Z
        1971-01-04T09:00 ? 1971-01-04T08:00Z 1971-01-04T16:00Z
    """),
}  # fmt: skip

# Holidays by country, their substitutes, other hours, versions, several calendars.
RULES = {
    "England, Christmas 2021 moved twice": (week("09:00-17:00", country="GB", subdivision="ENG"), """
        2021-12-24T16:00 +2h = 2021-12-29T10:00
    """),
    "England, jubilee and funeral": (week("09:00-17:00", country="GB", subdivision="ENG"), """
        2022-06-01T16:00 +2h = 2022-06-06T10:00
        2022-09-16T16:00 +2h = 2022-09-20T10:00
    """),
    "Scotland works on Easter Monday": (week("09:00-17:00", country="GB", subdivision="SCT"), """
        2026-04-02T16:00 +2h = 2026-04-06T10:00
    """),
    "England rests on Easter Monday": (week("09:00-17:00", country="GB", subdivision="ENG"), """
        2026-04-02T16:00 +2h = 2026-04-07T10:00
    """),
    "United States, Juneteenth on a Saturday": (week("09:00-17:00", country="US"), """
        2027-06-17T16:00 +2h = 2027-06-21T10:00
        2026-11-25T16:00 +2h = 2026-11-27T10:00
    """),
    "Bavaria, Corpus Christi": (week("09:00-17:00", zone=BERLIN, country="DE", subdivision="BY"), """
        2026-06-03T16:00 +2h = 2026-06-05T10:00
    """),
    "Berlin has no Corpus Christi": (
        week("09:00-17:00", zone=BERLIN, country="DE", subdivision="BE"), """
        2026-06-03T16:00 +2h = 2026-06-04T10:00
        2026-03-06T16:00 +2h = 2026-03-09T10:00
    """),
    "Japan, a substitute after Golden Week": (
        week("09:00-17:00", zone="Asia/Tokyo", country="JP"), """
        2026-05-01T16:00 +2h = 2026-05-07T10:00
    """),
    "Australia Day on a Sunday": (
        week("09:00-17:00", zone="Australia/Sydney", country="AU", subdivision="NSW"), """
        2025-01-24T16:00 +2h = 2025-01-28T10:00
    """),
    "a short day before the holiday": (
        week("09:00-17:00", zone=BERLIN, holidays=[{"yearly": "12-25"}],
             overrides={"2026-12-24": [["09:00", "12:00"]], "2026-12-26": [["10:00", "11:00"]]}), """
        2026-12-24T11:00 +90m = 2026-12-26T10:30
        2026-12-24T11:00 +2h = 2026-12-26T11:00
        2026-12-26T11:00 ? 2026-12-28T09:00 2026-12-28T17:00
        2026-12-24T13:00 +1 days = 2026-12-28T09:00
    """),
    "29 February every year that has it": (week("09:00-17:00", holidays=[{"yearly": "02-29"}]), """
        2024-02-28T16:00 +2h = 2024-03-01T10:00
        2023-02-28T16:00 +2h = 2023-03-01T10:00
    """),
    "another zone from a date on": (
        week("09:00-17:00", zone=BERLIN,
             versions=[{"from": "2027-01-01", "timezone": "America/New_York"}]), """
        2026-12-31T15:00Z +2h = 2027-01-01T15:00Z
    """),
    "a shorter week from a date on": (
        week("09:00-17:00", versions=[{"from": "2026-12-01", "hours": {"tue": [["10:00", "12:00"]]}},
                                      {"from": "2026-12-09", "hours": {"wed": [["09:00", "10:00"]]}}]), """
        2026-11-30T16:00 +5h30m = 2026-12-09T09:30
        2026-11-30T16:00 +3h = 2026-12-01T12:00
        2026-11-30T16:00 +3h30m = 2026-12-08T10:30
    """),
}  # fmt: skip
_UNITS = {"h": 3600, "m": 60, "s": 1}
_ROW = re.compile(
    r"(\S+) (?:([+-]\d+) (days|ends) = (\S+)|([+-])([\d.hms]+) = (\S+)"
    r"|\.\. (\S+) = (\S+)|\? (\S+) (\S+))$"
)


def seconds(text):
    return sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"([\d.]+)([hms])", text))


def moment(text, name):
    """A row's time as an instant."""
    if text == "-":
        return None
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=zone(name)) if found.tzinfo is None else found


def same(answer, expected, name):
    got = None if answer is None else datetime.fromisoformat(answer)
    wanted = moment(expected, name)
    assert got == (None if wanted is None else wanted.astimezone(UTC)), (answer, expected)


def check(calendar, row):
    """Asks one row, and what must follow from its answer."""
    match = _ROW.match(row)
    assert match, row
    start, days, unit, day_due, sign, span, due, end, total, opens, closes = match.groups()
    name = calendar["timezone"]

    def ask(**body):
        return evaluate({"calendar": calendar, **body}, lambda _: None)

    if days:
        body = {"business_days": int(days), "end_of_day": unit == "ends"}
        same(ask(start=start, **body)["deadline"], day_due, name)
    elif span:
        wanted = seconds(span) * (1 if sign == "+" else -1)
        answer = ask(start=start, duration_s=wanted)
        same(answer["deadline"], due, name)
        first, last = sorted((start, answer["deadline"]), key=lambda one: moment(one, name))
        assert ask(start=first, end=last)["elapsed_s"] == pytest.approx(abs(wanted))
        counted = sum(window["counted_s"] for window in answer["windows"])
        assert counted == pytest.approx(abs(wanted))
    elif end:
        assert ask(start=start, end=end)["elapsed_s"] == seconds(total)
    else:
        answer = ask(at=start)
        same(answer["next_open"], opens, name)
        same(answer["next_close"], closes, name)
        assert answer["open"] == (moment(start, name) == moment(opens, name))


def rows(*tables):
    return [
        pytest.param(calendar, line.strip(), id=f"{source}: {line.strip()}")
        for table in tables
        for source, (calendar, text) in table.items()
        for line in text.splitlines()
        if line.strip()
    ]


@pytest.mark.parametrize(("calendar", "row"), rows(TABLES))
def test_what_other_systems_say(calendar, row):
    check(calendar, row)


@pytest.mark.parametrize(("calendar", "row"), rows(ZONES))
def test_zones_that_change_their_clocks(calendar, row):
    check(calendar, row)


@pytest.mark.parametrize(("calendar", "row"), rows(RULES))
def test_holidays_overrides_and_versions(calendar, row):
    check(calendar, row)
