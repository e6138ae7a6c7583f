"""The demonstration: films, a store, three queries, a page."""

import time
from pathlib import Path

from rich.console import Console

from reelbank.jobs.extract import Extraction, ExtractRequest
from reelbank.jobs.query import show_table
from reelbank.jobs.recipe import load_recipe
from reelbank.jobs.reports.page import write_report

QUERIES = (
    (
        "Who is on screen longest?",
        """SELECT video_id, track_id, end_seconds - start_seconds AS seconds, num_detections
FROM tracks
ORDER BY seconds DESC, video_id, track_id
LIMIT 5""",
    ),
    (
        "Who shares the screen?",
        """SELECT a.video_id, a.shot_id, a.track_id AS one, b.track_id AS other,
       count(*) AS key_times,
       round(avg(abs(a.x1 + a.x2 - b.x1 - b.x2) / 2), 2) AS mean_distance
FROM tracked a
JOIN tracked b USING (video_id, time)
WHERE a.track_id < b.track_id
GROUP BY ALL
ORDER BY key_times DESC, mean_distance, 1, 3, 4
LIMIT 5""",
    ),
    (
        "Which shots show the most people?",
        """SELECT video_id, shot_id, start_seconds, end_seconds - start_seconds AS seconds,
       max(people) AS most_at_once, round(avg(people), 1) AS mean_people
FROM shots
JOIN (SELECT video_id, time, count(*) AS people FROM detections GROUP BY ALL) USING (video_id)
WHERE time >= start_seconds AND time < end_seconds
GROUP BY ALL
ORDER BY mean_people DESC, seconds DESC, video_id, shot_id
LIMIT 5""",
    ),
)


def run_demo(folder: Path, *, video: str | None, engine: str, console: Console) -> int:
    """Extract `video`, or generated films, into a store in FOLDER and write FOLDER/report.html.

    Running it again reuses what is there. The exit status is that of the extraction.
    """
    began = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    # A store of its own, so that the page about one's own film shows that film alone.
    recipe, store = ("default", folder / "own_store") if video else ("demo", folder / "store")
    if video is None:
        from reelbank.pipeline.theatre.film import demo_films

        films = folder / "films"
        demo_films(films)
        video = str(films)
        console.print(f"films: {films} ({time.perf_counter() - began:.1f} s)", highlight=False)
    request = ExtractRequest(
        inputs=(video,), store=str(store), settings=load_recipe(recipe), engine=engine
    )
    job = Extraction(request, console)
    try:
        summary = job.execute(job.plan())
    finally:
        job.close()
    summary.print(console)
    for title, sql in QUERIES:
        console.print(f"\n[bold]{title}[/bold]")
        console.print(sql, style="dim", markup=False, highlight=False)
        show_table(job.store.sql(sql), console)
    page = folder / "report.html"
    write_report(job.store, page, queries=list(QUERIES))
    console.print(
        f"\nstore: {store}\nreport: {page.resolve()}\n{time.perf_counter() - began:.1f} s in all",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return summary.exit_status
