"""The whole way of a model from a hub into the folder of weights: a real process against a hub on the loopback."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from imagescreen.embedding.encoder import load_encoder
from imagescreen.embedding.libraries import import_open_clip
from imagescreen.embedding.test_picture import draw_test_picture
from imagescreen.settings import Device, DType

SCRIPT = Path(__file__).parents[2] / "scripts" / "fetch_weights.py"
REPOSITORY = "someone/tiny-clip"
COMMIT = "c0ffee" + "0" * 34
WAIT_S = 30
CONFIG: dict[str, dict[str, object]] = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16, "head_width": 32},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "resize_mode": "squash"},
}
ENTRY = f"""
[[model]]
name = "tiny"
title = "Tiny"
description = "random weights"
architecture = "a small vision transformer"
licence = "MIT"
open_licence = true
input_size = 32
dimension = 16
resize_mode = "squash"
text_side = true
repository = "{REPOSITORY}"
revision = ""
[model.files."open_clip_config.json"]
path = "open_clip_config.json"
[model.files."open_clip_model.safetensors"]
path = "open_clip_model.safetensors"
sha256 = ""
[model.files."tokenizer.json"]
path = "tokenizer.json"
optional = true
"""


class Hub:
    """A model hub with one repository at one commit. `files` are its true content, `served` what it sends."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = dict(files)
        self.served = dict(files)
        self.without_hash = False
        self.half_sent = threading.Event()
        self.send_all = threading.Event()
        self.send_all.set()
        self.requests: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self.send_all.set()
        self._server.shutdown()
        self._server.server_close()

    def headers(self, path: str) -> dict[str, str]:
        content = self.files[path]
        headers = {"X-Repo-Commit": COMMIT, "Content-Length": str(len(self.served[path]))}
        if self.without_hash:
            return headers | {"ETag": '"42-1"'}
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        if not path.endswith(".safetensors"):
            return headers | {"ETag": f'"{blob}"'}
        return headers | {
            "ETag": '"of-the-storage"',
            "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Linked-Size": str(len(content)),
        }

    def _handler(hub) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self._answer()

            def do_GET(self) -> None:
                path = self._answer()
                content = hub.served.get(path, b"")
                self.wfile.write(content[: len(content) // 2])
                if path.endswith(".safetensors") and not hub.send_all.is_set():
                    self.wfile.flush()
                    hub.half_sent.set()
                    hub.send_all.wait(WAIT_S)
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(content[len(content) // 2 :])

            def _answer(self) -> str:
                hub.requests.append(f"{self.command} {self.path}")
                found = re.fullmatch(rf"/{REPOSITORY}/resolve/({COMMIT}|main)/([\w.]+)", self.path)
                path = found.group(2) if found else ""
                if path in hub.files:
                    self.send_response(200)
                    headers = hub.headers(path)
                else:
                    self.send_response(404)
                    headers = {"X-Error-Code": "EntryNotFound" if found else "RepoNotFound", "Content-Length": "0"}
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                return path

            def log_message(self, *_: object) -> None:
                return None

        return Handler


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of an open_clip model with random weights."""
    folder = tmp_path_factory.mktemp("checkpoint")
    open_clip = import_open_clip()
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(1)
    model = open_clip.CLIP(**CONFIG["model_cfg"])
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "weights")
    return {
        "open_clip_config.json": json.dumps(CONFIG).encode(),
        "open_clip_model.safetensors": (folder / "weights").read_bytes(),
    }


@pytest.fixture
def hub(checkpoint: dict[str, bytes]) -> Iterator[Hub]:
    hub = Hub(checkpoint)
    yield hub
    hub.close()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "models.toml").write_text(ENTRY)
    return folder


def environment(hub: Hub) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "1"}


def fetch(hub: Hub, weights: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), "tiny", "--weights-dir", str(weights), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment(hub),
        timeout=4 * WAIT_S,
    )


def assert_refused(run: subprocess.CompletedProcess[str], weights: Path, said: str, code: int = 1) -> None:
    """One sentence, no traceback, nothing left behind."""
    assert run.returncode == code, run.stderr
    assert "Traceback" not in run.stderr
    assert re.search(said, run.stderr.splitlines()[-1]), run.stderr
    assert run.stderr.splitlines()[-1].startswith("error: ")
    assert [path.name for path in weights.iterdir()] == ["models.toml"]


def pin(weights: Path, *, revision: str = "", sha256: str = "") -> None:
    registry = weights / "models.toml"
    text = registry.read_text().replace('revision = ""', f'revision = "{revision}"')
    registry.write_text(text.replace('sha256 = ""', f'sha256 = "{sha256}"'))


def test_model_is_fetched_described_and_loaded_and_the_next_run_has_nothing_to_do(hub: Hub, weights: Path) -> None:
    first = fetch(hub, weights)
    assert first.returncode == 0, first.stderr
    assert f'revision = "{COMMIT}"' in first.stdout
    weights_hash = hashlib.sha256(hub.files["open_clip_model.safetensors"]).hexdigest()
    assert f'sha256 = "{weights_hash}"' in first.stdout
    files = {path.name for path in (weights / "tiny").iterdir()}
    assert files == {"open_clip_config.json", "open_clip_model.safetensors", "manifest.json"}
    assert sorted(path.name for path in weights.iterdir()) == ["models.toml", "tiny"]

    encoder = load_encoder("tiny", weights, dtype=DType.FLOAT32, device=Device.CPU, threads=1)
    vector = encoder.encode(encoder.preprocess(draw_test_picture())[np.newaxis])
    assert vector.shape == (1, 16)
    assert encoder.fingerprint in first.stdout
    assert encoder.encode_words(["a bag"]).shape == (1, 16)

    asked = len(hub.requests)
    second = fetch(hub, weights)
    assert (second.returncode, len(hub.requests)) == (0, asked)
    assert "already installed and whole" in second.stdout

    (weights / "tiny" / "open_clip_pytorch_model.bin").write_bytes(b"\x80\x04.")
    third = fetch(hub, weights)
    assert third.returncode == 1
    assert re.fullmatch(
        "error: .*open_clip_pytorch_model.bin.*other weights.*remove it.*", third.stderr.splitlines()[-1]
    )
    assert (weights / "tiny" / "open_clip_pytorch_model.bin").exists()


def test_killed_run_leaves_no_model_and_the_next_run_clears_up(hub: Hub, weights: Path) -> None:
    run = start_and_wait_for_half(hub, weights)
    run.kill()
    run.wait(WAIT_S)
    assert not (weights / "tiny").exists()

    hub.send_all.set()
    weights_hash = hashlib.sha256(hub.files["open_clip_model.safetensors"]).hexdigest()
    pin(weights, revision=COMMIT, sha256=weights_hash)
    again = fetch(hub, weights)
    assert again.returncode == 0, again.stderr
    assert sorted(path.name for path in weights.iterdir()) == ["models.toml", "tiny"]
    assert weights_hash not in again.stdout, "what is pinned need not be pinned again"

    # A damaged installation is replaced by a whole one, not trusted.
    manifest = json.loads((weights / "tiny" / "manifest.json").read_text())
    (weights / "tiny" / "open_clip_model.safetensors").write_bytes(b"damaged")
    repaired = fetch(hub, weights)
    assert repaired.returncode == 0, repaired.stderr
    assert "not what its manifest says" in repaired.stderr
    assert json.loads((weights / "tiny" / "manifest.json").read_text()) == manifest


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_leaves_nothing(hub: Hub, weights: Path, stop: signal.Signals) -> None:
    run = start_and_wait_for_half(hub, weights)
    second = fetch(hub, weights)
    assert second.returncode == 1
    assert "Another run" in second.stderr
    run.send_signal(stop)
    output, errors = run.communicate(timeout=WAIT_S)
    assert_refused(subprocess.CompletedProcess([], run.returncode, output, errors), weights, "Interrupted")


def start_and_wait_for_half(hub: Hub, weights: Path) -> subprocess.Popen[str]:
    hub.send_all.clear()
    run = subprocess.Popen(
        [sys.executable, str(SCRIPT), "tiny", "--weights-dir", str(weights)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(hub),
    )
    if not hub.half_sent.wait(WAIT_S):
        run.kill()
        pytest.fail(f"the transfer did not begin: {run.communicate()[1]}")
    return run


def test_weights_other_than_the_pinned_ones_are_not_even_transferred(hub: Hub, weights: Path) -> None:
    pin(weights, sha256="a" * 64)
    assert_refused(fetch(hub, weights), weights, "registry pins a{64}")
    assert not any(request.startswith("GET") for request in hub.requests)


def test_content_that_is_not_what_the_hub_announced_is_refused(hub: Hub, weights: Path) -> None:
    content = bytearray(hub.files["open_clip_model.safetensors"])
    content[-1] ^= 1
    hub.served["open_clip_model.safetensors"] = bytes(content)
    assert_refused(fetch(hub, weights), weights, "damaged")


def test_small_files_are_checked_too(hub: Hub, weights: Path) -> None:
    hub.served["open_clip_config.json"] = hub.files["open_clip_config.json"].replace(b"0.5", b"0.6")
    assert_refused(fetch(hub, weights), weights, r"open_clip_config\.json is damaged")


def test_file_without_any_hash_is_refused(hub: Hub, weights: Path) -> None:
    hub.without_hash = True
    assert_refused(fetch(hub, weights), weights, "Neither the registry nor the hub has a hash")


def test_missing_weights_are_named(hub: Hub, weights: Path) -> None:
    del hub.files["open_clip_model.safetensors"]
    assert_refused(fetch(hub, weights), weights, r"no file open_clip_model\.safetensors in someone/tiny-clip")


def test_missing_repository_is_named(hub: Hub, weights: Path) -> None:
    registry = weights / "models.toml"
    registry.write_text(registry.read_text().replace(REPOSITORY, "someone/else"))
    assert_refused(fetch(hub, weights), weights, "no public repository someone/else")


def test_hub_that_is_down_is_named(hub: Hub, weights: Path) -> None:
    hub.close()
    assert_refused(fetch(hub, weights), weights, re.escape(hub.endpoint))


def test_another_model_under_the_same_name_is_refused_before_its_weights_come(hub: Hub, weights: Path) -> None:
    registry = weights / "models.toml"
    registry.write_text(registry.read_text().replace("dimension = 16", "dimension = 512"))
    assert_refused(fetch(hub, weights), weights, "`dimension` is 16")
    assert not any(request.startswith("GET") and "safetensors" in request for request in hub.requests)


def test_config_that_loads_from_elsewhere_is_refused(hub: Hub, weights: Path) -> None:
    config = json.loads(hub.files["open_clip_config.json"])
    config["model_cfg"]["text_cfg"]["hf_model_name"] = "someone/text"
    hub.files["open_clip_config.json"] = hub.served["open_clip_config.json"] = json.dumps(config).encode()
    assert_refused(fetch(hub, weights), weights, "plain open_clip config")


def test_licence_that_is_not_open_must_be_accepted(hub: Hub, weights: Path) -> None:
    registry = weights / "models.toml"
    registry.write_text(registry.read_text().replace("open_licence = true", "open_licence = false"))
    assert_refused(fetch(hub, weights), weights, "--accept-license", code=2)
    assert not hub.requests
    hub.close()
    assert_refused(fetch(hub, weights, "--accept-license"), weights, re.escape(hub.endpoint))


def test_unknown_name_is_wrong_use(hub: Hub, weights: Path) -> None:
    registry = weights / "models.toml"
    registry.write_text(registry.read_text().replace('"tiny"', '"small"'))
    assert_refused(fetch(hub, weights), weights, "no model 'tiny'; there are small", code=2)


def test_ones_own_model_is_described_without_a_hub(hub: Hub, weights: Path, checkpoint: dict[str, bytes]) -> None:
    registry = weights / "models.toml"
    registry.write_text(registry.read_text().split("repository")[0])
    missing = fetch(hub, weights, "--rewrite-manifest")
    assert missing.returncode == 1
    assert "has no open_clip_config.json" in missing.stderr
    (weights / "tiny").mkdir()
    for name, content in checkpoint.items():
        (weights / "tiny" / name).write_bytes(content)
    run = fetch(hub, weights, "--rewrite-manifest")
    assert run.returncode == 0, run.stderr
    assert load_encoder("tiny", weights, dtype=DType.FLOAT32, device=Device.CPU, threads=1).fingerprint in run.stdout
    assert not hub.requests
    shutil.rmtree(weights / "tiny")
    assert "not installed" in fetch(hub, weights).stderr
