"""Ways to run the encoder, side by side: `python -m imagescreen.evaluation.encoder_variants --help`.

`variants` compares the model as the service runs it with the plain one of open_clip, and with that one channels-last,
frozen and compiled. It tells processor time, which other work on the machine moves least: the least of several
alternating rounds. `threads` compares numbers of threads, and how they wait for each other, while encoding and decoding
both work, and for one picture that is alone.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imagescreen.embedding.encoder import Encoder, TrainedOnly, load_encoder
from imagescreen.embedding.libraries import import_open_clip
from imagescreen.evaluation.bare import decode_once, encode_rate
from imagescreen.evaluation.listing_photos import drawn_photos
from imagescreen.runtime import OPENMP_WAITING, keep_freed_memory
from imagescreen.settings import Device, DType

if TYPE_CHECKING:
    import torch

AS_IS = "as it is"
VARIANTS = ("plain", "channels-last", "frozen", "compiled")
BATCHES = (1, 8, 32)
THREADS = ((1, 1), (1, 2), (2, 1), (2, 2))
WAITING: Mapping[str, Mapping[str, str]] = {
    "default": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "ours": OPENMP_WAITING,
}
_BATCH = 8

Run = Callable[["torch.Tensor"], "torch.Tensor"]


def variants(encoder: Encoder, model: Any, wanted: Sequence[str]) -> dict[str, Run]:
    """`AS_IS` and the `wanted` ways to run the image tower of `model`, the plain open_clip one of the same weights.
    Raises what torch raises for one that it cannot do.
    """
    import torch

    def channels_last(pixels: "torch.Tensor") -> "torch.Tensor":
        out: torch.Tensor = model.encode_image(pixels.contiguous(memory_format=torch.channels_last))
        return out

    def frozen() -> Run:
        side = encoder.input_side
        example = torch.zeros(2, 3, side, side, dtype=next(model.parameters()).dtype)
        traced = torch.jit.trace(model.visual, example)  # type: ignore[no-untyped-call]
        run: Run = torch.jit.optimize_for_inference(torch.jit.freeze(traced.eval()))
        return run

    made: dict[str, Callable[[], Run]] = {
        "plain": lambda: model.encode_image,
        "channels-last": lambda: channels_last,
        "frozen": frozen,
        "compiled": lambda: torch.compile(model.visual, dynamic=False),
    }
    return {AS_IS: encoder._model.towers.encode_image} | {name: made[name]() for name in wanted}


def plain_model(folder: Path, dtype: str) -> Any:
    """As open_clip builds it from the model's files, in that number format."""
    import torch

    model = import_open_clip().create_model(f"local-dir:{folder.resolve()}", require_pretrained=True)
    return model.eval().requires_grad_(False).to(getattr(torch, dtype))


def compare(encoder: Encoder, model: Any, wanted: Sequence[str], batches: Sequence[int], rounds: int) -> list[str]:
    """A row for each way and batch: ms of processor time a picture, least cosine to the model as it is."""
    import torch

    generator = torch.Generator().manual_seed(0)
    rows = []
    with torch.inference_mode():
        ways = variants(encoder, model, wanted)
        for batch in batches:
            pixels = torch.randn(batch, 3, encoder.input_side, encoder.input_side, generator=generator)
            pixels = pixels.to(next(model.parameters()).dtype)
            best = dict.fromkeys(ways, float("inf"))
            expected = _unit(ways[AS_IS](pixels))
            cosines = {name: float((_unit(way(pixels)) * expected).sum(1).min()) for name, way in ways.items()}
            for _ in range(rounds):
                for name, way in ways.items():
                    started = time.process_time()
                    way(pixels)
                    best[name] = min(best[name], 1000 * (time.process_time() - started) / batch)
            for name, ms in best.items():
                rows.append(f"| {name} | {batch} | {ms:.1f} | {ms / best[AS_IS]:.2f} | {cosines[name]:.6f} |")
    return rows


def share_cores(encoder: Encoder, decoders: int, seconds: float) -> dict[str, float]:
    """Encoding and decoding at the same time: pictures a second of each, and processor ms for one picture of each."""
    photos = drawn_photos(4)
    pixels = encoder.batch_memory(_BATCH)
    pixels[...] = np.random.default_rng(0).integers(256, size=pixels.shape, dtype=np.uint8)
    encoder.encode(pixels)
    decoded = [0] * decoders
    until = time.monotonic() + seconds

    def decode(place: int) -> None:
        while time.monotonic() < until:
            decode_once(photos[decoded[place] % len(photos)], encoder.input_side)
            decoded[place] += 1

    threads = [threading.Thread(target=decode, args=(place,)) for place in range(decoders)]
    started, spent = time.monotonic(), time.process_time()
    for thread in threads:
        thread.start()
    encoded = 0
    while time.monotonic() < until:
        encoder.encode(pixels)
        encoded += _BATCH
    for thread in threads:
        thread.join()
    wall = time.monotonic() - started
    return {"encoded": encoded / wall, "decoded": sum(decoded) / wall, "cpu_s": (time.process_time() - spent) / wall}


def alone_ms(encoder: Encoder, seconds: float) -> float:
    """Of one picture, with nothing else to do."""
    return 1000 / encode_rate(encoder, 1, seconds)


def _unit(vectors: "torch.Tensor") -> "torch.Tensor":
    unit: torch.Tensor = vectors.float() / vectors.float().norm(dim=1, keepdim=True)
    return unit


def _children(chosen: argparse.Namespace) -> None:
    for waiting, variables in WAITING.items():
        for torch_threads, decoders in THREADS:
            inherited = {name: value for name, value in os.environ.items() if name not in OPENMP_WAITING}
            environment = inherited | dict(variables)
            command = [sys.executable, "-m", __spec__.name, "one", "--model", chosen.model]
            command += ["--weights-dir", str(chosen.weights_dir), "--seconds", str(chosen.seconds)]
            command += ["--torch-threads", str(torch_threads), "--decoders", str(decoders), "--dtype", chosen.dtype]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)  # noqa: S603
            told = json.loads(done.stdout.splitlines()[-1])
            row = [torch_threads, decoders, waiting, *(f"{value:.1f}" for value in told.values())]
            print("| " + " | ".join(map(str, row)) + " |", flush=True)  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("variants", "threads", "one"))
    parser.add_argument("--model", required=True)
    parser.add_argument("--weights-dir", type=Path, default=Path("weights"))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--torch-threads", type=int, default=1)
    parser.add_argument("--decoders", type=int, default=1)
    parser.add_argument("--dtype", choices=[each.value for each in DType], default=DType.AUTO.value)
    chosen = parser.parse_args()
    keep_freed_memory()
    if chosen.what == "threads":
        _children(chosen)
        return
    encoder = load_encoder(
        chosen.model,
        chosen.weights_dir,
        dtype=DType(chosen.dtype),
        device=Device.CPU,
        threads=chosen.torch_threads,
        trained=TrainedOnly.WAIVED,
    )
    if chosen.what == "variants":
        model = plain_model(chosen.weights_dir / chosen.model, encoder.dtype)
        for row in compare(encoder, model, chosen.variants, chosen.batches, chosen.rounds):
            print(row)  # noqa: T201
    else:
        alone = {"alone_ms": alone_ms(encoder, chosen.seconds)}
        print(json.dumps(share_cores(encoder, chosen.decoders, chosen.seconds) | alone))  # noqa: T201


if __name__ == "__main__":
    main()
