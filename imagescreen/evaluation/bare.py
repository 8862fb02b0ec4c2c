"""The bare parts, with nothing around them: `python -m imagescreen.evaluation.bare` measures what stdin asks for.

Each line `encode BATCH SECONDS` or `decode SECONDS` is answered with one JSON line: pictures a second, on one core for
decoding and on all for the encoder. A process of its own, so that both sides of a comparison start from the same state.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from imagescreen.embedding.encoder import Encoder, TrainedOnly, load_encoder
from imagescreen.runtime import keep_freed_memory
from imagescreen.settings import Device, DType


def encode_rate(encoder: Encoder, batch: int, seconds: float) -> float:
    # Where the service collects its batches, from which a GPU copies by itself.
    pictures = encoder.batch_memory(batch)
    pictures[...] = np.random.default_rng(0).integers(256, size=pictures.shape, dtype=np.uint8)
    return batch * _rate(lambda: encoder.encode(pictures), seconds)


def decode_rate(photos: Sequence[bytes], side: int, seconds: float) -> float:
    """Scaled JPEG decode alone, by Pillow, to no less than twice the model's input."""
    numbers = iter(range(1 << 62))

    return _rate(lambda: decode_once(photos[next(numbers) % len(photos)], side), seconds)


def decode_once(photo: bytes, side: int) -> None:
    """A JPEG at a scale that leaves at least twice the model's input side."""
    with Image.open(BytesIO(photo)) as image:
        image.draft(None, (2 * side, 2 * side))
        image.load()


def _rate(run: Callable[[], object], seconds: float) -> float:
    run()
    done = 0
    started = time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        run()
        done += 1
    return done / elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--weights-dir", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True, help="folder of JPEG files")
    chosen = parser.parse_args()
    keep_freed_memory()
    encoder = load_encoder(
        chosen.model,
        chosen.weights_dir,
        dtype=DType.AUTO,
        device=Device.AUTO,
        threads=0,
        trained=TrainedOnly.WAIVED,
    )
    photos = [path.read_bytes() for path in sorted(chosen.photos.glob("*.jpg"))]
    print(json.dumps({"device": encoder.device, "dtype": encoder.dtype}), flush=True)  # noqa: T201
    for line in sys.stdin:
        what, *numbers = line.split()
        if what == "encode":
            rate = encode_rate(encoder, int(numbers[0]), float(numbers[1]))
        else:
            rate = decode_rate(photos, encoder.input_side, float(numbers[0]))
        print(json.dumps({"rate": rate}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
