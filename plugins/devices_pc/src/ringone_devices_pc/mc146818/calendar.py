"""Seconds since 1970 to the clock's cells and back, for any value that a guest can leave in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs

REGISTER_B_24H = 1 << 1
REGISTER_B_DM = 1 << 2
HOURS_PM = 1 << 7
ALARM_ANY = 0xC0

SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM, WEEKDAY, DAY, MONTH, YEAR = range(10)
CENTURY = 0x32
TIME_CELLS = frozenset((SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY))
ALARM_CELLS = frozenset((SECONDS_ALARM, MINUTES_ALARM, HOURS_ALARM))

SECONDS_PER_DAY = 86_400
DAYS_TO_1970 = 719_468
"""From 0000-03-01, where the count of days in an era of 400 years begins."""
DAYS_PER_ERA = 146_097


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the proleptic Gregorian calendar."""
    if month <= 2:
        year -= 1
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * DAYS_PER_ERA + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - DAYS_TO_1970


def civil_from_days(days: int) -> tuple[int, int, int]:
    """Year, month and day."""
    era, day_of_era = divmod(days + DAYS_TO_1970, DAYS_PER_ERA)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    return era * 400 + year_of_era + (month <= 2), month, day


@attrs.frozen
class CellFormat:
    """How register B says that numbers are written."""

    encode: Callable[[int], int]
    decode: Callable[[int], int]
    is_24h: bool

    def encode_hour(self, hour: int) -> int:
        if self.is_24h:
            return self.encode(hour)
        return self.encode((hour + 11) % 12 + 1) | (HOURS_PM if hour >= 12 else 0)

    def decode_hour(self, cell: int) -> int:
        if self.is_24h:
            return self.decode(cell)
        return self.decode(cell & ~HOURS_PM) % 12 + (12 if cell & HOURS_PM else 0)


def _to_bcd(value: int) -> int:
    return value // 10 % 10 << 4 | value % 10


def _from_bcd(cell: int) -> int:
    return (cell >> 4) * 10 + (cell & 15)


def _as_is(value: int) -> int:
    return value


def cell_format(register_b: int) -> CellFormat:
    is_24h = bool(register_b & REGISTER_B_24H)
    return CellFormat(_as_is, _as_is, is_24h) if register_b & REGISTER_B_DM else CellFormat(_to_bcd, _from_bcd, is_24h)


def weekday(days: int) -> int:
    """0 is Sunday."""
    return (days + 4) % 7


def show(cells: bytearray, second: int, form: CellFormat, weekday_shift: int) -> None:
    """Write the time of day and the date into their cells."""
    days, time_of_day = divmod(second, SECONDS_PER_DAY)
    year, month, day = civil_from_days(days)
    encode = form.encode
    cells[SECONDS] = encode(time_of_day % 60)
    cells[MINUTES] = encode(time_of_day // 60 % 60)
    cells[HOURS] = form.encode_hour(time_of_day // 3600)
    cells[WEEKDAY] = (weekday(days) + weekday_shift) % 7 + 1
    cells[DAY] = encode(day)
    cells[MONTH] = encode(month)
    cells[YEAR] = encode(year % 100)
    cells[CENTURY] = encode(year // 100 % 100)


def parse(cells: bytearray, form: CellFormat) -> int:
    """Seconds since 1970 of the cells; dates that do not exist count on from the last that does."""
    decode = form.decode
    month = min(max(decode(cells[MONTH]), 1), 12)
    days = days_from_civil(decode(cells[CENTURY]) * 100 + decode(cells[YEAR]), month, max(decode(cells[DAY]), 1))
    return days * SECONDS_PER_DAY + form.decode_hour(cells[HOURS]) * 3600 + decode(cells[MINUTES]) * 60 + decode(cells[SECONDS])


def next_alarm(cells: bytearray, form: CellFormat, after: int) -> int | None:
    """The first second later than `after` that the alarm cells match."""
    hours = _choices(cells[HOURS_ALARM], form.decode_hour, 24)
    minutes = _choices(cells[MINUTES_ALARM], form.decode, 60)
    seconds = _choices(cells[SECONDS_ALARM], form.decode, 60)
    days, time_of_day = divmod(after + 1, SECONDS_PER_DAY)
    for day, earliest in ((days, time_of_day), (days + 1, 0)):
        found = _first_time(hours, minutes, seconds, earliest)
        if found is not None:
            return day * SECONDS_PER_DAY + found
    return None


def _choices(cell: int, decode: Callable[[int], int], count: int) -> Iterable[int]:
    if cell & ALARM_ANY == ALARM_ANY:
        return range(count)
    value = decode(cell)
    return (value,) if value < count else ()


def _first_time(hours: Iterable[int], minutes: Iterable[int], seconds: Iterable[int], earliest: int) -> int | None:
    for hour in hours:
        if hour * 3600 + 3599 < earliest:
            continue
        for minute in minutes:
            if hour * 3600 + minute * 60 + 59 < earliest:
                continue
            for second in seconds:
                time_of_day = hour * 3600 + minute * 60 + second
                if time_of_day >= earliest:
                    return time_of_day
    return None
