"""The folders are the architecture: who may import whom, and what a bare machine can import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {
    "stores": {"stores"},
    "heads": {"heads"},
    "pipeline": {"pipeline", "stores"},
    "jobs": {"jobs", "heads", "pipeline", "stores"},
}
SOURCES = sorted(path for folder in ALLOWED for path in (ROOT / folder).rglob("*.py"))


def imported_modules(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    return names | {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_one_way(path):
    relative = path.relative_to(ROOT)
    for name in imported_modules(path):
        if not name.startswith("reelbank."):
            continue
        folder = name.split(".")[1]
        assert folder in ALLOWED[relative.parts[0]], f"{relative} must not import {name}"
        if relative.parts[:2] == ("pipeline", "decode") and folder == "pipeline":
            assert name.startswith("reelbank.pipeline.decode"), (
                f"decode is lowest; it imports {name}"
            )
        if relative.parts[:2] == ("pipeline", "backbones"):
            assert name.startswith("reelbank.pipeline.backbones"), f"{relative} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_the_ray_files_import_ray(path):
    imports_ray = any(name.split(".")[0] == "ray" for name in imported_modules(path))
    assert not imports_ray or (path.parent == ROOT / "jobs" and path.name.startswith("ray_"))


def run_without(blocked: tuple[str, ...], code: str) -> None:
    """Run `code` in a fresh interpreter where the blocked packages are absent."""
    guard = (
        "import sys, importlib.abc\n"
        "class Absent(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {blocked!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", guard + code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", ["heads", "stores", "pipeline/backbones"])
def test_it_imports_where_ray_pyav_and_opencv_are_absent(package):
    modules = [
        ".".join(("reelbank", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(
            ".__init__"
        )
        for path in sorted((ROOT / package).glob("*.py"))
    ]
    run_without(("ray", "av", "cv2"), "".join(f"import {module}\n" for module in modules))


def test_the_driver_of_an_extraction_does_not_import_torch():
    run_without(
        ("torch", "torchvision"),
        "import reelbank.jobs.cli, reelbank.jobs.extract, reelbank.jobs.dry_run\n"
        "import reelbank.jobs.ray_engine\n"
        "reelbank.jobs.recipe.load_recipe()\n",
    )


def test_every_folder_has_its_link_in_the_package():
    for folder in ALLOWED:
        assert (ROOT / "reelbank" / folder).resolve() == ROOT / folder
