"""The service that a user would write in an afternoon, to compare with (`python -m` this module).

open_clip in float32, a full Pillow decode, a flat FAISS index, one request at a time, behind the same framework.
"""

import argparse
import asyncio
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import faiss
import numpy as np
import uvicorn
from litestar import Litestar, get, post
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body
from PIL import Image

from imagescreen.embedding.libraries import import_open_clip

MAX_BODY_BYTES = 64 << 20


def application(model_dir: Path, references: int) -> Litestar:
    """POST /screen with a file `picture` answers its five nearest among random references."""
    open_clip = import_open_clip()
    import torch

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{model_dir.resolve()}")
    model.eval()
    with torch.inference_mode():
        dimension = model.encode_image(preprocess(Image.new("RGB", (64, 64)))[None]).shape[1]
    vectors = np.random.default_rng(0).standard_normal((references, dimension), dtype=np.float32)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    turn = asyncio.Lock()

    def screen_one(data: bytes) -> list[float]:
        picture = preprocess(Image.open(BytesIO(data)).convert("RGB"))
        with torch.inference_mode():
            vector = model.encode_image(picture[None], normalize=True).numpy()
        similarities, _ = index.search(vector, 5)
        return [float(value) for value in similarities[0]]

    @post("/screen")
    async def screen(
        data: Annotated[dict[str, UploadFile], Body(media_type=RequestEncodingType.MULTI_PART)],
    ) -> dict[str, Any]:
        content = await data["pictures"].read()
        async with turn:
            return {"similarities": await asyncio.to_thread(screen_one, content)}

    @get("/ready")
    async def ready() -> str:
        return "ready"

    return Litestar([screen, ready], request_max_body_size=MAX_BODY_BYTES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--weights-dir", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--references", type=int, required=True)
    chosen = parser.parse_args()
    uvicorn.run(
        application(chosen.weights_dir / chosen.model, chosen.references),
        host="127.0.0.1",
        port=chosen.port,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
