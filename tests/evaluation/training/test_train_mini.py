"""scripts/train_mini.py as its user runs it: interrupted, gone on with, measured; and what is said of bad input."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from imagescreen.embedding.encoder import load_encoder
from imagescreen.errors import WrongUse
from imagescreen.evaluation.training.checkpoint import Origin, load_checkpoint
from imagescreen.evaluation.training.student import MAX_BYTES
from imagescreen.evaluation.training.teachers import DENSENET_FILE, VIT_FILE
from imagescreen.settings import Device, DType
from tests.conftest import ROOT, environment, script
from tests.evaluation.training.conftest import KEPT_OUT, RECIPE, TRAINED, write_photo_set

SCRIPT = ROOT / "scripts" / "train_mini.py"
_OPTIONS = "--name tiny --trunk resnet10t --side 64 --dimension 16 --batch 8 --views 1 --mixtures 1 --threads 1"
SMALL = _OPTIONS.split()
STEPS_OF_A_PASS = 3


@pytest.fixture(scope="module")
def interrupted(photo_set: Path, teachers_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    """The folder of a run of a thousand passes that got a Ctrl-C while it trained; its exit code and what it said."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    # A child of a background job would inherit that it is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, SCRIPT, photo_set, teachers_dir, folder, *SMALL, "--passes", "1000"],
        env=environment(folder.parent),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    signal.signal(signal.SIGINT, before)
    assert process.stdout is not None
    told = ""
    for line in process.stdout:
        told += line
        # A second one would end it at once.
        if "training: step" in line and told.count("training: step") == 1:
            process.send_signal(signal.SIGINT)
    return folder, process.wait(60), told


def test_an_interrupted_run_goes_on_and_ends_in_a_model_with_its_card(
    interrupted: tuple[Path, int, str], photo_set: Path, teachers_dir: Path, tmp_path: Path
) -> None:
    before, code, told = interrupted
    assert code == 130 and "run the same command again to go on" in told and "Traceback" not in told
    folder = Path(shutil.copytree(before, tmp_path / "run"))
    steps = [int(step) for step in re.findall(r"training: step (\d+) of 3,000", told)]
    passes = max([0, *steps]) // STEPS_OF_A_PASS + 2
    licence = "clothing=Ours | all of it"
    extra = ["--passes", str(passes), "--measure-teachers", "--licence", licence]
    done = script("train_mini.py", photo_set, teachers_dir, folder, *SMALL, *extra, home=tmp_path)
    assert done.returncode == 0, done.stderr
    last = passes * STEPS_OF_A_PASS
    said = rf"training: step {last} of {last}, [\d,]+ views/s, cosine \d.*, words \d.*, all \d.*, 0\.0 minutes left"
    assert re.search(said, done.stdout)
    assert "teachers' vectors" not in done.stdout

    weights = folder / "weights"
    assert sum(path.stat().st_size for path in (weights / "tiny").iterdir()) < MAX_BYTES
    encoder = load_encoder("tiny", weights, dtype=DType.FLOAT32, device=Device.CPU, threads=1)
    # What was learned, and what the stage before the last adds.
    assert encoder.dimension == 16 + 256 and encoder.encode_words(["a hat"]).shape == (1, 272)
    assert {tensor.dtype for tensor in load_file(weights / "tiny" / "open_clip_model.safetensors").values()} <= {
        torch.float16,
        torch.int64,
    }
    card = (weights / "tiny" / "README.md").read_text(encoding="utf-8")
    for fact in (
        "| Grocery Store Dataset (Klasson et al.) | 12 | MIT |",
        "| Clothing dataset (small) | 6 | Ours \\| all of it |",
        "| Caltech-101 | 6 | CC BY 4.0 |",
        "| torchvision `densenet169` | BSD-3-Clause |",
        f"{passes} passes, {last} steps of 8 pictures",
        "seed 0",
        "| task | tiny | the teachers |",
        "2 edited copies (crop, rotation, flip, colour, JPEG) among 4 garments, R@1 | 0.",
        "no substitute for a real CLIP checkpoint",
    ):
        assert fact in card or fact.replace("| 0.", "| 1.") in card, fact

    # The model can be finished; with all of the start kept it is the same again.
    options = [*SMALL, "--name", "finished", "--passes", "1", "--cut-outs", "1", "--keep", "1", "--whiten", "0"]
    options.append("--no-measure")
    again: list[str | Path] = [photo_set, teachers_dir, tmp_path / "finish", "--start", weights / "tiny", *options]
    done = script("train_mini.py", *again, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "training: step 3 of 3" in done.stdout
    # Or only whitened, which makes no step.
    options = [
        "--start",
        str(weights / "tiny"),
        *SMALL,
        "--name",
        "evened",
        "--passes",
        "0",
        "--whiten",
        "0.8",
        "--no-measure",
    ]
    done = script("train_mini.py", photo_set, teachers_dir, tmp_path / "even", *options, home=tmp_path)
    assert done.returncode == 0 and "step" not in done.stdout, done.stderr
    assert "| whitened | 80% of the way" in (tmp_path / "even" / "weights" / "evened" / "README.md").read_text()
    finished = load_file(tmp_path / "finish" / "weights" / "finished" / "open_clip_model.safetensors")
    for name, tensor in load_file(weights / "tiny" / "open_clip_model.safetensors").items():
        # The second part is made anew, of weights that were rounded meanwhile.
        assert torch.equal(finished[name], tensor) or ".middle." in name, name


RUNNER = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
import train_mini
answers = []
for arguments in json.load(sys.stdin):
    sys.argv = ["train_mini.py", *arguments]
    said = io.StringIO()
    code = 0
    with redirect_stdout(said), redirect_stderr(said):
        try:
            train_mini.run(train_mini.app)
        except SystemExit as ended:
            code = ended.code
    answers.append([code, said.getvalue()])
print(json.dumps(answers))
"""

CASES = {
    "no index": ("{empty} {teachers} {new}", 1, "there is no index.csv"),
    "no rows of use train": ("{untrained} {teachers} {new} --no-measure", 2, "no rows of use train"),
    "missing tar": ("{no-tar} {teachers} {new} --no-measure", 1, "clothing.tar is missing"),
    "nothing to measure": ("{no-test} {teachers} {new}", 2, "--no-measure"),
    "missing teacher": ("{photos} {empty} {new}", 2, f"there is no teacher {VIT_FILE}"),
    "another architecture": ("{photos} {swapped} {new}", 1, f"{VIT_FILE} is not a VisionTransformer"),
    "damaged teacher": ("{photos} {cut} {new}", 1, f"{VIT_FILE} is damaged"),
    "batch": ("{photos} {teachers} {new} --batch 25", 2, "more than the 24 training pictures"),
    "dimension": ("{photos} {teachers} {new} --dimension 24", 2, "24 training pictures are too few"),
    "unknown trunk": ("{photos} {teachers} {new} --trunk resnet11z", 2, "no architecture 'resnet11z'"),
    "trunk of a hub": ("{photos} {teachers} {new} --trunk hf-hub:timm/resnet18", 2, "no architecture"),
    "trunk too large": ("{photos} {teachers} {new} --trunk resnet34", 2, "at most 30,000,000"),
    "trunk of one size": ("{photos} {teachers} {new} --trunk vit_tiny_patch16_224", 2, "does not work"),
    "side": ("{photos} {teachers} {new} --side 100", 2, "not a multiple of 16"),
    "start without a model": ("{photos} {teachers} {new} --start {empty}", 2, "holds no model to start from"),
    "start in its own place": (
        "{photos} {teachers} {new} --start {new}/weights/tiny",
        2,
        "would be overwritten",
    ),
    "cut-outs without a start": ("{photos} {teachers} {new} --cut-outs 2", 2, "give --start"),
    "no pass without a start": ("{photos} {teachers} {new} --passes 0", 2, "the model to whiten"),
    "name": ("{photos} {teachers} {new} --name ../../other", 2, "is not one of a model"),
    "licence": ("{photos} {teachers} {new} --licence nothing", 2, "not TAR=LICENCE"),
    "device": ("{photos} {teachers} {new} --device quantum", 2, "quantum"),
    "another recipe": ("{photos} {teachers} {run} --seed 1", 2, "another recipe"),
    "damaged checkpoint": ("{photos} {teachers} {damaged}", 2, "checkpoint.safetensors is damaged"),
}
if not torch.cuda.is_available():
    CASES["no CUDA"] = ("{photos} {teachers} {new} --device cuda", 1, "no CUDA device")


@pytest.fixture(scope="module")
def answers(
    interrupted: tuple[Path, int, str],
    photo_set: Path,
    teachers_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[int, str]]:
    """What the script says of each case; one process for all, because its imports take long."""
    home = tmp_path_factory.mktemp("bad")
    rows = TRAINED + KEPT_OUT
    folders = {
        "photos": photo_set,
        "teachers": teachers_dir,
        "new": home / "new",
        "empty": home / "empty",
        "run": interrupted[0],
        "untrained": write_photo_set(home / "untrained", KEPT_OUT, []),
        "no-tar": write_photo_set(home / "no-tar", rows, [row for row in rows if row.tar != "clothing"]),
        "no-test": write_photo_set(home / "no-test", TRAINED, []),
        "swapped": home / "swapped",
        "cut": home / "cut",
        "damaged": Path(shutil.copytree(interrupted[0], home / "damaged")),
    }
    for name in ("empty", "swapped", "cut"):
        folders[name].mkdir()
    shutil.copy(teachers_dir / DENSENET_FILE, folders["swapped"] / VIT_FILE)
    (folders["cut"] / VIT_FILE).write_bytes((teachers_dir / VIT_FILE).read_bytes()[:100_000])
    os.truncate(folders["damaged"] / "checkpoint.safetensors", 100_000)
    # What a case sets comes last, and counts.
    given = [[*SMALL, *(word.format_map(folders) for word in words.split())] for words, _, _ in CASES.values()]
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        env=environment(home) | {"PYTHONPATH": str(ROOT / "scripts")},
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(CASES, ((code, said) for code, said in json.loads(done.stdout.splitlines()[-1])), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_clear_sentence(answers: dict[str, tuple[int, str]], case: str) -> None:
    code, said = answers[case]
    assert code == CASES[case][1], said
    assert CASES[case][2] in " ".join(said.split()), said
    assert "Traceback" not in said and said.count("error: ") <= 1


def test_refused_runs_lose_nothing(answers: dict[str, tuple[int, str]], interrupted: tuple[Path, int, str]) -> None:
    assert answers["another recipe"][0] == 2
    kept = load_file(interrupted[0] / "checkpoint.safetensors")
    assert any(name.startswith("optimizer.") for name in kept) and any(name.startswith("average.") for name in kept)


def test_a_checkpoint_of_another_shape_is_damaged(tmp_path: Path) -> None:
    origin = Origin(RECIPE, "the same")
    told = {"recipe": origin.lasting(), "digest": "the same", "steps": "3", "seconds": "1", "date": "", "device": ""}
    save_file({"student.weight": torch.zeros(3, 3)}, tmp_path / "checkpoint.safetensors", metadata=told)
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    with pytest.raises(WrongUse, match="is damaged"):
        load_checkpoint(tmp_path, origin, student=model, average=model, optimizer=optimizer)
