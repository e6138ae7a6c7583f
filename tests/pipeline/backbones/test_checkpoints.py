"""Weights files: what is read, what is refused, and what the refusal says."""

import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from reelbank.pipeline.backbones.checkpoints import load_into, load_state
from reelbank.pipeline.backbones.digests import file_sha256
from reelbank.pipeline.backbones.models import build_backbone

TINY = "slowonly_tiny"


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return build_backbone(TINY, seed=5).module.state_dict()


def write(path: Path, state: dict[str, Tensor], wrapper: str | None = None) -> Path:
    arrays = {k: v.numpy() for k, v in state.items()}
    match path.suffix:
        case ".safetensors":
            save_file(state, path, metadata={"license": "CC-BY-4.0"})
        case ".pkl":
            path.write_bytes(pickle.dumps({wrapper: arrays} if wrapper else arrays, protocol=2))
        case _:
            torch.save({wrapper: state, "epoch": 3} if wrapper else state, path)
    return path


@pytest.mark.parametrize(
    ("suffix", "wrapper"),
    [
        (".safetensors", None),
        (".pth", None),
        (".pt", "model"),
        (".pth", "state_dict"),
        (".pyth", "model_state"),
        (".pkl", None),
        (".pkl", "blobs"),
        (".pkl", "model"),
    ],
)
def test_a_file_of_each_kind_gives_the_tensors_that_were_written(
    suffix: str, wrapper: str | None, state: dict[str, Tensor], tmp_path: Path
) -> None:
    path = write(tmp_path / f"w{suffix}", state, wrapper)
    loaded = load_state(path, file_sha256(path))
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[k], state[k]) for k in state)


def test_a_backbone_with_weights_is_not_untrained_and_says_whence(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    path = write(tmp_path / "w.safetensors", state)
    loaded = build_backbone(TINY, weights=str(path), sha256=file_sha256(path))
    assert not loaded.untrained
    assert loaded.weights_digest == file_sha256(path)
    assert loaded.licence == "CC-BY-4.0"
    assert all(torch.equal(v, state[k]) for k, v in loaded.module.state_dict().items())


def test_python_2_pickles_load(tmp_path: Path) -> None:
    """Protocol 2 as Python 2 wrote it: text opcodes for bytes, numpy.core names."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    stream = io.BytesIO()
    stream.write(b"\x80\x02}U\x05blobs}U\x07conv1_w")
    stream.write(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR")
    stream.write(b"(K\x01K\x02K\x03\x86cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R")
    stream.write(b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb")
    stream.write(b"\x89U" + bytes([array.nbytes]) + array.tobytes() + b"tbss.")
    path = tmp_path / "zoo.pkl"
    path.write_bytes(stream.getvalue())
    np.testing.assert_array_equal(load_state(path)["conv1_w"].numpy(), array)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("boom",))


@pytest.mark.parametrize("suffix", [".pkl", ".pth"])
def test_a_pickle_with_code_is_refused_by_name_and_nothing_runs(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"evil{suffix}"
    if suffix == ".pkl":
        path.write_bytes(pickle.dumps({"model": {"w": Bomb()}}))
    else:
        torch.save({"model": Bomb()}, path)
    with pytest.raises(ValueError, match=r"evil.*refused.*posix\.mkdir.*safetensors"):
        load_state(path)
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize(
    "value",
    [np.array([print], dtype=object), np.ma.masked_array([1.0]), Path("x")],
)
def test_arrays_that_are_not_plain_numbers_are_refused(value: object, tmp_path: Path) -> None:
    path = tmp_path / "odd.pkl"
    path.write_bytes(pickle.dumps({"w": value}))
    with pytest.raises(ValueError, match="refused, since it names"):
        load_state(path)


def test_an_array_that_claims_a_huge_size_is_refused_without_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "huge.pkl"
    path.write_bytes(
        b"\x80\x02}X\x01\x00\x00\x00wcnumpy.core.multiarray\n_reconstruct\n"
        b"(cnumpy\nndarray\n\x8a\x06\x00\x00\x00\x00\x00\x10\x85X\x01\x00\x00\x00btRs."
    )
    assert [t.numel() for t in load_state(path).values()] == [0]


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pkl"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", None])
def test_a_broken_file_is_named_with_a_remedy(
    suffix: str, content: bytes | None, state: dict[str, Tensor], tmp_path: Path
) -> None:
    path = write(tmp_path / f"broken{suffix}", state)
    path.write_bytes(path.read_bytes()[:-4000] if content is None else content)
    with pytest.raises(ValueError, match=r"broken\.\w+: "):
        load_state(path)


def test_absent_files_unknown_kinds_and_empty_dicts_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such weights file"):
        build_backbone(TINY, weights=str(tmp_path / "absent.pth"))
    (tmp_path / "w.onnx").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"use one of \.safetensors"):
        load_state(tmp_path / "w.onnx")
    torch.save({"epoch": 1}, tmp_path / "none.pth")
    with pytest.raises(ValueError, match="no tensors"):
        load_state(tmp_path / "none.pth")


def test_a_wrong_digest_stops_the_load(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = write(tmp_path / "w.pth", state)
    with pytest.raises(ValueError, match=f"expected {'0' * 64}"):
        build_backbone(TINY, weights=str(path), sha256="0" * 64)
    with pytest.raises(ValueError, match="without weights"):
        build_backbone(TINY, sha256="0" * 64)


def test_what_does_not_fit_is_named_and_counted(state: dict[str, Tensor]) -> None:
    module = build_backbone(TINY).module
    wrong = OrderedDict(state)
    for key in list(wrong)[:20]:
        del wrong[key]
    wrong["slow.stages.3.blocks.0.conv_c.weight"] = torch.zeros(3, 5, 1, 1, 1)
    wrong["stranger.weight"] = torch.zeros(1)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with pytest.raises(ValueError, match="mine: the tensors do not fit") as raised:
        load_into(module, wrong, source="mine")
    message = str(raised.value)
    assert "missing: slow.stem.conv.weight" in message
    assert " more;" in message
    assert "1 unexpected: stranger.weight" in message
    assert "slow.stages.3.blocks.0.conv_c.weight (3, 5, 1, 1, 1) instead of" in message
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def test_a_head_is_passed_over_without_classes_and_required_with_them(
    state: dict[str, Tensor],
) -> None:
    with_head = build_backbone(TINY, num_classes=10).module
    load_into(build_backbone(TINY).module, with_head.state_dict())
    with pytest.raises(ValueError, match=r"2 missing: classifier\.weight, classifier\.bias"):
        load_into(with_head, state)


def test_two_tensors_of_one_meaning_are_refused(state: dict[str, Tensor]) -> None:
    both = {**state, "blocks.0.conv.weight": state["slow.stem.conv.weight"]}
    with pytest.raises(ValueError, match="two tensors of the file mean slow"):
        load_into(build_backbone(TINY).module, both)
