"""A training run's state on disk, from which it goes on: safetensors and JSON, no pickle."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from imagescreen.errors import WrongUse
from imagescreen.evaluation.training.recipe import Recipe

_FILE = "checkpoint.safetensors"
_CHOSEN_LATER = ("passes", "kept_share", "whitening", "middle_share", "goods_share")


@dataclass(frozen=True, slots=True)
class Origin:
    """What a run is made of: `digest` stands for its pictures and teachers. State of another origin is refused."""

    recipe: Recipe
    digest: str

    def lasting(self) -> str:
        """All of the recipe but what changes nothing that was done: a run may be made longer or shorter while it goes,
        and what is written of it is chosen at the end.
        """
        told = {name: value for name, value in asdict(self.recipe).items() if name not in _CHOSEN_LATER}
        return json.dumps(told, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Done:
    """`steps` made in `seconds`, the last of them on that `date` (ISO 8601) and `device`, in words."""

    steps: int
    seconds: float
    date: str
    device: str


def save_tensors(path: Path, origin: Origin, tensors: Mapping[str, Tensor], told: Mapping[str, str]) -> None:
    """Whole or not at all: a run that is killed here goes on from the state before. Raises WrongUse when the disk does
    not take it.
    """
    stored = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    beside = path.with_name(f"{path.name}.new")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        save_file(stored, beside, metadata={"recipe": origin.lasting(), "digest": origin.digest, **told})
    except SafetensorError as error:
        raise WrongUse(f"{path} cannot be written: {error}") from None
    beside.replace(path)


def load_tensors(path: Path, origin: Origin) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """The tensors that were saved there and what was told with them, None when nothing was.

    Raises WrongUse when the file is of another origin, or damaged.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            told = dict(file.metadata() or {})
        tensors = dict(load_file(path))
    except SafetensorError as error:
        raise _damaged(path, error) from None
    for key, wanted, what in (
        ("recipe", origin.lasting(), "another recipe"),
        ("digest", origin.digest, "other pictures or teachers"),
    ):
        if told.get(key) != wanted:
            raise WrongUse(
                f"{path} is of a run with {what}: go on with the same options and folders, or take a new folder"
            )
    return tensors, told


def save_checkpoint(
    folder: Path,
    origin: Origin,
    done: Done,
    *,
    student: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Raises as save_tensors does."""
    tensors: dict[str, Tensor] = {}
    for prefix, module in (("student", student), ("average", average)):
        tensors |= {f"{prefix}.{name}": value for name, value in module.state_dict().items()}
    for place, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{place}.{name}": torch.as_tensor(value) for name, value in state.items()}
    save_tensors(folder / _FILE, origin, tensors, {name: str(value) for name, value in asdict(done).items()})


def load_checkpoint(
    folder: Path, origin: Origin, *, student: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> Done:
    """Restores the state and returns what was done, which is nothing without a checkpoint. Raises as load_tensors."""
    path = folder / _FILE
    loaded = load_tensors(path, origin)
    if loaded is None:
        return Done(0, 0.0, "", "")
    tensors, told = loaded
    try:
        for prefix, module in (("student", student), ("average", average)):
            module.load_state_dict(_under(f"{prefix}.", tensors))
        places: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimizer.", tensors).items():
            place, key = name.split(".", 1)
            places.setdefault(int(place), {})[key] = value
        optimizer.load_state_dict({"state": places, "param_groups": optimizer.state_dict()["param_groups"]})
        return Done(int(told["steps"]), float(told["seconds"]), told["date"], told["device"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> WrongUse:
    lines = str(error).splitlines()
    return WrongUse(f"{path} is damaged ({lines[0] if lines else error!r}): remove it, and what it held is done again")


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
