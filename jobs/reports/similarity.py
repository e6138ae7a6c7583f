"""How alike a film is to itself over time: cosines of its `clip` features as a picture."""

import base64
import io
from dataclasses import dataclass

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from reelbank.jobs.reports.clock import clock_text, ticks
from reelbank.jobs.reports.contents import Contents

SIDE = 400
"""Pixels of the drawn square; no more rows and columns than this are kept."""
LEFT, TOP, BOTTOM, RIGHT = 52, 8, 34, 14
MAX_BORDERS = 120
"""Most shot borders drawn as lines."""


@dataclass(frozen=True, slots=True)
class Similarity:
    """A picture of the matrix and what its colours mean."""

    svg: Markup
    low: float
    """Cosine of the darkest colour."""
    high: float
    """Cosine of the brightest."""
    num_rows: int
    """Clips compared."""
    num_shown: int
    """Rows and columns of the picture; each is the mean of neighbouring clips where fewer."""

    @property
    def scale(self) -> Markup:
        """CSS gradient of the colours, dark to bright."""
        return Markup("linear-gradient(90deg, {})").format(
            ", ".join("#{:02x}{:02x}{:02x}".format(*colour) for colour in _colours()[::51])
        )


def cosine_matrix(rows: NDArray[np.floating], *, at_most: int) -> NDArray[np.float32]:
    """Cosines (m, m) between rows (n, dim), of which neighbours are averaged if n > `at_most`."""
    units = _unit(rows.astype(np.float32))
    if len(units) > at_most:
        edges = np.linspace(0, len(units), at_most + 1).round().astype(np.int64)
        sizes = np.diff(edges)[:, None].astype(np.float32)
        sums = np.add.reduceat(units, edges[:-1], axis=0)
        units = _unit((sums / sizes).astype(np.float32))
    cosines: NDArray[np.float32] = np.clip(units @ units.T, -1, 1)
    return cosines


def draw_similarity(
    contents: Contents, rows: NDArray[np.floating], times: NDArray[np.float64], *, at_most: int
) -> Similarity:
    """Draw the matrix of `rows` (n, dim) at `times` (n,) with time axes and the shots' borders."""
    cosines = cosine_matrix(rows, at_most=min(at_most, SIDE))
    # Features of one film are alike; the colours span what occurs, not -1 to 1.
    low = float(np.percentile(cosines, 1))
    high = float(cosines.max())
    levels = np.clip((cosines - low) / max(high - low, 1e-6), 0, 1) * 255
    picture = Image.fromarray(levels.astype(np.uint8)).convert("P")
    picture.putpalette(_colours().tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    start = float(times[0])
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    end = float(times[-1]) + step
    parts = [
        Markup(
            '<image x="{}" y="{}" width="{}" height="{}" preserveAspectRatio="none" '
            'href="data:image/png;base64,{}"/>'
        ).format(LEFT, TOP, SIDE, SIDE, base64.b64encode(buffer.getvalue()).decode())
    ]
    parts += _borders(contents, start, end)
    parts += _axes(start, end)
    label = (
        f"Similarity over time of {contents.video_id}: cosine between {len(rows)} clips, "
        f"{low:.2f} to {high:.2f}; bright squares on the diagonal are stretches that look alike"
    )
    size = (LEFT + SIDE + RIGHT, TOP + SIDE + BOTTOM)
    svg = Markup(
        '<svg class="similarity" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(*size, label, Markup("").join(parts))
    return Similarity(svg, low, high, len(rows), len(cosines))


def _borders(contents: Contents, start: float, end: float) -> list[Markup]:
    cuts = [shot["start_seconds"] for shot in contents.shots[1:]]
    if len(cuts) > MAX_BORDERS:
        return []
    lines = []
    for cut in cuts:
        at = round((cut - start) / (end - start) * SIDE, 1)
        if 0 < at < SIDE:
            lines.append(
                Markup(
                    '<path class="border" d="M{0} {1}v{3}M{2} {4}h{3}">'
                    "<title>cut at {5}</title></path>"
                ).format(LEFT + at, TOP, LEFT, SIDE, TOP + at, clock_text(cut))
            )
    return lines


def _axes(start: float, end: float) -> list[Markup]:
    times, step = ticks(end, at_most=6)
    labels = []
    for time in times:
        at = (time - start) / (end - start) * SIDE
        if not 0 <= at <= SIDE:
            continue
        text = clock_text(time, step=step)
        labels.append(
            Markup(
                '<path class="axis" d="M{0:.1f} {1}v5M{2} {3:.1f}h-5"/>'
                '<text class="tick" x="{0:.1f}" y="{4}">{5}</text>'
                '<text class="tick side" x="{6}" y="{7:.1f}">{5}</text>'
            ).format(
                LEFT + at, TOP + SIDE, LEFT, TOP + at, TOP + SIDE + 20, text, LEFT - 9, TOP + at + 4
            )
        )
    return labels


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    units: NDArray[np.float32] = rows / np.maximum(lengths, 1e-12)
    return units


def _colours() -> NDArray[np.uint8]:
    """(256, 3) RGB from dark blue over green to yellow, even to the eye."""
    levels = np.arange(256, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[:, 0, ::-1])
