"""Completes the faces of a video file from its later frames."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from edge_daemon.core.types import Face, View
from edge_daemon.vision.tracker import hits_for

HINDSIGHT_S = 0.5  # the age at which a face's first label is settled


@dataclass(slots=True)
class _History:
    """One face so far; `settled` has the label and scores that its first frames are given."""

    first_s: float
    last_s: float
    settled: Face
    hits: int = 0
    public_id: int = 0


class Hindsight:
    """Delays the views of a file until their faces are confirmed and labeled.

    The views come from a tracker that confirms every detection at once and a smoother that labels
    every face at once. A face is dropped unless it is detected as often as a live tracker demands,
    or in every frame of a shorter file. During its first HINDSIGHT_S, a face has the label that it
    has at the end of that time. The remaining faces get new ids from 1 on.
    """

    def __init__(self) -> None:
        self._views: deque[View] = deque()
        self._faces: dict[int, _History] = {}
        self._count = self._ids = 0
        self._gap_s = math.inf

    def put(self, view: View) -> Iterator[View]:
        """Add `view` and yield the views that are complete."""
        now_s = view.frame.captured_s
        if self._views:
            self._gap_s = min(self._gap_s, now_s - self._views[-1].frame.captured_s)
        self._views.append(view)
        self._count += 1
        for face in view.faces:
            self._learn(face, now_s)
        while self._views and all(self._is_complete(face, now_s) for face in self._views[0].faces):
            yield self._completed(self._views.popleft())

    def flush(self) -> Iterator[View]:
        """Yield the remaining views; call it after the last frame."""
        while self._views:
            yield self._completed(self._views.popleft())

    def _learn(self, face: Face, now_s: float) -> None:
        history = self._faces.setdefault(face.id, _History(now_s, now_s, face))
        history.last_s = now_s
        history.hits += face.seen
        if face.label and (not history.settled.label or now_s - history.first_s <= HINDSIGHT_S):
            history.settled = face

    def _is_complete(self, face: Face, now_s: float) -> bool:
        history = self._faces[face.id]
        return now_s - history.first_s > HINDSIGHT_S or history.last_s < now_s

    def _completed(self, view: View) -> View:
        hits = min(hits_for(self._gap_s), self._count)
        faces = [self._face(face, view) for face in view.faces if self._faces[face.id].hits >= hits]
        present = {face.id for each in self._views for face in each.faces}
        present |= {face.id for face in view.faces}
        self._faces = {id_: each for id_, each in self._faces.items() if id_ in present}
        return replace(view, faces=tuple(faces))

    def _face(self, face: Face, view: View) -> Face:
        history = self._faces[face.id]
        if not history.public_id:
            self._ids += 1
            history.public_id = self._ids
        if view.frame.captured_s - history.first_s > HINDSIGHT_S:
            return replace(face, id=history.public_id)
        settled = history.settled
        return replace(
            face,
            id=history.public_id,
            label=settled.label,
            score=settled.score,
            scores=settled.scores,
            since_s=history.first_s,
        )
