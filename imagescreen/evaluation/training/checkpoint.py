"""A training run's state on disk, from which it goes on: safetensors and JSON, no pickle."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from imagescreen.errors import WrongUse
from imagescreen.evaluation.training.recipe import Recipe

_FILE = "checkpoint.safetensors"


def save_tensors(path: Path, recipe: Recipe, tensors: Mapping[str, Tensor], told: Mapping[str, str]) -> None:
    """Whole or not at all: a run that is killed here goes on from the state before."""
    stored = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    beside = path.with_suffix(".new")
    save_file(stored, beside, metadata={"recipe": _lasting(recipe), **told})
    beside.replace(path)


def load_tensors(path: Path, recipe: Recipe) -> dict[str, Tensor] | None:
    """What was saved there, None when nothing was. Raises WrongUse when it is of another recipe, or no such file."""
    if not path.is_file():
        return None
    if _metadata(path).get("recipe") != _lasting(recipe):
        raise WrongUse(
            f"the run in {path.parent} has another recipe: go on with the same options, or take a new folder"
        )
    return dict(load_file(path))


def save_checkpoint(
    folder: Path,
    recipe: Recipe,
    *,
    step: int,
    seconds: float,
    student: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    tensors: dict[str, Tensor] = {}
    for prefix, module in (("student", student), ("average", average)):
        tensors |= {f"{prefix}.{name}": value for name, value in module.state_dict().items()}
    for place, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{place}.{name}": torch.as_tensor(value) for name, value in state.items()}
    save_tensors(folder / _FILE, recipe, tensors, {"step": str(step), "seconds": str(seconds)})


def load_checkpoint(
    folder: Path, recipe: Recipe, *, student: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[int, float]:
    """Restores the state and returns (steps done, seconds spent), (0, 0.0) when there is none.

    Raises as load_tensors does.
    """
    path = folder / _FILE
    tensors = load_tensors(path, recipe)
    if tensors is None:
        return 0, 0.0
    for prefix, module in (("student", student), ("average", average)):
        module.load_state_dict(_under(f"{prefix}.", tensors))
    places: dict[int, dict[str, Tensor]] = {}
    for name, value in _under("optimizer.", tensors).items():
        place, key = name.split(".", 1)
        places.setdefault(int(place), {})[key] = value
    optimizer.load_state_dict({"state": places, "param_groups": optimizer.state_dict()["param_groups"]})
    told = _metadata(path)
    return int(told["step"]), float(told["seconds"])


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise WrongUse(f"{path} is damaged ({error}): remove it") from None


def _lasting(recipe: Recipe) -> str:
    """All of a recipe but the number of passes: a run may be made longer or shorter while it goes."""
    return json.dumps({name: value for name, value in asdict(recipe).items() if name != "passes"}, sort_keys=True)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
