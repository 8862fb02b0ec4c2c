"""Vectors that are kept between evaluations."""

from pathlib import Path

import numpy as np
import pytest

from imagescreen.embedding.encoder import load_encoder
from imagescreen.errors import WrongUse
from imagescreen.evaluation.embedded import Embedder, check_apart
from imagescreen.evaluation.kept_vectors import keep_vectors, read_vectors
from imagescreen.evaluation.labelled import LabelledPicture, Role
from imagescreen.pictures import DecodingBudget, PictureLimits, PictureReader
from imagescreen.settings import BUILT_IN_MODEL, Device, DType
from tests.conftest import ROOT
from tests.material import blank, product

UNIT = np.eye(4, dtype=np.float32)


def picture(name: str, data: bytes, role: Role = Role.ORDINARY) -> LabelledPicture:
    return LabelledPicture(name, role, "", name, lambda: data)


def test_what_is_kept_is_not_embedded_again_and_each_picture_keeps_its_own_fate(tmp_path: Path) -> None:
    encoder = load_encoder(BUILT_IN_MODEL, ROOT / "weights", dtype=DType.AUTO, device=Device.AUTO, threads=1)
    reader = PictureReader(PictureLimits(1 << 20, 1 << 22, 32), DecodingBudget(1 << 24, 1))
    pictures = [
        picture("1", product(1)),
        picture("blank", blank()),
        picture("2", product(2)),
        picture("no", b"a text"),
    ]
    embedder = Embedder(reader, encoder, 2, lambda *_: None)
    first = embedder.embed(pictures)
    assert [item.name for item in first.pictures] == ["1", "2"]
    assert [name for name, _ in first.rejected] == ["blank", "no"]
    assert np.linalg.norm(first.vectors, axis=1) == pytest.approx(1, abs=1e-5)
    keep_vectors(tmp_path / "v.npz", embedder.known, fingerprint=encoder.fingerprint)

    known = read_vectors(tmp_path / "v.npz", fingerprint=encoder.fingerprint, dimension=encoder.dimension)
    assert known.keys() == set(first.sha256)
    # Another vector in its place shows where the second run takes its vectors from.
    known[first.sha256[0]] = known[first.sha256[1]]
    again = Embedder(reader, encoder, 1, lambda *_: None, known).embed([*pictures, picture("3", product(3))])
    assert (again.vectors[0] == first.vectors[1]).all() and (again.vectors[1] == first.vectors[1]).all()
    assert len(again.pictures) == 3 and again.rejected == first.rejected


def test_vectors_of_another_model_or_another_kind_of_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "v.npz"
    assert read_vectors(file, fingerprint="a", dimension=4) == {}
    keep_vectors(file, {"x": UNIT[0]}, fingerprint="a")
    assert (read_vectors(file, fingerprint="a", dimension=4)["x"] == UNIT[0]).all()
    with pytest.raises(WrongUse, match="of the model a, not of b"):
        read_vectors(file, fingerprint="b", dimension=4)
    keep_vectors(file, {"x": UNIT[0] * 2}, fingerprint="a")
    with pytest.raises(WrongUse, match="not sound"):
        read_vectors(file, fingerprint="a", dimension=4)
    np.savez(file, fingerprint=np.array("a"), sha256=np.array([{}], object), vectors=UNIT[:1])
    with pytest.raises(WrongUse, match="no kept vectors"):
        read_vectors(file, fingerprint="a", dimension=4)
    file.write_bytes(b"PK\x03\x04 not a file of arrays")
    with pytest.raises(WrongUse, match="no kept vectors"):
        read_vectors(file, fingerprint="a", dimension=4)


def test_one_file_in_two_roles_is_refused_but_a_copy_of_a_reference_may_be_looked_for() -> None:
    encoder = load_encoder(BUILT_IN_MODEL, ROOT / "weights", dtype=DType.AUTO, device=Device.AUTO, threads=1)
    reader = PictureReader(PictureLimits(1 << 20, 1 << 22, 32), DecodingBudget(1 << 24, 1))

    def embedded(*roles: Role) -> None:
        pictures = [picture(role.value, product(1), role) for role in roles]
        check_apart(Embedder(reader, encoder, 1, lambda *_: None).embed(pictures))

    embedded(Role.REFERENCE, Role.QUERY)
    for pair in ((Role.BACKGROUND, Role.REFERENCE), (Role.ORDINARY, Role.BACKGROUND), (Role.QUERY, Role.ORDINARY)):
        with pytest.raises(WrongUse, match="the same file"):
            embedded(*pair)
