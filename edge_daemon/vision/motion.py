"""How a face moves: noisy positions in, its predicted place and how unsure that is out.

A Kalman filter of constant velocity with white noise as acceleration (Bar-Shalom, Li and
Kirubarajan, "Estimation with Applications to Tracking and Navigation", 2001, section 6.2.2). x and
y have the same noise, so one covariance serves both.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from edge_daemon.core.types import Point

# Standard deviations in face widths: of a detection's place, of the velocity (a second) of a face
# just found, and of what the velocity gains or loses in a second.
PLACE_NOISE = 0.05
FIRST_VELOCITY = 2.0
VELOCITY_NOISE = 1.0


class Motion(NamedTuple):
    """Where a face `width` pixels wide is and where it is going, in pixels and seconds.

    `place_var`, `cross_var` and `velocity_var` are the covariance of either coordinate.
    """

    width: float
    place: Point
    velocity: Point
    place_var: float
    cross_var: float
    velocity_var: float

    @property
    def spread(self) -> float:
        """The standard deviation of the place, in pixels."""
        return math.sqrt(self.place_var)

    def after(self, seconds: float) -> Motion:
        """The motion predicted for `seconds` later."""
        dt, noise = seconds, (VELOCITY_NOISE * self.width) ** 2
        return Motion(
            self.width,
            Point(self.place.x + dt * self.velocity.x, self.place.y + dt * self.velocity.y),
            self.velocity,
            self.place_var
            + 2 * dt * self.cross_var
            + dt * dt * self.velocity_var
            + noise * dt**3 / 3,
            self.cross_var + dt * self.velocity_var + noise * dt**2 / 2,
            self.velocity_var + noise * dt,
        )

    def seen(self, place: Point, width: float) -> Motion:
        """This motion corrected by a face detected at `place`, `width` pixels wide.

        A box that shrinks or grows does so on one side when something covers the face, and its
        centre is off by half of that.
        """
        noise = PLACE_NOISE * width + abs(width - self.width) / 2
        spread = self.place_var + noise**2
        gain, velocity_gain = self.place_var / spread, self.cross_var / spread
        dx, dy = place.x - self.place.x, place.y - self.place.y
        return Motion(
            width,
            Point(self.place.x + gain * dx, self.place.y + gain * dy),
            Point(self.velocity.x + velocity_gain * dx, self.velocity.y + velocity_gain * dy),
            (1 - gain) * self.place_var,
            (1 - gain) * self.cross_var,
            self.velocity_var - velocity_gain * self.cross_var,
        )


def first_motion(place: Point, width: float) -> Motion:
    """The motion of a face just found: as likely to go one way as the other."""
    place_var, velocity_var = (PLACE_NOISE * width) ** 2, (FIRST_VELOCITY * width) ** 2
    return Motion(width, place, Point(0.0, 0.0), place_var, 0.0, velocity_var)
