"""Wrong settings and shapes are answered with one sentence; settings need no torch."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import reelbank
from reelbank.heads.feature_bank.config import FeatureBankHeadConfig, OperatorConfig
from reelbank.heads.feature_bank.head import FeatureBankHead, ShortTermHead, make_head
from tests.heads.feature_bank.conftest import CLIP_DIM, ROW_DIM, small_head

FOLDER = Path(reelbank.__file__).parent / "heads" / "feature_bank"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "median"}, "use one of non_local, average, max"),
        ({"affinity": "cosine"}, "use one of embedded_gaussian, dot_product, concatenation"),
        ({"order": "none"}, "use one of pre_activation, post_activation"),
        ({"padding": "zeros"}, "use one of masked, counted"),
        ({"time_embedding": "learned"}, "use one of none, sinusoidal"),
        ({"num_layers": 0}, "num_layers=0 is below 1"),
        ({"inner_dim": 0}, "inner_dim=0 is below 1"),
        ({"dropout": 1.0}, "dropout=1.0 is no dropout probability"),
        ({"kind": "max", "time_embedding": "sinusoidal"}, "needs kind='non_local'"),
        ({"padding": "counted", "time_embedding": "sinusoidal"}, "needs padding='masked'"),
    ],
    ids=str,
)
def test_a_wrong_operator_is_refused(settings, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        OperatorConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bank": "medium_term"}, "use one of long_term, short_term, none"),
        ({"loss": "hinge"}, "use one of sigmoid, softmax"),
        ({"num_classes": 0}, "num_classes=0 is below 1"),
        ({"short_term_dim": 0}, "short_term_dim=0 is below 1"),
        ({"long_term_dim": 0}, "long_term_dim=0 is below 1"),
        ({"classifier_dropout": -0.1}, "classifier_dropout=-0.1 is no dropout probability"),
        ({"bank": "short_term", "long_term_dim": 5}, "leave long_term_dim out"),
        (
            {"bank": "short_term", "operator": OperatorConfig(time_embedding="sinusoidal")},
            "needs bank='long_term'",
        ),
        (
            {"bank": "short_term", "operator": OperatorConfig(padding="counted")},
            "needs bank='long_term'",
        ),
        (
            {"input_norm": "batch", "operator": OperatorConfig(padding="counted")},
            "needs padding='masked'",
        ),
    ],
    ids=str,
)
def test_a_wrong_head_is_refused(settings, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        FeatureBankHeadConfig(**{"short_term_dim": 7, "num_classes": 4, **settings})


CLIPS, ROWS = torch.zeros(3, CLIP_DIM), torch.zeros(3, 4, ROW_DIM)


@pytest.mark.parametrize(
    ("arguments", "named", "words"),
    [
        ((torch.zeros(3, 9), ROWS), {}, "short_term is (3, 9); (N, 7) was expected"),
        ((CLIPS,), {}, "long_term is missing"),
        ((CLIPS, torch.zeros(3, 4, 9)), {}, "long_term is (3, 4, 9); (B, W, 5) was expected"),
        ((CLIPS, ROWS[:2]), {}, "there are 2 windows for 3 rows of short_term"),
        ((CLIPS, ROWS, torch.ones(3, 5).bool()), {}, "mask is (3, 5)"),
        ((CLIPS, ROWS, torch.ones(3, 4)), {}, "mask is (3, 4) torch.float32"),
        ((CLIPS, ROWS), {"times": torch.zeros(3)}, "times is (3,); give (3, 4)"),
        ((CLIPS, ROWS), {}, "times are missing"),
        ((CLIPS, ROWS), {"window_of": torch.zeros(3)}, "window_of is (3,) torch.float32"),
        ((CLIPS, ROWS), {"window_of": torch.zeros(2).long()}, "window_of is (2,)"),
        ((CLIPS, ROWS), {"window_of": torch.tensor([0, 3, 1])}, "names window 3 and there are 3"),
        ((CLIPS, ROWS), {"window_of": torch.tensor([0, -1, 1])}, "window_of names window -1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_shapes_are_refused(arguments, named, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        small_head(time_embedding="sinusoidal")(*arguments, **named)


def test_each_bank_has_its_head():
    heads = {
        bank: type(make_head(FeatureBankHeadConfig(short_term_dim=7, num_classes=4, bank=bank)))
        for bank in ("none", "short_term", "long_term")
    }
    assert heads == {
        "none": ShortTermHead,
        "short_term": FeatureBankHead,
        "long_term": FeatureBankHead,
    }


def test_a_head_with_a_bank_is_not_made_without_one():
    with pytest.raises(ValueError, match="use ShortTermHead or make_head"):
        FeatureBankHead(FeatureBankHeadConfig(short_term_dim=7, num_classes=4, bank="none"))


def test_settings_are_read_where_torch_is_absent():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from reelbank.heads.feature_bank.config import FeatureBankHeadConfig\n"
        "FeatureBankHeadConfig(short_term_dim=7, num_classes=4)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_it_imports_torch_and_nothing_else(path):
    own = ("reelbank.heads.feature_bank", "torch", *sys.stdlib_module_names)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        else:
            continue
        for name in names:
            assert name.startswith(own[0]) or name.split(".")[0] in own[1:]
