"""Dates, times and durations as seconds on an axis, and back on the grid they were kept on."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.table.reading import TICK_NANOSECONDS, FloatArray, IntArray, TimeCells

_SECOND = 10**9
# Days, hours, minutes, then decimal fractions of the second; nanoseconds.
_DAY = 86_400 * _SECOND
_STEPS = {
    _DAY: "day",
    3_600 * _SECOND: "hour",
    60 * _SECOND: "minute",
    _SECOND: "second",
    10**6: "millisecond",
    10**3: "microsecond",
    1: "nanosecond",
}
_FIRST_SECOND, _LAST_SECOND = -62_135_510_400, 253_402_214_400  # a day inside years 1 to 9999
_LARGEST_TICK = 2**63 - 2**12  # leaves room for rounding; the lowest int64 is NaT


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """The axis of seconds that a column of times is modelled on.

    Attributes
    ----------
    is_duration : bool
        Durations, rather than points in time.
    unit : str
        Tick of the column's dtype: ``"s"``, ``"ms"``, ``"us"`` or ``"ns"``.
    zone : str or None
        Time zone of the column.
    origin : int
        The zero of the axis, nanoseconds since 1970; 0 for durations.
    step : int
        Every observed time is a multiple of so many nanoseconds, by the local clock; imputed
        ones will be.
    """

    is_duration: bool
    unit: str
    zone: str | None
    origin: int
    step: int

    @classmethod
    def of(cls, cells: TimeCells, *, is_duration: bool) -> Self:
        """Choose the axis of observed times.

        Parameters
        ----------
        cells : TimeCells
            Observed cells only.
        is_duration : bool
            Whether they are durations.

        Returns
        -------
        TimeAxis
            With the earliest point in time as its origin.
        """
        tick = TICK_NANOSECONDS[cells.unit]
        origin = 0 if is_duration else int(cells.ticks.min()) * tick
        local = _to_local(cells.ticks, cells.unit, cells.zone)
        coarse = (step for step in _STEPS if step >= tick and not np.any(local % (step // tick)))
        return cls(is_duration, cells.unit, cells.zone, origin, next(coarse))

    def seconds(self, cells: TimeCells) -> FloatArray:
        """Return times as seconds from the origin.

        Parameters
        ----------
        cells : TimeCells
            In any unit.

        Returns
        -------
        ndarray, shape (n_rows,)
            Seconds; exact where float64 is.
        """
        tick = TICK_NANOSECONDS[cells.unit]
        origin, remainder = divmod(self.origin, tick)
        if abs(origin) < 2**62 and np.all(np.abs(cells.ticks) < 2**62):
            elapsed = (cells.ticks - origin).astype(np.float64)
        else:
            elapsed = cells.ticks.astype(np.float64) - float(origin)
        return np.asarray(elapsed * (tick / _SECOND) - remainder / _SECOND)

    def times(self, seconds: FloatArray) -> npt.NDArray[Any]:
        """Return the times at given seconds from the origin, on the grid of the observed ones.

        Parameters
        ----------
        seconds : ndarray, shape (n_cells,)
            Within :meth:`limits`.

        Returns
        -------
        ndarray, shape (n_cells,)
            ``datetime64[unit]``, in UTC if the column has a time zone, or ``timedelta64[unit]``.
        """
        tick = TICK_NANOSECONDS[self.unit]
        whole = np.floor(seconds)
        parts = np.rint((seconds - whole) * (_SECOND / tick)).astype(np.int64)
        # Ticks from the origin may exceed int64; added to it they come back, modulo 2**64.
        ticks = whole.astype(np.int64) * (_SECOND // tick) + parts + self.origin // tick
        local = _to_local(ticks, self.unit, self.zone)
        step = self.step // tick
        rounded = (local + step // 2) // step * step
        if self.step == _DAY:  # the clock may have changed between a moment and its midnight
            ticks = _to_utc(rounded, self.unit, self.zone)
        else:
            ticks = ticks + (rounded - local)
        return ticks.view(f"timedelta64[{self.unit}]" if self.is_duration else self._datetime)

    def second_of(self, end: object) -> float:
        """Return one moment, or one duration, in seconds from the origin.

        Parameters
        ----------
        end : object
            What :class:`pandas.Timestamp` reads, a text for example, or for durations
            :class:`pandas.Timedelta`; without a time zone it is by the column's own clock.

        Returns
        -------
        float

        Raises
        ------
        TypeError, ValueError
            If it is no such thing, or has a time zone where the column has none.
        """
        if np.asarray(end).dtype.kind in "biufc":  # pandas would count nanoseconds
            raise TypeError(f"{end!r} is a number")
        moment: Any = pd.Timedelta(end) if self.is_duration else pd.Timestamp(end)  # type: ignore[arg-type]
        if moment is pd.NaT:
            raise ValueError(f"{end!r} is missing")
        if not self.is_duration and moment.tzinfo is not None:
            if self.zone is None:
                raise ValueError(f"{end!r} has a time zone, the column has none")
            moment = moment.tz_convert("UTC").tz_localize(None)
        elif self.zone is not None:
            moment = moment.tz_localize(self.zone).tz_convert("UTC").tz_localize(None)
        ticks = np.array([moment.as_unit(self.unit).asm8]).view(np.int64)
        return float(self.seconds(TimeCells(ticks, self.unit, self.zone))[0])

    def say(self, second: float) -> str:
        """Return the moment, or the duration, at given seconds from the origin, in words.

        Parameters
        ----------
        second : float

        Returns
        -------
        str
            By the column's own clock; midnight is left out.
        """
        tick = TICK_NANOSECONDS[self.unit]
        whole = math.floor(second)
        micros = round((second - whole) * 10**6)  # a double holds no more of many years
        ticks = np.array([whole * (_SECOND // tick) + micros * 10**3 // tick + self.origin // tick])
        if self.is_duration:
            told = str(pd.TimedeltaIndex(ticks.view(f"timedelta64[{self.unit}]"))[0])
        else:
            local = _to_local(ticks, self.unit, self.zone)
            told = str(pd.DatetimeIndex(local.view(self._datetime))[0])
        return told.removesuffix(" 00:00:00")

    def within(self, low: float, high: float) -> tuple[float, float]:
        """Return the first and the last moment of the grid from `low` to `high`.

        Parameters
        ----------
        low, high : float
            Seconds within :meth:`limits`.

        Returns
        -------
        tuple of float
            Seconds; the first is the larger where the grid has no moment between.
        """
        cells = TimeCells(self.times(np.array([low, high])).view(np.int64), self.unit, self.zone)
        first, last = self.seconds(cells)
        step = self.step / _SECOND
        return float(first if first >= low else first + step), float(
            last if last <= high else last - step
        )

    @property
    def step_name(self) -> str:
        """The step in words, ``"day"`` for example."""
        return _STEPS[self.step]

    @property
    def _datetime(self) -> str:
        return f"datetime64[{self.unit}]"

    def limits(self) -> tuple[float, float]:
        """Return the seconds that the column's dtype can represent.

        Returns
        -------
        tuple of float
            Lowest and highest.
        """
        tick = TICK_NANOSECONDS[self.unit]
        # Rounding to the grid, and to the local clock, must stay inside.
        margin = max(self.step, tick) if self.zone is None else 2 * _DAY
        low = (-_LARGEST_TICK * tick + margin - self.origin) / _SECOND
        high = (_LARGEST_TICK * tick - margin - self.origin) / _SECOND
        if self.is_duration:
            return low, high
        origin = self.origin / _SECOND
        return max(low, _FIRST_SECOND - origin), min(high, _LAST_SECOND - origin)

    def to_dict(self) -> dict[str, Any]:
        """Return the axis as JSON values.

        Returns
        -------
        dict
            For :meth:`from_dict`.
        """
        return asdict(self)

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Return the axis that :meth:`to_dict` described.

        Parameters
        ----------
        state : dict
            What :meth:`to_dict` returned.

        Returns
        -------
        TimeAxis
            Equal to the one described.
        """
        return cls(**state)


def _to_local(ticks: IntArray, unit: str, zone: str | None) -> IntArray:
    """Ticks of the local clock from ticks of UTC."""
    if zone is None:
        return ticks
    utc = pd.DatetimeIndex(ticks.view(f"datetime64[{unit}]")).tz_localize("UTC")
    local = utc.tz_convert(zone).tz_localize(None)
    return np.asarray(local.to_numpy()).astype(f"datetime64[{unit}]").view(np.int64)


def _to_utc(ticks: IntArray, unit: str, zone: str | None) -> IntArray:
    """Ticks of UTC from ticks of the local clock: the first of two, or the next that exists."""
    if zone is None:
        return ticks
    local = pd.DatetimeIndex(ticks.view(f"datetime64[{unit}]"))
    first = np.ones(len(ticks), dtype=bool)
    aware = local.tz_localize(zone, ambiguous=first, nonexistent="shift_forward")
    utc = aware.tz_convert("UTC").tz_localize(None)
    return np.asarray(utc.to_numpy()).astype(f"datetime64[{unit}]").view(np.int64)
