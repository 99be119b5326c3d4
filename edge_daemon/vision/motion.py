"""Estimates the motion of a face.

The method is a Kalman filter of constant velocity with white-noise acceleration (Bar-Shalom, Li and
Kirubarajan, "Estimation with Applications to Tracking and Navigation", 2001, section 6.2.2). x and
y have the same noise, so one covariance serves both.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from edge_daemon.core.types import Point

# Standard deviations in face widths: of a detected position, of the initial velocity per second,
# and of the change of velocity within a second.
PLACE_NOISE = 0.05
FIRST_VELOCITY = 2.0
VELOCITY_NOISE = 1.0


class Motion(NamedTuple):
    """Position and velocity of a face `width` pixels wide, in pixels and seconds.

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
        """The standard deviation of the position, in pixels."""
        return math.sqrt(self.place_var)

    def predicted(self, seconds: float) -> Motion:
        """Return the motion predicted for `seconds` later."""
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

    def corrected(self, place: Point, width: float) -> Motion:
        """Return this motion corrected by a detection at `place`, `width` pixels wide.

        When something covers part of a face, its box shrinks on one side, and its center shifts by
        half of that. A change of width therefore adds to the noise.
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


def initial_motion(place: Point, width: float) -> Motion:
    """Return the motion of a newly detected face, whose velocity is unknown."""
    place_var, velocity_var = (PLACE_NOISE * width) ** 2, (FIRST_VELOCITY * width) ** 2
    return Motion(width, place, Point(0.0, 0.0), place_var, 0.0, velocity_var)
