"""An upgrade whose built-in model has another name: one command brings over what was made with the former one."""

import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from imagescreen.errors import FingerprintMismatch, IndexUnavailable, Unavailable
from imagescreen.jobs.activation import activate
from imagescreen.jobs.background import add_background
from imagescreen.jobs.calibrate import calibrate
from imagescreen.jobs.reindex import rebuild, reindex
from imagescreen.jobs.workbench import open_store, open_workbench
from imagescreen.references.enrolment import NewPicture, NewReference
from imagescreen.references.hash_import import HashOffer, HashReport, import_hashes
from imagescreen.screening.package import Package, SubmittedPicture
from imagescreen.screening.policy import read_policy
from imagescreen.settings import BUILT_IN_MODEL
from tests.conftest import ROOT, Service, script, serving, settings_of
from tests.jobs.calibrated import ordinary, state
from tests.jobs.test_change_model import current
from tests.material import edited_product, facts, new_reference, product
from tests.model_variant import install_former

POLICY = '[rates]\nreview = 0.2\nhold = 0.05\n[words]\nshare = 0.5\n[near_copies]\nnear_copy = "review"\n'
ORDINARY = 40
WORDS = ("a photo of a watch",)
SHARED = product(8)
"""A picture of which a partner told the hash alone."""
THE_COMMAND = ["reindex.py", "--model", BUILT_IN_MODEL]


@pytest.fixture(scope="module")
def former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that a catalogue may hold, made with a model that this release does not have."""
    home = tmp_path_factory.mktemp("former")
    (home / "policy.toml").write_text(POLICY)
    weights = install_former(ROOT / "weights", home / "weights")
    told = {"policy_file": home / "policy.toml", "weights_dir": weights, "model": "former", "torch_threads": 1}
    with open_workbench(settings_of(home, **told)) as bench:
        bench.enrolment.add([new_reference(1, title="Acme tote"), new_reference(2, 3, title="Acme wallet")])
        bench.enrolment.add_one(NewReference(facts("Watch", category="prohibited", words=WORDS), []))
        partner = facts("Shared", source="partner", source_reference="1")
        shared = HashOffer("row 1", partner, hashlib.sha256(SHARED).hexdigest(), None, None)
        import_hashes(bench.database, [shared], HashReport())
        calibrate(bench, ordinary(ORDINARY), total=ORDINARY, source="test", built_by="test")
        shelf = [NewPicture(f"{n}.jpg", product(3000 + n)) for n in range(4)]
        add_background(bench, shelf, total=len(shelf), source="test")
        reindex(bench, built_by="test")
        bench.screener.screen(Package(package_id="EARLIER"), [SubmittedPicture(data=edited_product(1))])
    shutil.rmtree(weights)
    return home


@pytest.fixture
def home(former: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(former, tmp_path / "home"))


def command_in(told: str) -> list[str]:
    """The one command that a message names."""
    [command] = re.findall(r"scripts/(\S+[^`]*)", told)
    return str(command).split()


def best_match(service: Service, picture: bytes) -> dict[str, Any]:
    answer = service.client.post("/v1/matches", files=[("pictures", ("a.jpg", picture))]).json()
    match: dict[str, Any] = answer["pictures"][0]["matches"][0]
    return match


@pytest.mark.parametrize("arguments", [[], ["--sample", "--workers", "2"]])
def test_a_server_does_not_start_and_names_the_one_command(former: Path, arguments: list[str]) -> None:
    before = current(former)
    # What the operator configured for the former release may still be there.
    done = script("serve.py", "--port", "0", *arguments, home=former, model="former")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert before[0] in done.stderr and "'former'" in done.stderr
    assert command_in(done.stderr) == THE_COMMAND
    assert (done.stdout, current(former)) == ("", before)


def test_what_needs_the_current_model_is_refused_with_the_same_command(home: Path) -> None:
    with open_store(settings_of(home)) as store:
        with pytest.raises(FingerprintMismatch) as of_rebuild:
            rebuild(store, read_policy(None), built_by="test")
        with pytest.raises(FingerprintMismatch) as of_rollback:
            activate(store, current(home)[0], actor="test")
    with open_workbench(settings_of(home, policy_file=home / "policy.toml")) as bench:
        before = state(bench)
        with pytest.raises(FingerprintMismatch) as of_calibration:
            calibrate(bench, ordinary(30, first=4000), total=30, source="test", built_by="test")
        assert state(bench) == before
    for caught in (of_rebuild, of_rollback, of_calibration):
        assert command_in(caught.value.detail) == THE_COMMAND


def test_the_command_brings_everything_over_and_nobody_is_asked(home: Path) -> None:
    policy = str(home / "policy.toml")
    told = script("serve.py", "--port", "0", home=home).stderr
    done = script(*command_in(told), home=home, model="former", policy_file=policy)
    assert done.returncode == 0, done.stderr
    assert current(home)[1] == BUILT_IN_MODEL
    with serving(home, model="former", policy_file=policy) as service:
        index = service.client.get("/v1/index").json()
        assert (index["model"]["name"], index["references"], index["pictures"]) == (BUILT_IN_MODEL, 2, 3)
        assert (index["pictures_without_vector"], index["problem"]) == (0, None)
        assert index["thresholds"]["packages"] == ORDINARY and index["normalisation"]["pictures"] == 4
        assert (index["words"]["references"], index["words"]["problem"]) == (1, None)
        for seed, title in ((1, "Acme tote"), (2, "Acme wallet"), (3, "Acme wallet")):
            assert best_match(service, edited_product(seed))["title"] == title
        shared = best_match(service, SHARED)
        assert (shared["title"], shared["kind"]) == ("Shared", "same_picture")
        # What was answered stays, with the model that answered it.
        [earlier] = service.client.get("/v1/screenings").json()["items"]
        answer = service.client.get(f"/v1/screenings/{earlier['screening_id']}").json()
        assert (answer["package_id"], answer["model"]["name"]) == ("EARLIER", "former")
        assert answer["pictures"][0]["matches"][0]["title"] == "Acme tote"


def test_a_process_that_cannot_know_better_screens_and_adds_nothing_and_names_the_command(home: Path) -> None:
    with open_workbench(settings_of(home)) as bench:
        with pytest.raises(IndexUnavailable, match="was refused") as caught:
            bench.screener.match([SubmittedPicture(data=product(1))])
        assert command_in(str(caught.value)) == THE_COMMAND
        with pytest.raises(Unavailable) as refused:
            bench.enrolment.add_one(new_reference(9))
        assert command_in(refused.value.detail) == THE_COMMAND


def test_an_older_version_of_a_model_that_is_there_serves_with_a_warning(home: Path) -> None:
    install_former(ROOT / "weights", home / "weights")
    with open_workbench(settings_of(home, weights_dir=home / "weights")) as bench:
        old = reindex(bench, model=BUILT_IN_MODEL, built_by="test").manifest.version
        new = reindex(bench, model="former", built_by="test").manifest.version
    with serving(home) as service:
        index = service.client.get("/v1/index").json()
        assert (index["version"], index["current_version"]) == (old, new)
        assert command_in(index["problem"].split(";")[0]) == THE_COMMAND


def test_a_setting_that_names_a_model_which_is_gone_is_told_the_built_in_one(tmp_path: Path) -> None:
    done = script("serve.py", "--port", "0", home=tmp_path, model="former")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert "no model 'former'" in done.stderr and f"{BUILT_IN_MODEL} (built in)" in done.stderr
