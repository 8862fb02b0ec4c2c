from pathlib import Path

import pytest

from imagescreen.errors import BrokenInstallation
from imagescreen.screening.answer import PictureStatus
from imagescreen.screening.policy import WhenIncomplete, read_policy

OWN = """
[rates]
review = 0.02
hold = 0.002
[shares]
recalled = 3
[normalisation]
beta = 1
[incomplete]
too_small = "review"
"""


def test_the_built_in_policy_reviews_what_a_sender_could_have_broken() -> None:
    incomplete = read_policy(None).wishes.incomplete
    for status in ("unreadable", "too_large", "unsupported_format", "unavailable"):
        assert incomplete.of(PictureStatus(status)) is WhenIncomplete.REVIEW
    for status in ("low_information", "too_small"):
        assert incomplete.of(PictureStatus(status)) is WhenIncomplete.CLEAR


def test_a_policy_of_ones_own_is_read_and_has_a_version_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(OWN)
    policy = read_policy(path)
    assert policy.wishes.rates.review == 0.02
    assert policy.wishes.shares == {"recalled": 3}
    assert (policy.wishes.normalisation.beta, policy.wishes.normalisation.k) == (1, 3)
    assert policy.wishes.incomplete.of(PictureStatus.TOO_SMALL) is WhenIncomplete.REVIEW
    assert policy.version != read_policy(None).version
    path.write_text(f"# a comment changes nothing\n{OWN}")
    assert read_policy(path).version == policy.version


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "rates"),
        ("[rates]\nreview = 2\nhold = 1", "rates"),
        ("[rates]\nreview = 0.001\nhold = 0.01", "rates"),
        (OWN + 'colour = "review"', "colour"),
        (OWN.replace('"review"', '"hold"'), "hold"),
        (OWN.replace("recalled = 3", "recalled = 0"), "shares"),
        (OWN.replace("beta = 1", "beta = -1"), "normalisation"),
        (OWN.replace("beta = 1", "k = 0"), "normalisation"),
        ("[rates]\nreview = 0.1\nhold = 0.01\n[category_rates.x]\nreview = 0.1\nhold = 0.1", "category_rates"),
        ("[rates", "policy"),
    ],
)
def test_a_wrong_policy_is_refused_in_one_sentence(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(BrokenInstallation, match=named):
        read_policy(path)


def test_a_policy_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BrokenInstallation, match=r"missing\.toml"):
        read_policy(tmp_path / "missing.toml")
