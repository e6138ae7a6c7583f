"""Weights from files of other projects: tensors in, our names out; nothing in a file is executed.

Formats: safetensors; torch's own (.pt, .pth, .pyth; tensors only); pickled arrays (.pkl) of the
detectron2 and Caffe2 model zoos, read by an unpickler that knows numpy arrays and nothing else.
Names: foreign_names.py. Files whose norms are affine maps, and those of 2D networks, which are
inflated: adapting.py.
"""

import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reelbank.pipeline.backbones.adapting import inflated, with_statistics
from reelbank.pipeline.backbones.digests import check_sha256
from reelbank.pipeline.backbones.foreign_names import map_names

WRAPPERS = ("model_state", "state_dict", "model", "blobs")
TORCH_SUFFIXES = (".pt", ".pth", ".pyth")
SUFFIXES = (".safetensors", *TORCH_SUFFIXES, ".pkl")
HEAD_PREFIXES = tuple(
    f"{outer}{name}." for outer in ("", "net.") for name in ("classifier", "fc", "head")
)
NUM_NAMES_SHOWN = 8


def load_state(path: str | Path, sha256: str | None = None) -> dict[str, Tensor]:
    """The tensors of a weights file on the CPU, under the names that it gives them."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: there is no such weights file; correct the path")
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: unknown kind of weights; use one of {', '.join(SUFFIXES)}")
    try:
        check_sha256(path, sha256)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); allow reading it") from error
    if path.suffix == ".safetensors":
        state: Any = read_safetensors(path)
    elif path.suffix == ".pkl":
        state = read_arrays(path)
    else:
        state = read_torch(path)
    tensors = {str(k): v for k, v in unwrap(state).items() if isinstance(v, Tensor)}
    if not tensors:
        raise ValueError(f"{path}: no tensors were found in it; give a file with a state dict")
    return tensors


def unwrap(state: Any) -> Mapping[Any, Any]:
    """The state dict inside a training checkpoint."""
    while isinstance(state, Mapping):
        inner = next((w for w in WRAPPERS if isinstance(state.get(w), Mapping)), None)
        if inner is None:
            return state
        state = state[inner]
    return {}


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file."""
    import safetensors
    from safetensors.torch import load_file

    try:
        return load_file(path, device="cpu")
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path}: not a whole safetensors file ({error}); fetch it again"
        ) from error


def read_licence(path: str | Path) -> str | None:
    """What a safetensors file says of its licence; None for the other formats."""
    if Path(path).suffix != ".safetensors":
        return None
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    return metadata.get("license") or metadata.get("licence")


def read_torch(path: Path) -> Any:
    """A torch checkpoint, by torch's loader that admits tensors and plain containers alone."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it names {found[1]}" if found else "it is no checkpoint of tensors"
        raise ValueError(
            f"{path}: refused, since {what}, and code from a weights file is never run; "
            "convert it to safetensors on a machine that trusts it"
        ) from error
    except (RuntimeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a whole torch checkpoint; fetch it again") from error


def read_arrays(path: Path) -> Any:
    """Nested plain containers of arrays from a pickle; arrays become tensors."""
    try:
        with path.open("rb") as file:
            loaded = ArrayUnpickler(file, encoding="latin1").load()
    except GlobalRefusedError as error:
        raise ValueError(
            f"{path}: refused, since it names {error}, and code from a weights file is never run; "
            "convert it to safetensors on a machine that trusts it"
        ) from error
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        UnicodeError,
        MemoryError,
        OverflowError,
    ) as error:
        raise ValueError(f"{path}: not a whole pickle of arrays; fetch it again") from error
    return as_tensors(loaded)


def as_tensors(value: Any) -> Any:
    """Replace the arrays of numbers in nested dicts by tensors that own their memory."""
    if isinstance(value, Mapping):
        return {key: as_tensors(item) for key, item in value.items()}
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        native = value.astype(value.dtype.newbyteorder("="))
        return torch.from_numpy(np.ascontiguousarray(native)).reshape(value.shape)
    return value


class GlobalRefusedError(Exception):
    """A pickle names something that is not a plain array."""


class _ArrayType:
    """Stands for numpy.ndarray in a pickle, so that the class itself cannot be called."""


def _empty_array(_array_type: Any, _shape: Any, _dtype: Any) -> Any:
    """What numpy's pickles call first; shape, kind and bytes follow as state."""
    return np.empty(0, dtype=np.uint8)


def _scalar(dtype: Any, data: Any) -> Any:
    """A number of a pickle, of which the weights need none."""
    return None


def _latin1(text: Any, encoding: Any = "latin1") -> Any:
    """The bytes that newer Pythons write as text in old protocols."""
    if encoding != "latin1" or not isinstance(text, str):
        raise ValueError("only latin1 text stands for bytes")
    return text.encode("latin1")


ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): _ArrayType,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _latin1,
}
for _numpy_module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    ADMITTED[_numpy_module, "_reconstruct"] = _empty_array
    ADMITTED[_numpy_module, "scalar"] = _scalar


class ArrayUnpickler(pickle.Unpickler):
    """Reads arrays, numbers, text and containers; refuses every other global by name."""

    def find_class(self, module: str, name: str) -> Any:
        """Stand-ins for the few globals that arrays need."""
        if (module, name) not in ADMITTED:
            raise GlobalRefusedError(f"{module}.{name}")
        return ADMITTED[module, name]


def load_into(module: nn.Module, state: Mapping[str, Tensor], *, source: str = "weights") -> None:
    """Load a state dict of any known naming; what does not fit is named in a ValueError.

    Head tensors are passed over where the module has no head; counters of training steps may
    be absent. Norms may be affine maps without statistics. A 2D network is inflated; non-local
    blocks, which it lacks, then begin as identities.
    """
    own = module.state_dict()
    mapped = inflated(map_names(with_statistics(state), own), own)
    if not any(name.startswith(HEAD_PREFIXES) for name in own):
        mapped = {k: v for k, v in mapped.items() if not k.startswith(HEAD_PREFIXES)}
    missing = [k for k in own if k not in mapped and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in mapped if k not in own and not k.endswith("num_batches_tracked")]
    mapped = {k: v for k, v in mapped.items() if k in own}
    mis_shaped = [
        f"{k} {tuple(v.shape)} instead of {tuple(own[k].shape)}"
        for k, v in mapped.items()
        if v.shape != own[k].shape
    ]
    faults = [
        f"{len(names)} {fault}: {shortened(names)}"
        for fault, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("mis-shaped", mis_shaped),
        )
        if names
    ]
    if faults:
        raise ValueError(
            f"{source}: the tensors do not fit this backbone ({'; '.join(faults)}); "
            "choose the backbone that the file was made for"
        )
    module.load_state_dict(mapped, strict=False)


def shortened(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(names[:NUM_NAMES_SHOWN])
    more = len(names) - NUM_NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
