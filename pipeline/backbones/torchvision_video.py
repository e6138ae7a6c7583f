"""Torchvision's video models as backbones: the map before their global pooling.

MViT is not among them: its positions are tied to one clip size and its output is a token.
"""

from typing import cast

from torch import Tensor, nn

from reelbank.pipeline.backbones.backbone import Backbone
from reelbank.pipeline.backbones.config import TorchvisionConfig

NUM_CLASSES = 400


class TorchvisionVideo(Backbone):
    """A torchvision model, whole (`net`), of which `forward` runs all but pooling and head."""

    def __init__(self, config: TorchvisionConfig, num_classes: int | None = None) -> None:
        super().__init__(config)
        try:
            from torchvision.models import get_model
        except ImportError as error:
            raise ImportError(
                f"the backbone torchvision/{config.model} needs torchvision; install it"
            ) from error
        self.net: nn.Module = get_model(
            config.model, weights=None, num_classes=num_classes or NUM_CLASSES
        )
        self.model = config.model
        if num_classes is None:
            drop_head(self.net)

    def forward(self, clips: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, T, H, W) -> one map (N, C, T', h, w)."""
        net = self.net
        if self.model == "s3d":
            return (net.get_submodule("features")(clips),)
        if self.model.startswith("swin3d"):
            tokens = net.get_submodule("pos_drop")(net.get_submodule("patch_embed")(clips))
            tokens = net.get_submodule("norm")(net.get_submodule("features")(tokens))
            return (tokens.permute(0, 4, 1, 2, 3),)  # (N, T, h, w, C) -> (N, C, T, h, w)
        maps = net.get_submodule("stem")(clips)
        for index in range(1, 5):
            maps = net.get_submodule(f"layer{index}")(maps)
        return (maps,)

    def classify(self, maps: tuple[Tensor, ...]) -> Tensor:
        """Logits (N, num_classes), as the whole model gives them."""
        head = getattr(self.net, head_name(self.net))
        if isinstance(head, nn.Identity):
            raise ValueError("this backbone was built without a head; give num_classes to have one")
        pooled = self.net.get_submodule("avgpool")(maps[0])
        if self.model == "s3d":
            return cast("Tensor", head(pooled).mean(dim=(2, 3, 4)))
        return cast("Tensor", head(pooled.flatten(1)))


def head_name(net: nn.Module) -> str:
    """What the model calls its last layer: fc, classifier or head."""
    return next(name for name in ("fc", "classifier", "head") if hasattr(net, name))


def drop_head(net: nn.Module) -> None:
    """Replace the last layer by nothing."""
    setattr(net, head_name(net), nn.Identity())
