"""The demonstration: films, a store, three queries, a page."""

import time
from pathlib import Path

from rich.console import Console

from reelbank.jobs.extract import Extraction, ExtractRequest
from reelbank.jobs.query import write_result
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
        "Which shots show the most people?",
        """SELECT s.video_id, s.shot_id, round(s.start_seconds, 2) AS start_seconds,
       count(DISTINCT t.track_id) AS people
FROM shots s JOIN tracks t USING (video_id, shot_id)
GROUP BY ALL
ORDER BY people DESC, s.video_id, s.shot_id
LIMIT 5""",
    ),
    (
        "How is each film cut?",
        """SELECT video_id, count(*) AS shots,
       round(avg(end_seconds - start_seconds), 2) AS mean_shot_seconds,
       round(max(end_seconds - start_seconds), 2) AS longest_seconds
FROM shots
GROUP BY video_id
ORDER BY video_id""",
    ),
)


def run_demo(folder: Path, *, video: str | None, engine: str, console: Console) -> int:
    """Extract `video`, or generated films, into FOLDER/store and write FOLDER/report.html.

    Running it again reuses what is there. The exit status is that of the extraction.
    """
    began = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    if video is None:
        from reelbank.pipeline.theatre.film import demo_films

        films = folder / "films"
        demo_films(films)
        video = str(films)
        console.print(f"films: {films} ({time.perf_counter() - began:.1f} s)", highlight=False)
    store = folder / "store"
    request = ExtractRequest(
        inputs=(video,), store=str(store), settings=load_recipe("default"), engine=engine
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
        write_result(job.store.sql(sql), "table")
    page = folder / "report.html"
    write_report(job.store, page, queries=list(QUERIES))
    console.print(
        f"\nstore: {store}\nreport: {page.resolve()}\n{time.perf_counter() - began:.1f} s in all",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return summary.exit_status
