"""Names of stages, and the tables that each may write."""

from reelbank.stores.layout import checked_model

TABLES_OF_STAGE = {
    "scores": ("scores", "failures"),
    "detections": ("detections", "failures"),
    "video": ("videos", "failures"),
    "shots": ("shots", "failures"),
    "tracks": ("tracks", "links", "failures"),
}
"""Tables that a stage may write."""

BANK_PREFIX = "bank:"
"""Start of the stage name of a bank."""

LABELS_PREFIX = "labels:"
"""Start of the stage name of a label set, 'labels:<name>@<version>'."""

PREDICTIONS_PREFIX = "predictions:"
"""Start of the stage name of what a model says, 'predictions:<model>'."""

REMOVAL = "removal"
"""Stage of a commit that has no units: it takes videos out of the store."""


def labels_stage(label_set: str) -> str:
    """Name of the stage that brings a label set, given as 'name@version'."""
    return f"{LABELS_PREFIX}{label_set}"


def label_set_of(stage: str) -> str | None:
    """The label set, 'name@version', that a stage brings; None for all other stages."""
    return stage.removeprefix(LABELS_PREFIX) if stage.startswith(LABELS_PREFIX) else None


def predictions_stage(model: str) -> str:
    """Name of the stage that brings the predictions of a model, by the name that it was given."""
    return f"{PREDICTIONS_PREFIX}{checked_model(model)}"


def predictions_of(stage: str) -> str | None:
    """The model whose predictions a stage brings; None for all other stages."""
    prefix = PREDICTIONS_PREFIX
    return stage.removeprefix(prefix) if stage.startswith(prefix) else None


def bank_stage(bank: str) -> str:
    """Name of the stage that makes a bank."""
    return f"{BANK_PREFIX}{bank}"


def bank_of(stage: str) -> str | None:
    """The bank that a stage makes; None for the stages that make tables."""
    return stage.removeprefix(BANK_PREFIX) if stage.startswith(BANK_PREFIX) else None


def tables_of(stage: str) -> tuple[str, ...]:
    """Tables that a stage may write, its own first; ValueError for an unknown stage."""
    if bank_of(stage) is not None:
        return ("index", "failures")
    if label_set_of(stage) is not None:
        return ("labels", "classes")
    if predictions_of(stage) is not None:
        return ("predictions",)
    if stage not in TABLES_OF_STAGE:
        known = ", ".join([*sorted(TABLES_OF_STAGE), bank_stage("<name>")])
        raise ValueError(f"unknown stage {stage!r}; known: {known}")
    return TABLES_OF_STAGE[stage]
