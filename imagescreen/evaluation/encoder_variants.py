"""Ways to run the encoder, side by side: `python -m imagescreen.evaluation.encoder_variants --help`.

`variants` compares the model as it is with frozen, channels-last and compiled ones, `threads` the numbers of threads of
the encoder and of decoding while both work. Both tell processor time, which other work on the machine moves least: the
least of several alternating rounds.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imagescreen.embedding.encoder import Encoder, TrainedOnly, load_encoder
from imagescreen.evaluation.bare import decode_once
from imagescreen.evaluation.listing_photos import drawn_photos
from imagescreen.settings import Device, DType

if TYPE_CHECKING:
    import torch

AS_IS = "as it is"
VARIANTS = ("channels-last", "frozen", "compiled")
BATCHES = (1, 8, 32)
THREADS = ((1, 1), (1, 2), (2, 1), (2, 2))
_BATCH = 8

Run = Callable[["torch.Tensor"], "torch.Tensor"]


def variants(model: Any, side: int) -> dict[str, Run]:
    """The image tower of an open_clip model, run in different ways. Raises what torch raises for one it cannot do."""
    import torch

    def eager(pixels: "torch.Tensor") -> "torch.Tensor":
        out: torch.Tensor = model.encode_image(pixels)
        return out

    def channels_last(pixels: "torch.Tensor") -> "torch.Tensor":
        return eager(pixels.contiguous(memory_format=torch.channels_last))

    example = torch.zeros(2, 3, side, side)
    traced = torch.jit.trace(model.visual, example)  # type: ignore[no-untyped-call]
    frozen = torch.jit.optimize_for_inference(torch.jit.freeze(traced.eval()))
    return {
        AS_IS: eager,
        "channels-last": channels_last,
        "frozen": frozen,
        "compiled": torch.compile(eager, dynamic=True),
    }


def compare(encoder: Encoder, wanted: Sequence[str], batches: Sequence[int], rounds: int) -> None:
    """Prints a row for each variant and batch: ms of processor time a picture, least cosine to the model as it is."""
    import torch

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        every = variants(encoder._model.towers, encoder.input_side)
        ways = {name: every[name] for name in (AS_IS, *wanted)}
        for batch in batches:
            pixels = torch.randn(batch, 3, encoder.input_side, encoder.input_side, generator=generator)
            best = dict.fromkeys(ways, float("inf"))
            expected = _unit(ways[AS_IS](pixels))
            cosines = {name: float((_unit(way(pixels)) * expected).sum(1).min()) for name, way in ways.items()}
            for _ in range(rounds):
                for name, way in ways.items():
                    started = time.process_time()
                    way(pixels)
                    best[name] = min(best[name], 1000 * (time.process_time() - started) / batch)
            for name, ms in best.items():
                ratio = ms / best[AS_IS]
                print(f"| {name} | {batch} | {ms:.1f} | {ratio:.2f} | {cosines[name]:.6f} |", flush=True)  # noqa: T201


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


def _unit(vectors: "torch.Tensor") -> "torch.Tensor":
    unit: torch.Tensor = vectors.float() / vectors.float().norm(dim=1, keepdim=True)
    return unit


def _children(chosen: argparse.Namespace) -> None:
    for policy in ("", "PASSIVE"):
        for torch_threads, decoders in THREADS:
            environment = os.environ | ({"OMP_WAIT_POLICY": policy} if policy else {})
            command = [sys.executable, "-m", __spec__.name, "one", "--model", chosen.model]
            command += ["--weights-dir", str(chosen.weights_dir), "--seconds", str(chosen.seconds)]
            command += ["--torch-threads", str(torch_threads), "--decoders", str(decoders)]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)  # noqa: S603
            told = json.loads(done.stdout.splitlines()[-1])
            row = [torch_threads, decoders, policy.lower() or "default", *(f"{value:.1f}" for value in told.values())]
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
    chosen = parser.parse_args()
    if chosen.what == "threads":
        _children(chosen)
        return
    encoder = load_encoder(
        chosen.model,
        chosen.weights_dir,
        dtype=DType.FLOAT32,
        device=Device.CPU,
        threads=chosen.torch_threads,
        trained=TrainedOnly.WAIVED,
    )
    if chosen.what == "variants":
        compare(encoder, chosen.variants, chosen.batches, chosen.rounds)
    else:
        print(json.dumps(share_cores(encoder, chosen.decoders, chosen.seconds)))  # noqa: T201


if __name__ == "__main__":
    main()
