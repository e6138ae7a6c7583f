"""Small real stores, written and committed as an extraction does."""

import hashlib

import numpy as np
import pyarrow as pa

from reelbank.stores.commits import Unit
from reelbank.stores.schemas import SCHEMAS
from reelbank.stores.store import open_store


class Writer:
    """Commits stage after stage of a store."""

    def __init__(self, folder):
        self.store = open_store(folder, create=True)
        self._count = 0

    def _unit(self, video_id, stage, **more):
        self._count += 1
        key = hashlib.sha256(f"{self._count}".encode()).hexdigest()
        digest = hashlib.sha256(repr(video_id).encode()).hexdigest()
        return Unit(
            video_id=video_id,
            digest=digest,
            stage=stage,
            start_seconds=0.0,
            end_seconds=float("inf"),
            key=key,
            **more,
        )

    def _commit(self, unit, write):
        attempt = self.store.new_attempt()
        key = self.store.commit_key(unit.stage, [unit])
        files = write(key, attempt)
        assert self.store.commit(unit.stage, [unit], files, run="r1", attempt=attempt)

    def tables(self, stage, video_id, **columns_of):
        """Commit tables given as dictionaries of columns; absent columns are null."""
        tables = {}
        for name, columns in columns_of.items():
            count = len(next(iter(columns.values())))
            whole = {"video_id": [video_id] * count, **columns}
            schema = SCHEMAS[name]
            tables[name] = pa.table(
                {
                    field.name: pa.array(whole.get(field.name, [None] * count), field.type)
                    for field in schema
                },
                schema=schema,
            )
        unit = self._unit(video_id, stage, num_rows=len(next(iter(tables.values()))))
        self._commit(
            unit,
            lambda key, attempt: [
                self.store.write_table(name, key=key, attempt=attempt, data=table)
                for name, table in tables.items()
            ],
        )

    def video(self, video_id, source="gone.mp4", *, status="ok", seconds=None, **more):
        known = {} if seconds is None else {"end_seconds": seconds, "covered_seconds": seconds}
        known |= {"width": 640, "height": 360, "codec": "h264"} if status != "failed" else {}
        line = {"source": str(source), "digest": "0" * 64, "status": status, **known, **more}
        self.tables("video", video_id, videos={name: [value] for name, value in line.items()})

    def shots(self, video_id, cuts):
        """`cuts` are the borders of the shots, from 0 to the end."""
        frames = [round(25 * cut) for cut in cuts]
        self.tables(
            "shots",
            video_id,
            shots={
                "shot_id": list(range(len(cuts) - 1)),
                "start_seconds": cuts[:-1],
                "end_seconds": cuts[1:],
                "start_frame": frames[:-1],
                "end_frame": frames[1:],
            },
        )

    def detections(self, video_id, times, per_time):
        """`per_time` people side by side at each time, the first the most certain."""
        each = np.arange(per_time) / per_time
        count = len(times)
        self.tables(
            "detections",
            video_id,
            detections={
                "time": np.repeat(times, per_time),
                "rank": np.tile(np.arange(per_time, dtype=np.int32), count),
                "category": ["person"] * (count * per_time),
                "score": np.tile(0.9 - 0.5 * each, count).astype(np.float32),
                "x1": np.tile(each, count).astype(np.float32),
                "y1": np.full(count * per_time, 0.25, np.float32),
                "x2": np.tile(each + 0.5 / per_time, count).astype(np.float32),
                "y2": np.full(count * per_time, 0.75, np.float32),
            },
        )

    def tracks(self, video_id, spans, step=1.0):
        """A track for each (start, end, rank), with a link at every step."""
        links = {"track_id": [], "time": [], "rank": []}
        for number, (start, end, rank) in enumerate(spans):
            for time in np.arange(start, end + step / 2, step):
                links["track_id"].append(number)
                links["time"].append(float(time))
                links["rank"].append(rank)
        count = len(spans)
        self.tables(
            "tracks",
            video_id,
            tracks={
                "track_id": list(range(count)),
                "category": ["person"] * count,
                "shot_id": [0] * count,
                "start_seconds": [float(span[0]) for span in spans],
                "end_seconds": [float(span[1]) for span in spans],
                "num_detections": [round((span[1] - span[0]) / step) + 1 for span in spans],
                "mean_score": [0.8] * count,
            },
            links=links,
        )

    def clip_bank(self, video_id, rows, step=1.0):
        times = np.arange(len(rows)) * step
        details = {
            "bank": {"kind": "clip", "model": "tiny", "dim": rows.shape[1], "untrained": True}
        }
        unit = self._unit(
            video_id, "bank:clip", num_rows=len(rows), num_times=len(rows), details=details
        )
        self._commit(
            unit,
            lambda key, attempt: [
                self.store.write_bank(
                    "clip",
                    key=key,
                    attempt=attempt,
                    rows=rows.astype(np.float16),
                    times=times,
                    first=np.arange(len(rows) + 1),
                    units=[unit],
                )
            ],
        )
