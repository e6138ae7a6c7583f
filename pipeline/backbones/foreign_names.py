"""Names of tensors in other projects' files -> ours.

Known: PySlowFast and its Caffe2 files, the Caffe2 files of video-long-term-feature-banks,
pytorchvideo, torchvision's video models (by the prefix `net.`) and 2D ResNets, and our own.
"""

import re
from collections.abc import Collection, Mapping

from torch import Tensor


def map_names(state: Mapping[str, Tensor], known: Collection[str]) -> dict[str, Tensor]:
    """The same tensors under our names, which are `known`; a name that no rule knows is kept."""
    mapped: dict[str, Tensor] = {}
    for foreign, tensor in state.items():
        ours = map_name(foreign, known)
        if ours is None:
            continue
        if ours in mapped:
            raise ValueError(f"two tensors of the file mean {ours}, one is {foreign}; keep one")
        mapped[ours] = tensor
    return mapped


def map_name(foreign: str, known: Collection[str]) -> str | None:
    """Our name of a foreign one; None for what belongs to the training alone."""
    # `backbone.` is ours: a network and a head that were trained together on clips.
    name = re.sub(r"^((module|backbone)\.)+", "", foreign)
    if name in known:
        return name
    if f"net.{name}" in known:
        return f"net.{name}"
    if re.search(r"_momentum$|^lr$|^model_iter$", name):
        return None
    for convert in (from_pyslowfast, from_pytorchvideo, from_caffe2, from_torchvision_2d):
        ours = convert(name)
        if ours is not None:
            return ours
    return name


PATHWAYS = ("slow", "fast")
BOTTLENECK_PARTS = {
    "branch1": "shortcut",
    "branch1_conv": "shortcut",
    "branch1_bn": "shortcut_norm",
    "branch1_norm": "shortcut_norm",
    **{f"branch2.{x}": f"conv_{x}" for x in "abc"},
    **{f"branch2.{x}_bn": f"norm_{x}" for x in "abc"},
    **{f"branch2.conv_{x}": f"conv_{x}" for x in "abc"},
    **{f"branch2.norm_{x}": f"norm_{x}" for x in "abc"},
}
NON_LOCAL_PARTS = {
    "conv_theta": "theta",
    "conv_phi": "phi",
    "conv_g": "value",
    "conv_out": "out",
    "bn": "norm",
}


def from_pyslowfast(name: str) -> str | None:
    """Names such as s3.pathway0_res1.branch2.a_bn.weight."""
    if found := re.fullmatch(r"head\.projection\.(\w+)", name):
        return f"classifier.{found[1]}"
    if found := re.fullmatch(r"s1\.pathway([01])_stem\.(conv|bn)\.(\w+)", name):
        part = "conv" if found[2] == "conv" else "norm"
        return f"{PATHWAYS[int(found[1])]}.stem.{part}.{found[3]}"
    if found := re.fullmatch(r"s([1-4])_fuse\.(conv_f2s|bn)\.(\w+)", name):
        part = "conv" if found[2] == "conv_f2s" else "norm"
        return f"fusions.{int(found[1]) - 1}.{part}.{found[3]}"
    if found := re.fullmatch(r"s([2-5])\.pathway([01])_(res|nonlocal)(\d+)\.(.+)\.(\w+)", name):
        stage, pathway, kind, index, part, tensor = found.groups()
        parts = BOTTLENECK_PARTS if kind == "res" else NON_LOCAL_PARTS
        if part not in parts:
            return None
        group = "blocks" if kind == "res" else "non_local"
        return (
            f"{PATHWAYS[int(pathway)]}.stages.{int(stage) - 2}.{group}.{index}"
            f".{parts[part]}.{tensor}"
        )
    return None


def from_pytorchvideo(name: str) -> str | None:
    """Names such as blocks.2.multipathway_blocks.0.res_blocks.1.branch2.norm_a.weight."""
    name = re.sub(r"^model\.blocks\.", "blocks.", name)
    if found := re.fullmatch(r"(?:blocks\.[56]|detection_head)\.proj\.(\w+)", name):
        return f"classifier.{found[1]}"
    if found := re.fullmatch(
        r"blocks\.([0-3])\.multipathway_fusion\.(conv_fast_to_slow|norm)\.(\w+)", name
    ):
        part = "conv" if found[2] == "conv_fast_to_slow" else "norm"
        return f"fusions.{found[1]}.{part}.{found[3]}"
    found = re.fullmatch(r"blocks\.([0-4])\.(?:multipathway_blocks\.([01])\.)?(.+)\.(\w+)", name)
    if found is None:
        return None
    level, pathway, part, tensor = int(found[1]), PATHWAYS[int(found[2] or 0)], found[3], found[4]
    if level == 0:
        return f"{pathway}.stem.{part}.{tensor}" if part in ("conv", "norm") else None
    block = re.fullmatch(r"res_blocks\.(\d+)\.(.+)", part)
    if block is None or block[2] not in BOTTLENECK_PARTS:
        return None
    return f"{pathway}.stages.{level - 1}.blocks.{block[1]}.{BOTTLENECK_PARTS[block[2]]}.{tensor}"


CAFFE2_NORMS = {"s": "weight", "b": "bias", "rm": "running_mean", "riv": "running_var"}
CAFFE2_PLAIN = {"w": "weight", "b": "bias"}


def from_caffe2(name: str) -> str | None:
    """Names such as t_res3_1_branch2a_bn_riv; a leading t_ marks the fast pathway."""
    if re.fullmatch(r"(lfb_1x1|lfb_nl\d+_(theta|phi|g|out)|\w+_fbonl_reduc)_[wb]", name):
        return f"head.{name}"  # a feature bank operator, which is no part of a backbone
    if found := re.fullmatch(r"pred_([wb])", name):
        return f"classifier.{CAFFE2_PLAIN[found[1]]}"
    if found := re.fullmatch(
        r"t_(?:pool1|res([2-4])_\d+_branch2c_bn)_subsample(_bn)?_(w|s|b|rm|riv)", name
    ):
        level = int(found[1]) - 1 if found[1] else 0
        return f"fusions.{level}.{_caffe2_part('conv', 'norm', found[2], found[3])}"
    if found := re.fullmatch(r"nonlocal_conv([2-5])_(\d+)_(theta|phi|g|out|bn)_(\w+)", name):
        stage, index, part, tensor = found.groups()
        ours = "norm" if part == "bn" else NON_LOCAL_PARTS[f"conv_{part}"]
        tensors = CAFFE2_NORMS if part == "bn" else CAFFE2_PLAIN
        return (
            f"slow.stages.{int(stage) - 2}.non_local.{index}.{ours}.{tensors.get(tensor, tensor)}"
        )
    if found := re.fullmatch(r"(t_)?(?:res_)?conv1(_bn)?_(w|s|b|rm|riv)", name):
        pathway = "fast" if found[1] else "slow"
        return f"{pathway}.stem.{_caffe2_part('conv', 'norm', found[2], found[3])}"
    if found := re.fullmatch(r"(t_)?res([2-5])_(\d+)_branch(1|2[abc])(_bn)?_(w|s|b|rm|riv)", name):
        fast, stage, index, branch, norm, tensor = found.groups()
        conv = "shortcut" if branch == "1" else f"conv_{branch[1]}"
        normed = "shortcut_norm" if branch == "1" else f"norm_{branch[1]}"
        pathway = "fast" if fast else "slow"
        return (
            f"{pathway}.stages.{int(stage) - 2}.blocks.{index}"
            f".{_caffe2_part(conv, normed, norm, tensor)}"
        )
    return None


def _caffe2_part(conv: str, norm: str, is_norm: str | None, tensor: str) -> str:
    if is_norm:
        return f"{norm}.{CAFFE2_NORMS.get(tensor, tensor)}"
    return f"{conv}.{CAFFE2_PLAIN.get(tensor, tensor)}"


def from_torchvision_2d(name: str) -> str | None:
    """Names such as layer2.0.downsample.1.running_var of torchvision's 2D ResNets."""
    if found := re.fullmatch(r"fc\.(\w+)", name):
        return f"classifier.{found[1]}"
    if found := re.fullmatch(r"(conv|bn)1\.(\w+)", name):
        return f"slow.stem.{'conv' if found[1] == 'conv' else 'norm'}.{found[2]}"
    found = re.fullmatch(r"layer([1-4])\.(\d+)\.(conv|bn|downsample\.)([0-3])\.(\w+)", name)
    if found is None:
        return None
    stage, index, kind, number, tensor = found.groups()
    if kind == "downsample.":
        part = "shortcut" if number == "0" else "shortcut_norm"
    else:
        part = f"{'conv' if kind == 'conv' else 'norm'}_{' abc'[int(number)]}"
    return f"slow.stages.{int(stage) - 1}.blocks.{index}.{part}.{tensor}"
