"""A video's time line as inline SVG: lost spans, shots, people on screen, and a lane per track."""

import heapq
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from reelbank.jobs.reports.clock import clock_text, ticks
from reelbank.jobs.reports.colours import track_colour
from reelbank.jobs.reports.contents import Contents

WIDTH = 1000
GUTTER = 74
"""Room for the rows' names, at the left."""
MARGIN = 22
AXIS_HEIGHT = 26
ROW_HEIGHT = 26
BARS_HEIGHT = 40
LANE_HEIGHT = 13
GAP = 10

MAX_LANES = 50
"""So many tracks get a lane each; more share lanes, without touching each other."""
MAX_SHARED_LANES = 60
MAX_TRACKS = 500
"""Most tracks drawn, the longest."""
MAX_SHOTS = 600
"""Most shots drawn one by one; more would be finer than can be seen."""
MAX_TICKS = 4000
"""Most detections drawn as ticks on their tracks."""
MAX_BARS = 400
"""Bars of the row of people; key times that share a bar show their greatest count."""


class Timeline:
    """Draws one video; `svg` is the picture, `notes` says what was left out."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._seconds = max(contents.seconds, 1e-3)
        self._scale = (WIDTH - GUTTER - MARGIN) / self._seconds
        self._parts: list[Markup] = []
        self._y = float(AXIS_HEIGHT)
        self.notes: list[str] = []
        self._shots()
        self._people()
        self._tracks()
        self.height = round(self._y)
        axis = self._axis() + self._lost()
        label = self._summary()
        self.svg = Markup(
            '<svg class="timeline" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>'
        ).format(WIDTH, self.height, label, axis, Markup("").join(self._parts))

    def _x(self, seconds: float) -> float:
        return round(GUTTER + seconds * self._scale, 1)

    def _summary(self) -> str:
        found = self._contents
        return (
            f"Time line of {found.video_id}: {len(found.shots)} shots, {len(found.tracks)} tracks, "
            f"{len(found.sightings.times)} detections in {clock_text(found.seconds)}"
        )

    def _row(self, name: str, height: float) -> float:
        """Name a row and take its height; gives its upper edge."""
        top = self._y
        self._parts.append(_text(GUTTER - 10, top + min(height, ROW_HEIGHT) / 2 + 4, name, "row"))
        self._y += height + GAP
        return top

    def _axis(self) -> Markup:
        times, step = ticks(self._seconds, at_most=10)
        lines = [
            Markup('<line class="grid" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>{3}').format(
                self._x(time),
                AXIS_HEIGHT - 6,
                self.height - GAP,
                _text(self._x(time), 13, clock_text(time, step=step), "tick"),
            )
            for time in times
        ]
        return Markup("").join(lines)

    def _lost(self) -> Markup:
        spans = [one for one in self._contents.failures if one["start_seconds"] is not None]
        drawn = []
        for one in spans[:200]:
            start = min(max(one["start_seconds"], 0.0), self._seconds)
            end = min(max(one["end_seconds"] or start, start), self._seconds)
            title = f"{one['stage']} {clock_text(start)} to {clock_text(end)}: {one['error']}"
            drawn.append(
                _rect(
                    self._x(start), AXIS_HEIGHT - 6, (end - start) * self._scale, 4, title, "lost"
                )
            )
        return Markup("").join(drawn)

    def _shots(self) -> None:
        shots = self._contents.shots
        top = self._row("shots", ROW_HEIGHT)
        if not shots:
            self._parts.append(_text(GUTTER, top + 17, "no shots in the store", "none"))
            return
        if len(shots) > MAX_SHOTS:
            self.notes.append(
                f"{len(shots):,} shots are more than the time line can show; "
                f"every {-(-len(shots) // MAX_SHOTS)}th is drawn."
            )
            shots = shots[:: -(-len(shots) // MAX_SHOTS)]
        for number, shot in enumerate(shots):
            start, end = shot["start_seconds"], shot["end_seconds"]
            title = (
                f"shot {shot['shot_id']}: {clock_text(start)} to {clock_text(end)}, "
                f"{end - start:.2f} s"
            )
            kind = "shot odd" if number % 2 else "shot"
            width = (end - start) * self._scale
            self._parts.append(_rect(self._x(start), top, width - 1, ROW_HEIGHT, title, kind))
            if width > 22:
                middle = self._x((start + end) / 2)
                self._parts.append(_text(middle, top + 17, str(shot["shot_id"]), "shot-id"))

    def _people(self) -> None:
        found = self._contents.sightings
        top = self._row("detections", BARS_HEIGHT)
        if not len(found.times):
            self._parts.append(_text(GUTTER, top + 17, "no detections", "none"))
            return
        times, counts = np.unique(found.times, return_counts=True)
        sums = np.add.reduceat(found.scores, np.searchsorted(found.times, times))
        step = float(np.median(np.diff(times))) if len(times) > 1 else self._seconds / 10
        span = max(step, self._seconds / MAX_BARS)
        bins = np.minimum((times / span + 1e-6).astype(np.int64), int(self._seconds / span))
        highest = int(counts.max())
        for number in np.unique(bins):
            inside = bins == number
            count = int(counts[inside].max())
            score = float(sums[inside].sum() / counts[inside].sum())
            tall = BARS_HEIGHT * count / highest
            start = float(number * span)
            title = f"{clock_text(start)}: {count} detections, mean score {score:.2f}"
            self._parts.append(
                Markup('<g opacity="{}">{}</g>').format(
                    round(0.35 + 0.65 * score, 2),
                    _rect(
                        self._x(start),
                        round(top + BARS_HEIGHT - tall, 1),
                        max(min(span, self._seconds - start) * self._scale - 1, 0.8),
                        round(tall, 1),
                        title,
                        "bar",
                    ),
                )
            )
        self._parts.append(_text(GUTTER - 10, top + 32, f"max {highest}", "row small"))

    def _tracks(self) -> None:
        tracks = self._contents.tracks
        if not tracks:
            top = self._row("tracks", ROW_HEIGHT)
            self._parts.append(_text(GUTTER, top + 17, "no tracks", "none"))
            return
        if len(tracks) > MAX_TRACKS:
            self.notes.append(f"The {MAX_TRACKS:,} longest of {len(tracks):,} tracks are drawn.")
            tracks = sorted(tracks, key=lambda one: one["start_seconds"] - one["end_seconds"])
            tracks = sorted(tracks[:MAX_TRACKS], key=lambda one: one["track_id"])
        lanes, num_lanes = self._lanes(tracks)
        top = self._row("tracks", num_lanes * LANE_HEIGHT)
        numbered = len(tracks) <= MAX_LANES
        for track, lane in zip(tracks, lanes, strict=True):
            if lane < num_lanes:
                self._track(track, top + lane * LANE_HEIGHT, numbered)
        self._ticks({one["track_id"]: lane for one, lane in zip(tracks, lanes, strict=True)}, top)

    def _lanes(self, tracks: list[dict[str, Any]]) -> tuple[list[int], int]:
        """A lane for each track, and how many there are; beyond MAX_LANES tracks they share."""
        if len(tracks) <= MAX_LANES:
            return list(range(len(tracks))), len(tracks)
        apart = 4 / self._scale
        lanes = [0] * len(tracks)
        free: list[int] = []
        busy: list[tuple[float, int]] = []
        count = 0
        for number in sorted(range(len(tracks)), key=lambda one: tracks[one]["start_seconds"]):
            while busy and busy[0][0] <= tracks[number]["start_seconds"]:
                heapq.heappush(free, heapq.heappop(busy)[1])
            if not free:
                heapq.heappush(free, count)
                count += 1
            lanes[number] = heapq.heappop(free)
            heapq.heappush(busy, (tracks[number]["end_seconds"] + apart, lanes[number]))
        shown = min(count, MAX_SHARED_LANES)
        self.notes.append(f"{len(tracks):,} tracks share {shown} lanes.")
        if count > shown:
            hidden = sum(lane >= shown for lane in lanes)
            self.notes.append(f"{hidden:,} tracks in crowded places found no lane.")
        return lanes, shown

    def _track(self, track: dict[str, Any], top: float, numbered: bool) -> None:
        start, end = track["start_seconds"], track["end_seconds"]
        width = max((end - start) * self._scale, 4.0)
        title = (
            f"track {track['track_id']}, {track['category']}, shot {track['shot_id']}: "
            f"{clock_text(start)} to {clock_text(end)}, {track['num_detections']} detections, "
            f"mean score {track['mean_score']:.2f}"
        )
        colour = track_colour(track["track_id"])
        self._parts.append(
            Markup('<g fill="{}">{}</g>').format(
                colour, _rect(self._x(start), top + 2, width, LANE_HEIGHT - 5, title, "track")
            )
        )
        if numbered:
            near_end = self._x(start) + width > WIDTH - MARGIN - 12
            x = self._x(start) - 5 if near_end else self._x(start) + width + 5
            kind = "track-id left" if near_end else "track-id"
            self._parts.append(_text(x, top + 10, str(track["track_id"]), kind))

    def _ticks(self, lanes: dict[int, int], top: float) -> None:
        """A mark on its track for each detection, one path for each tenth of the score."""
        found = self._contents.sightings
        if len(found.times) > MAX_TICKS:
            self.notes.append(
                f"Single detections are not marked on the tracks: there are {len(found.times):,}."
            )
            return
        paths: dict[int, list[str]] = {}
        for time, score, track_id in zip(found.times, found.scores, found.track_ids, strict=True):
            if track_id not in lanes or lanes[track_id] >= MAX_SHARED_LANES:
                continue
            y = top + lanes[track_id] * LANE_HEIGHT + 2
            mark = f"M{self._x(float(time))} {y:g}v{LANE_HEIGHT - 5}"
            paths.setdefault(min(int(score * 10), 9), []).append(mark)
        for tenth, marks in sorted(paths.items()):
            self._parts.append(
                Markup('<path class="tick-mark" opacity="{}" d="{}"/>').format(
                    round(0.15 + 0.085 * tenth, 2), "".join(marks)
                )
            )


def _text(x: float, y: float, text: str, kind: str) -> Markup:
    return Markup('<text class="{}" x="{:g}" y="{:g}">{}</text>').format(kind, x, y, text)


def _rect(x: float, y: float, width: float, height: float, title: str, kind: str) -> Markup:
    # Numbers beyond a tenth of a pixel only make the page longer.
    return Markup(
        '<rect class="{}" x="{:g}" y="{:g}" width="{}" height="{:g}"><title>{}</title></rect>'
    ).format(kind, x, y, f"{max(round(width, 1), 0.8):g}", height, escape(title))
