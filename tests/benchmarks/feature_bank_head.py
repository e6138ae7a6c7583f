"""What a feature bank head costs, beside the same operator with the maps of every row written out.

Run `python -m tests.benchmarks.feature_bank_head [--batch 16] [--rows 300] [--boxes 5] [--turns 9]
[--device cpu] [--output FILE.json]`. Two layers, 2048 -> 512, 80 classes; rows float16, as banks
hold them. A step is forward and backward; the forms take turns; medians count.

1. a window for each clip, all slots full: written out, and ours;
2. the same with half of the slots padded;
3. --batch frames with --boxes boxes each: windows replicated, and shared.

Times are of this machine now; only ratios within one run mean anything.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from reelbank.heads.feature_bank.config import FeatureBankHeadConfig
from reelbank.heads.feature_bank.head import FeatureBankHead
from tests.heads.feature_bank.written_out import batched

DIM = 2048
Form = Callable[[], Tensor]


def main() -> None:
    """Measure, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--boxes", type=int, default=5)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks-out/feature_bank_head.json")
    )
    options = parser.parse_args()
    torch.manual_seed(0)
    device = torch.device(options.device)
    head = trained_like(device)
    forms = forms_of(head, options.batch, options.rows, options.boxes, device)
    difference = largest_difference(head, forms)
    steps = measure(forms, head, options.turns, device, is_training=True)
    forwards = measure(forms, head, options.turns, device, is_training=False)
    table = Table("form", "step ms", "forward ms", title=f"{device}, median of {options.turns}")
    for name in forms:
        table.add_row(name, f"{1e3 * steps[name]:.1f}", f"{1e3 * forwards[name]:.1f}")
    Console().print(table)
    Console().print(f"largest difference of logits, written out and ours: {difference:.1e}")
    result = {
        "options": {name: str(value) for name, value in vars(options).items()},
        "machine": platform.processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "step_seconds": steps,
        "forward_seconds": forwards,
        "largest_difference": difference,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=2) + "\n")


def trained_like(device: torch.device) -> FeatureBankHead:
    """A head whose layers do add something."""
    head = FeatureBankHead(FeatureBankHeadConfig(short_term_dim=DIM, num_classes=80))
    for layer in head.operator.layers:
        torch.nn.init.normal_(layer.out.weight, std=0.01)
    return head.to(device)


def forms_of(
    head: FeatureBankHead, batch: int, rows: int, boxes: int, device: torch.device
) -> dict[str, Form]:
    """Name and call of each form."""
    clips = torch.randn(batch, DIM, device=device)
    windows = torch.randn(batch, rows, DIM, device=device).half()
    full = torch.ones(batch, rows, dtype=torch.bool, device=device)
    half = full & (torch.arange(rows, device=device) % 2 == 0)
    many = torch.randn(batch * boxes, DIM, device=device)
    window_of = torch.arange(batch * boxes, device=device) // boxes
    return {
        "full, written out": lambda: batched(head, clips, windows.float(), full),
        "full": lambda: head(clips, windows, full),
        "half padding, written out": lambda: batched(head, clips, windows.float(), half),
        "half padding": lambda: head(clips, windows, half),
        f"{boxes} boxes, replicated": lambda: head(many, windows[window_of], full[window_of]),
        f"{boxes} boxes, shared": lambda: head(many, windows, full, window_of=window_of),
    }


@torch.no_grad()
def largest_difference(head: FeatureBankHead, forms: dict[str, Form]) -> float:
    """Between each form and the one above it, which is the same function."""
    head.eval()
    logits = [form() for form in forms.values()]
    return max(
        (one - other).abs().max().item()
        for one, other in zip(logits[::2], logits[1::2], strict=True)
    )


def measure(
    forms: dict[str, Form],
    head: FeatureBankHead,
    turns: int,
    device: torch.device,
    *,
    is_training: bool,
) -> dict[str, float]:
    """Median seconds of each form; the first turn warms up."""
    head.train(is_training)
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(turns + 1):
        for name, form in forms.items():
            began = time.perf_counter()
            with torch.set_grad_enabled(is_training):
                logits = form()
            if is_training:
                head.zero_grad()
                logits.square().mean().backward()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
