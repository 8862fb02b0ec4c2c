"""From bytes to vectors, so that each picture has its own fate."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imagescreen.embedding.batcher import Batcher
from imagescreen.embedding.encoder import Encoder
from imagescreen.embedding.model_config import Pixels
from imagescreen.embedding.patience import Patience
from imagescreen.errors import LowInformationPicture, PictureProblem
from imagescreen.pictures import PdqHasher, PictureHash, PictureHeader, PictureReader


def prepare(reader: PictureReader, encoder: Encoder, data: bytes, header: PictureHeader) -> Pixels:
    """Untrusted bytes whose header was read -> what the encoder takes, (s, s, 3).

    Raises PictureProblem, LowInformationPicture for a picture with nothing on it among them.
    """
    return prepare_and_hash(reader, encoder, None, data, header)[0]


def prepare_and_hash(
    reader: PictureReader, encoder: Encoder, hasher: PdqHasher | None, data: bytes, header: PictureHeader
) -> tuple[Pixels, PictureHash | None]:
    """The same with the PDQ hash of the picture, for which it is not decoded again; None without a hasher."""
    picture = reader.read(data, header, reduce_to=encoder.input_side)
    if picture.low_information:
        raise LowInformationPicture("the picture is blank or nearly so: there is nothing on it to compare")
    return encoder.preprocess(picture.image), None if hasher is None else hasher.hash(picture.image)


def embed_each(
    batcher: Batcher, pictures: Sequence[Pixels], patience: Patience | None = None
) -> list[NDArray[np.float32] | PictureProblem]:
    """n preprocessed pictures -> n vectors (d,), or the problem of the one that the model cannot embed.

    Pictures of one call share batches with each other and with other callers. Raises Overloaded when they do not all
    find room, and what ends the caller's patience; those that wait are then taken back, so that a refused call costs
    the others nothing.
    """
    patience = patience or Patience()
    futures = []
    try:
        for picture in pictures:
            futures.append(batcher.submit([picture]))  # noqa: PERF401 - what was submitted is needed when one fails
        results: list[NDArray[np.float32] | PictureProblem] = []
        for future in futures:
            try:
                results.append(patience.result_of(future)[0])
            except PictureProblem as problem:
                results.append(problem)
        return results
    except BaseException:
        for future in futures:
            future.cancel()
        raise
