import pytest

from reelbank.pipeline.detect.config import Detectron2Config
from reelbank.pipeline.detect.detectron2_config import config_files, settings_digest


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def digest(path):
    return settings_digest(Detectron2Config(config=str(path), weights=None))


def test_a_config_and_its_bases_are_found_in_reading_order(tmp_path):
    (tmp_path / "bases").mkdir()
    write(tmp_path / "bases" / "root.yaml", "VERSION: 2\n")
    write(tmp_path / "bases" / "middle.yaml", "_BASE_: root.yaml\n")
    leaf = write(tmp_path / "leaf.yaml", "_BASE_: bases/middle.yaml\n")
    assert [path.name for path in config_files(leaf)] == ["leaf.yaml", "middle.yaml", "root.yaml"]


def test_the_digest_follows_the_content_of_a_base_and_not_its_place(tmp_path):
    digests = []
    for folder, depth in (("one", 50), ("two", 50), ("three", 101)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "base.yaml", f"MODEL: {{RESNETS: {{DEPTH: {depth}}}}}\n")
        digests.append(digest(write(tmp_path / folder / "leaf.yaml", "_BASE_: base.yaml\n")))
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(
            'A: !!python/object/apply:os.system ["exit 1"]\n', "Python tag", id="a tag that runs"
        ),
        pytest.param("_BASE_: https://example.org/base.yaml\n", "on this machine", id="an address"),
        pytest.param("_BASE_: base.py\n", "on this machine", id="a Python base"),
        pytest.param("_BASE_: [7]\n", "on this machine", id="a base that is no text"),
        pytest.param("_BASE_: leaf.yaml\n", "builds on itself", id="its own base"),
        pytest.param("_BASE_: absent.yaml\n", "absent.yaml cannot be read", id="an absent base"),
        pytest.param("A: [1, 2\n", "is no YAML file", id="not YAML"),
        pytest.param("- 1\n", "holds no settings", id="a list"),
    ],
)
def test_a_config_that_is_not_plain_and_local_is_refused_by_name(tmp_path, text, words):
    path = write(tmp_path / "leaf.yaml", text)
    with pytest.raises(ValueError, match=rf"(leaf|absent)\.yaml.*{words}|{words}"):
        digest(path)
