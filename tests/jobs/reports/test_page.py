import base64
import html
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from reelbank.jobs.reports.colours import NO_TRACK, track_colour
from reelbank.jobs.reports.page import write_report
from reelbank.pipeline.decode.probe import probe
from reelbank.pipeline.decode.reader import PyAVReader
from reelbank.pipeline.theatre.config import FilmConfig
from reelbank.pipeline.theatre.film import make_film
from tests.jobs.reports.stores import Writer

VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Elements of a page; fails where they are not nested."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self._open = [], [], []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self._open[-1] if self._open else "", data))

    def all(self, tag, **wanted):
        return [
            attributes
            for name, attributes in self.elements
            if name == tag
            and all((attributes.get(key) or "").startswith(wanted[key]) for key in wanted)
        ]


def report(store, tmp_path, **more):
    path = tmp_path / "report.html"
    write_report(store, path, **more)
    return path.read_text("utf-8")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return path, make_film(path, FilmConfig(seed=4, seconds=10.0, width=320, height=180))


@pytest.fixture
def filled(tmp_path, film):
    """A store of one whole video with everything in it."""
    path, truth = film
    writer = Writer(tmp_path / "store")
    cuts = [0.0, *(cut / 25 for cut in truth.cuts), 10.0]
    writer.video("film.mp4", path, seconds=10.0, num_bytes=path.stat().st_size)
    writer.shots("film.mp4", cuts)
    writer.detections("film.mp4", np.arange(10.0), 2)
    writer.tracks("film.mp4", [(0, 4, 0), (5, 9, 0)])
    writer.clip_bank("film.mp4", np.random.default_rng(0).normal(size=(10, 8)))
    return writer.store


def test_the_page_needs_nothing_but_itself_and_runs_nothing(filled, tmp_path):
    page = Page(report(filled, tmp_path))
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/"))
        assert not any(name.startswith("on") for name in attributes)
    assert not page.all("script")
    assert not page.all("link")
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert policy.startswith("default-src 'none'")
    styles = "".join(text for tag, text in page.texts if tag == "style")
    assert not re.search(r"url\(|@import", styles)


def test_every_picture_has_words_and_every_link_leads_somewhere(filled, tmp_path):
    page = Page(report(filled, tmp_path))
    assert all(attributes["alt"] for attributes in page.all("img"))
    assert all(attributes.get("aria-label") for attributes in page.all("svg"))
    targets = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert {attributes["href"][1:] for attributes in page.all("a")} <= targets


NAMES = [
    "<script>alert(1)</script>.mp4",
    "\"><img src=x onerror='alert(1)'>&amp;.mp4",
    "Фильм/映画 אב \u202e {{ 7 * 7 }} {% raw %}.mkv",
    "two\nlines 'and' \"quotes\" ]]> --> </style></svg>.mp4",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_strange_name_is_shown_as_it_is_and_changes_nothing_else(name, tmp_path, film):
    path, _ = film
    pages = []
    for number, video_id in enumerate(["plain.mp4", name]):
        writer = Writer(tmp_path / str(number))
        writer.video(video_id, path, status="partial", seconds=10.0, error=f"damage in {video_id}")
        writer.shots(video_id, [0.0, 5.0, 10.0])
        writer.detections(video_id, np.arange(10.0), 1)
        writer.clip_bank(video_id, np.eye(10))
        text = report(writer.store, tmp_path, queries=[("names", "SELECT video_id FROM videos")])
        pages.append(Page(text))
    plain, strange = pages
    assert [tag for tag, _ in plain.elements] == [tag for tag, _ in strange.elements]
    assert ("h3", name) in strange.texts
    assert ("td", name) in strange.texts
    assert 'aria-label="Time line of ' in text
    assert html.escape(name, quote=False).split("'")[0].split('"')[0] in text


def test_an_empty_store_makes_a_page(tmp_path):
    text = report(Writer(tmp_path / "store").store, tmp_path)
    Page(text)
    assert "no video yet" in text


CASES = {
    "no detections": lambda writer: writer.shots("a", [0.0, 4.0, 9.0]),
    "no shots": lambda writer: writer.detections("a", np.arange(9.0), 3),
    "nothing but the video": lambda writer: None,
    "one clip": lambda writer: writer.clip_bank("a", np.ones((1, 4))),
    "equal clips": lambda writer: writer.clip_bank("a", np.ones((9, 4))),
    "empty rows": lambda writer: writer.clip_bank("a", np.zeros((9, 4))),
    "a bank without rows of it": lambda writer: writer.clip_bank("b", np.ones((3, 4))),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_absent_is_said_and_the_rest_is_shown(case, tmp_path, film):
    path, _ = film
    writer = Writer(tmp_path / "store")
    writer.video("a", path, seconds=10.0)
    CASES[case](writer)
    text = report(writer.store, tmp_path)
    page = Page(text)
    assert len(page.all("svg", **{"class": "timeline"})) == 1
    assert page.all("img")
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text).lower()


def test_a_film_of_one_frame_has_one_picture(tmp_path):
    path = tmp_path / "one.mp4"
    make_film(path, FilmConfig(seed=1, seconds=0.04, width=320, height=180))
    writer = Writer(tmp_path / "store")
    writer.video("one.mp4", path, seconds=0.04, decoded_frames=1)
    writer.shots("one.mp4", [0.0, 0.04])
    writer.detections("one.mp4", [0.0], 1)
    writer.tracks("one.mp4", [(0, 0, 0)])
    page = Page(report(writer.store, tmp_path))
    assert len(page.all("img")) == 1


def test_failed_and_damaged_videos_say_why(tmp_path):
    writer = Writer(tmp_path / "store")
    writer.video("broken.mp4", status="failed", error="broken.mp4: not a video")
    writer.video("cut.mp4", status="partial", seconds=10.0, error="2 s are lost")
    writer.tables(
        "scores",
        "cut.mp4",
        scores={"time": [0.0], "score": [0.1]},
        failures={
            "stage": ["decode", "probe"],
            "start_seconds": [3.0, None],
            "end_seconds": [5.0, None],
            "error": ["packets gave no picture", "header is silent"],
        },
    )
    text = report(writer.store, tmp_path)
    for sentence in (
        "broken.mp4: not a video",
        "2 s are lost",
        "packets gave no picture",
        "3.00\u20135.00 s",
        "header is silent",
        "no longer where it was read from",
    ):
        assert sentence in text
    assert len(Page(text).all("rect", **{"class": "lost"})) == 1


def test_a_file_that_changed_since_is_not_shown(tmp_path, film):
    path, _ = film
    writer = Writer(tmp_path / "store")
    writer.video("film.mp4", path, seconds=10.0, num_bytes=1)
    text = report(writer.store, tmp_path)
    assert "has changed since it was extracted" in text
    assert not Page(text).all("img")


@pytest.mark.parametrize("suffix", ["mp4", "h264"])
def test_thumbnails_are_the_frames_on_screen_at_the_times_below_them(suffix, tmp_path):
    path = tmp_path / f"film.{suffix}"
    truth = make_film(path, FilmConfig(seed=4, seconds=10.0, width=320, height=180))
    info = probe(
        str(path), video_id="a", source=str(path), digest="", num_bytes=1, modified_ns=0
    ).info
    writer = Writer(tmp_path / "store")
    writer.video("a", path, seconds=10.0)
    cuts = [0.0, *(cut / 25 for cut in truth.cuts), 10.0]
    writer.shots("a", cuts)
    # The fullest key time of a shot is shown: here there is one in each.
    times = [cut + 0.5 for cut in cuts[:-1]]
    writer.detections("a", times, 2)
    shown = [
        cv2.imdecode(np.frombuffer(base64.b64decode(image["src"].split(",")[1]), np.uint8), 1)
        for image in Page(report(writer.store, tmp_path)).all("img")
    ]
    with PyAVReader(str(path), info, threads=1) as reader:
        frames = {frame.time: frame.rgb for frame in reader}
    assert len(shown) == len(times)
    for image, time in zip(shown, times, strict=True):
        errors = {
            at: np.abs(rgb[::4, ::4, ::-1].astype(int) - image[::4, ::4]).mean()
            for at, rgb in frames.items()
        }
        on_screen = max(at for at in frames if at <= time + 1e-6)
        assert errors[on_screen] < 6
        assert errors[on_screen] <= min(errors.values()) + 0.5


def test_a_track_has_one_colour_on_the_time_line_and_on_the_boxes(filled, tmp_path):
    page = Page(report(filled, tmp_path))
    bars = [group["fill"] for group in page.all("g") if "fill" in group]
    assert bars == [track_colour(0), track_colour(1)]
    boxes = page.all("span", **{"class": "box"})
    colours = {box["style"].split("--colour:")[1] for box in boxes}
    assert colours <= {*bars, NO_TRACK}
    assert colours & set(bars)


def test_answers_are_tables_and_a_wrong_query_is_a_sentence(filled, tmp_path):
    queries = [
        ("counted", "SELECT count(*) AS shots, NULL AS nothing, 0.5 AS half FROM shots"),
        ("many", "SELECT * FROM range(70)"),
        ("none", "SELECT * FROM videos WHERE false"),
        ("wrong", "SELECT * FROM reels"),
    ]
    text = report(filled, tmp_path, queries=queries)
    page = Page(text)
    assert {"shots", "nothing", "half"} <= {text for tag, text in page.texts if tag == "th"}
    assert ("td", "0.5") in page.texts
    assert "The first 50 of 70 lines." in text
    assert "No lines." in text
    assert "reels does not exist" in text


def test_the_settings_of_the_newest_run_are_shown(filled, tmp_path):
    for number in (1, 2):
        record = {"started": f"2026-01-0{number}", "settings": {"tracks": {"max_gap": 40 + number}}}
        filled.write_run(f"run{number}", record)
    text = report(filled, tmp_path)
    assert "max_gap: 42" in text
    assert "max_gap: 41" not in text


def test_two_hours_of_crowds_stay_a_small_page_that_says_what_it_leaves_out(tmp_path):
    seconds, writer = 7200.0, Writer(tmp_path / "store")
    writer.video("long.mp4", seconds=seconds)
    writer.shots("long.mp4", np.arange(0.0, seconds + 1, 2.5).tolist())
    writer.detections("long.mp4", np.arange(seconds), 6)
    writer.tracks(
        "long.mp4", [(at, at + 9, rank) for at in range(0, 7000, 10) for rank in range(6)]
    )
    writer.clip_bank("long.mp4", np.random.default_rng(0).normal(size=(7200, 16)))
    text = report(writer.store, tmp_path)
    Page(text)
    assert len(text) < 700_000
    assert "longest of 4,200 tracks" in text
    assert "2,880 shots are more" in text
    assert "averaged to 400 points" in text


def test_a_store_of_many_videos_lists_them_and_shows_the_first_sixty(tmp_path):
    writer = Writer(tmp_path / "store")
    for number in range(63):
        writer.video(f"{number:02d}.mp4", status="failed", error="not a video")
    page = Page(report(writer.store, tmp_path))
    assert len(page.all("article")) == 60
    assert len(page.all("tr")) == 1 + 63
