import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from imagescreen.embedding.encoder import Encoder, TrainedOnly, describe_model, load_encoder
from imagescreen.embedding.registry import entry_of
from imagescreen.embedding.test_picture import draw_test_picture
from imagescreen.errors import BrokenInstallation, BrokenModel, ImagescreenError, Unavailable, UnreadablePicture
from imagescreen.settings import BUILT_IN_MODEL, Device, DType

Loader = Callable[[Path], Encoder]

MODEL_FILES = ("open_clip_config.json", "open_clip_model.safetensors")


def vector(encoder: Encoder, image: Image.Image) -> NDArray[np.float32]:
    found: NDArray[np.float32] = encoder.encode(encoder.preprocess(image)[np.newaxis])[0]
    return found


def shaded(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x % 256, y % 256, (x + y) % 256], axis=-1).astype(np.uint8))


def test_vectors_are_float32_of_unit_length_whatever_the_batch(mini: Encoder) -> None:
    batch = np.stack([mini.preprocess(shaded(60 + 40 * n, 150)) for n in range(5)])
    together = mini.encode(batch)
    assert together.shape == (5, mini.dimension)
    assert together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    one_by_one = np.concatenate([mini.encode(batch[n : n + 1]) for n in range(5)])
    assert np.allclose(together, one_by_one, atol=1e-5)


def test_no_pictures_give_no_vectors(mini: Encoder) -> None:
    side = mini.input_side
    assert mini.encode(np.empty((0, side, side, 3), dtype=np.uint8)).shape == (0, mini.dimension)
    assert mini.encode_words([]).shape == (0, mini.dimension)


@pytest.mark.parametrize(("size", "padded"), [((200, 100), 0), ((100, 200), 1)])
def test_the_whole_picture_is_seen_on_a_white_ground(mini: Encoder, size: tuple[int, int], padded: int) -> None:
    seen = mini.preprocess(Image.new("RGB", size, (10, 20, 30)))
    side = mini.input_side
    assert seen.shape == (side, side, 3)
    assert (seen.swapaxes(0, padded)[: side // 4] == 255).all()
    assert (seen[side // 2, side // 2] == (10, 20, 30)).all()
    assert (seen == (10, 20, 30)).all(axis=-1).mean() == pytest.approx(0.5)


@pytest.mark.parametrize("size", [(40_000, 32), (32, 40_000), (1, 1), (33, 32)])
def test_pictures_of_extreme_shapes_have_a_vector(mini: Encoder, size: tuple[int, int]) -> None:
    assert np.isfinite(vector(mini, Image.new("RGB", size, (200, 10, 10)))).all()


def test_edited_copy_is_nearer_than_another_picture(mini: Encoder) -> None:
    original = draw_test_picture()
    copy = ImageEnhance.Brightness(original.crop((15, 10, 310, 235)).rotate(4, fillcolor="white")).enhance(1.15)
    first = vector(mini, original)
    assert first @ vector(mini, copy) > first @ vector(mini, shaded(320, 240)) + 0.2


def test_words_are_in_the_space_of_pictures(mini: Encoder) -> None:
    words = mini.encode_words(["a photo of a banana", "a photo of a t-shirt", "word " * 200])
    assert mini.has_text
    assert mini.text_off_reason is None
    assert words.shape == (3, mini.dimension)
    assert np.allclose(np.linalg.norm(words, axis=1), 1, atol=1e-5)
    assert words[0] @ words[1] < 0.9


def test_picture_without_a_finite_vector_is_refused(shipped_weights: Path) -> None:
    import torch

    broken = load_encoder(BUILT_IN_MODEL, shipped_weights, dtype=DType.FLOAT16, device=Device.CPU, threads=1)
    head = cast(torch.nn.Module, broken._model.towers).get_parameter("visual.trunk.last.weight")
    # As where a model's numbers are beyond what float16 holds.
    head.data.fill_(float("inf"))
    with pytest.raises(UnreadablePicture):
        broken.encode(np.stack([broken.test_input()] * 2))


def test_input_of_another_size_is_refused(mini: Encoder) -> None:
    side = mini.input_side
    wrong: list[NDArray[Any]] = [
        np.zeros((1, side // 2, side // 2, 3), np.uint8),
        np.zeros((1, 3, side, side), np.uint8),
        np.zeros((1, side, side, 3), np.float32),
        np.zeros((side, side, 3), np.uint8),
    ]
    for batch in wrong:
        with pytest.raises(ImagescreenError, match=rf"\(n, {side}, {side}, 3\) of uint8"):
            mini.encode(batch)


def test_pictures_are_scaled_as_open_clip_does(mini: Encoder, shipped_weights: Path) -> None:
    import open_clip
    import torch

    location = f"local-dir:{(shipped_weights / BUILT_IN_MODEL).resolve()}"
    model, _, transform = open_clip.create_model_and_transforms(location, precision="fp32")
    picture = shaded(301, 177)
    # With the model's size there is nothing left to resize; that is ours, and rounds otherwise.
    resized = picture.resize((mini.input_side, round(177 * mini.input_side / 301)))
    with torch.inference_mode():
        both = torch.stack([transform(resized), transform(picture)])
        expected, near = model.eval().encode_image(both, normalize=True)
    assert np.allclose(vector(mini, resized), expected.numpy(), atol=1e-5)
    assert vector(mini, picture) @ near.numpy() > 0.99999


@pytest.mark.parametrize("dtype", [DType.BFLOAT16, DType.FLOAT16])
def test_other_number_formats_stay_in_the_same_space(mini: Encoder, shipped_weights: Path, dtype: DType) -> None:
    other = load_encoder(BUILT_IN_MODEL, shipped_weights, dtype=dtype, device=Device.CPU, threads=1)
    picture = shaded(300, 200)
    assert other.dtype == dtype.value
    assert other.fingerprint == mini.fingerprint
    assert vector(mini, picture) @ vector(other, picture) > 0.999


def test_encoder_knows_what_it_is(mini: Encoder, shipped_weights: Path) -> None:
    entry = entry_of(BUILT_IN_MODEL, shipped_weights)
    assert (mini.name, mini.dimension, mini.input_side) == (entry.name, entry.dimension, entry.input_size)
    assert (mini.dtype, mini.device, mini.threads) == ("float32", "cpu", 1)


def test_self_test_tells_the_model_from_another_vector(mini: Encoder) -> None:
    own = mini.encode(mini.test_input()[np.newaxis])[0]
    assert mini.check_test_vector(own) == pytest.approx(1, abs=1e-4)
    with pytest.raises(BrokenModel, match="built-in test picture"):
        mini.check_test_vector(vector(mini, shaded(320, 240)))
    with pytest.raises(BrokenModel):
        mini.check_test_vector(np.full(mini.dimension, np.nan, dtype=np.float32))


def test_cuda_that_is_not_there_is_refused(shipped_weights: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(BrokenInstallation, match="device"):
        load_encoder(BUILT_IN_MODEL, shipped_weights, dtype=DType.AUTO, device=Device.CUDA, threads=1)


def test_damaged_weights_are_not_loaded(weights_copy: Path, load_mini: Loader) -> None:
    weights = weights_copy / BUILT_IN_MODEL / "open_clip_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BrokenModel, match="not what its manifest says"):
        load_mini(weights_copy)


@pytest.mark.parametrize("name", ["open_clip_pytorch_model.bin", "model.safetensors", "old.pth", "weights.npz"])
def test_other_weights_in_the_folder_are_refused(weights_copy: Path, load_mini: Loader, name: str) -> None:
    (weights_copy / BUILT_IN_MODEL / name).write_bytes(pickle.dumps({}))
    with pytest.raises(BrokenModel, match=name):
        load_mini(weights_copy)


def test_files_that_nobody_listed_are_refused(weights_copy: Path, load_mini: Loader) -> None:
    (weights_copy / BUILT_IN_MODEL / "added_tokens.json").write_text("{}")
    with pytest.raises(BrokenModel, match=r"added_tokens\.json"):
        load_mini(weights_copy)


def test_missing_weights_are_not_random_ones(weights_copy: Path, load_mini: Loader) -> None:
    (weights_copy / BUILT_IN_MODEL / "open_clip_model.safetensors").unlink()
    with pytest.raises(BrokenModel, match=r"open_clip_model\.safetensors .* missing"):
        load_mini(weights_copy)


def test_model_that_sees_the_test_picture_differently_is_refused(weights_copy: Path, load_mini: Loader) -> None:
    path = weights_copy / BUILT_IN_MODEL / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["test_picture_vector"].reverse()
    path.write_text(json.dumps(manifest))
    with pytest.raises(BrokenModel, match="built-in test picture"):
        load_mini(weights_copy)


def test_weights_that_do_not_fit_the_config_are_refused(weights_copy: Path) -> None:
    folder = weights_copy / BUILT_IN_MODEL
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["layers"] = 3
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(BrokenModel, match="open_clip cannot load"):
        describe_model(entry_of(BUILT_IN_MODEL, weights_copy), folder, listed=MODEL_FILES, revision="")


def test_config_that_differs_from_the_registry_is_refused(weights_copy: Path, load_mini: Loader) -> None:
    registry = weights_copy / "models.toml"
    dimension = entry_of(BUILT_IN_MODEL, weights_copy).dimension
    registry.write_text(registry.read_text().replace(f"dimension = {dimension}", f"dimension = {2 * dimension}", 1))
    with pytest.raises(BrokenModel, match="dimension"):
        load_mini(weights_copy)


LOAD_WATCHED = """
import sys
from pathlib import Path
from typing import Any, cast

calls = []
sys.addaudithook(lambda event, args: calls.append(event) if event in ("socket.connect", "socket.getaddrinfo") else None)

from imagescreen.embedding.encoder import load_encoder
from imagescreen.settings import BUILT_IN_MODEL, Device, DType

assert "torch" not in sys.modules, "importing the encoder must stay quick"
encoder = load_encoder(BUILT_IN_MODEL, Path(sys.argv[1]), dtype=DType.AUTO, device=Device.CPU, threads=1)
print(encoder.has_text, encoder.text_off_reason)
import huggingface_hub
print(huggingface_hub.constants.HF_HUB_OFFLINE, calls)
"""


def test_loading_never_goes_online_even_for_a_tokenizer_of_the_hub(weights_copy: Path) -> None:
    folder = weights_copy / BUILT_IN_MODEL
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "someone/tokenizer"
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    describe_model(entry_of(BUILT_IN_MODEL, weights_copy), folder, listed=MODEL_FILES, revision="")

    run = subprocess.run(
        [sys.executable, "-c", LOAD_WATCHED, str(weights_copy)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(weights_copy), "HF_HUB_OFFLINE": "0"},
    )
    assert run.returncode == 0, run.stderr
    text, network = run.stdout.splitlines()
    assert text.startswith(f"False The text side of '{BUILT_IN_MODEL}' is off")
    assert network == "True []"


def test_model_without_its_tokenizer_serves_pictures_and_says_that_words_are_off(weights_copy: Path) -> None:
    registry = weights_copy / "models.toml"
    registry.write_text(registry.read_text().replace("text_side = true", "text_side = false", 1))
    encoder = load_encoder(BUILT_IN_MODEL, weights_copy, dtype=DType.FLOAT32, device=Device.CPU, threads=1)
    assert np.isfinite(vector(encoder, draw_test_picture())).all()
    assert not encoder.has_text
    with pytest.raises(Unavailable, match="no text side"):
        encoder.encode_words(["a bag"])


def test_a_model_with_random_weights_is_refused_where_it_could_screen(weights_copy: Path) -> None:
    registry = weights_copy / "models.toml"
    registry.write_text(registry.read_text().replace("text_side = true", "text_side = true\nrandom_weights = true", 1))
    with pytest.raises(BrokenModel, match="random weights"):
        load_encoder(BUILT_IN_MODEL, weights_copy, dtype=DType.FLOAT32, device=Device.CPU, threads=1)
    for_time = load_encoder(
        BUILT_IN_MODEL, weights_copy, dtype=DType.FLOAT32, device=Device.CPU, threads=1, trained=TrainedOnly.WAIVED
    )
    assert for_time.name == BUILT_IN_MODEL


def test_model_of_ones_own_is_described_and_loaded(weights_copy: Path) -> None:
    shutil.copytree(weights_copy / BUILT_IN_MODEL, weights_copy / "own")
    (weights_copy / "own" / "manifest.json").unlink()
    registry = weights_copy / "models.toml"
    entry = registry.read_text().split("[[model]]")[1].replace(f'name = "{BUILT_IN_MODEL}"', 'name = "own"')
    registry.write_text(f"{registry.read_text()}\n[[model]]{entry}")
    with pytest.raises(BrokenInstallation, match=r"not installed.*fetch_weights\.py own"):
        load_encoder("own", weights_copy, dtype=DType.FLOAT32, device=Device.CPU, threads=1)
    describe_model(entry_of("own", weights_copy), weights_copy / "own", listed=MODEL_FILES, revision="")
    encoder = load_encoder("own", weights_copy, dtype=DType.FLOAT32, device=Device.CPU, threads=1)
    assert encoder.name == "own"
