"""What genuine and not_goods references do to the matches that they beat."""

from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from imagescreen.calibration.scale import Scale
from imagescreen.calibration.thresholds import Rate, Rates, Support, ThresholdPair, Thresholds
from imagescreen.matching import Neighbour
from imagescreen.screening.answer import Disposition, Exceeds, Match, MatchKind, PictureResult, PictureStatus
from imagescreen.screening.disposition import decide
from imagescreen.screening.matches import ReferenceInfo, ranked_matches
from imagescreen.screening.policy import SuppressionRules, read_policy
from imagescreen.screening.suppression import weighed

POLICY = read_policy(None)
RULES = SuppressionRules(not_goods_margin=0.05, genuine_margin=0.02)
FAKE, GENUINE, BANNER = uuid4(), uuid4(), uuid4()


def info(kind: str, *look_alikes: UUID) -> ReferenceInfo:
    category = "counterfeit" if kind == "known_item" else None
    return ReferenceInfo(kind, kind, category, "hold", frozenset(look_alikes))


REFERENCES = {FAKE: info("known_item"), GENUINE: info("genuine"), BANNER: info("not_goods")}


def match(
    reference_id: UUID, score: float, exceeds: Exceeds | None = None, kind: MatchKind = MatchKind.RESEMBLES
) -> Match:
    return Match(
        reference_id=reference_id,
        reference_picture_id=1,
        title=REFERENCES[reference_id].title,
        category=REFERENCES[reference_id].category,
        kind=kind,
        similarity=score,
        score=score,
        thresholds=ThresholdPair(review=0.5, hold=0.7),
        exceeds=exceeds,
    )


def fake_beside(*others: Match, kind: MatchKind = MatchKind.RESEMBLES, named: tuple[UUID, ...] = ()) -> Match:
    """The match with a counterfeit of score 0.8, beside others."""
    references = REFERENCES | {FAKE: info("known_item", *named)}
    matches = [*others, match(FAKE, 0.8, Exceeds.HOLD, kind)]
    return weighed(matches, references, RULES)[-1]


def disposition(*matches: Match, action: str = "hold") -> tuple[Disposition, list[str]]:
    actions = {one.reference_id: action for one in matches}
    picture = PictureResult(0, PictureStatus.SCREENED, matches=list(matches))
    decision = decide([picture], POLICY, actions=actions, calibrated=True)
    return decision.disposition, [reason.code.value for reason in decision.reasons]


def test_a_placeholder_that_beats_a_match_clearly_suppresses_it_and_says_so() -> None:
    banner = match(BANNER, 0.86)
    suppressed = fake_beside(banner)
    assert (suppressed.suppressed_by, suppressed.exceeds) == (BANNER, Exceeds.HOLD)
    assert disposition(banner, suppressed) == (Disposition.CLEAR, ["suppressed_by_not_goods"])
    assert fake_beside(match(BANNER, 0.84)).suppressed_by is None


def test_a_genuine_picture_that_beats_a_match_lowers_it_to_review_and_never_clears_it() -> None:
    genuine = match(GENUINE, 0.99)
    lowered = fake_beside(genuine)
    assert (lowered.lowered_by, lowered.suppressed_by) == (GENUINE, None)
    assert disposition(genuine, lowered) == (Disposition.REVIEW, ["resembles_reference", "lowered_by_genuine"])
    assert fake_beside(match(GENUINE, 0.81)).lowered_by is None


def test_a_counterfeit_that_names_the_genuine_item_as_its_look_alike_is_still_held() -> None:
    genuine = match(GENUINE, 0.99)
    assert disposition(genuine, fake_beside(genuine, named=(GENUINE,)))[0] is Disposition.HOLD
    other = uuid4()
    assert fake_beside(genuine, named=(other,)).lowered_by == GENUINE


def test_a_genuine_item_that_names_the_counterfeit_still_lowers_it() -> None:
    references = REFERENCES | {GENUINE: info("genuine", FAKE)}
    matches = [match(GENUINE, 0.99), match(FAKE, 0.8, Exceeds.HOLD)]
    assert weighed(matches, references, RULES)[1].lowered_by == GENUINE


def test_copies_of_a_known_item_are_never_suppressed_and_the_same_file_is_not_even_lowered() -> None:
    banner, genuine = match(BANNER, 0.99), match(GENUINE, 0.99)
    near = fake_beside(banner, genuine, kind=MatchKind.NEAR_COPY)
    assert (near.suppressed_by, near.lowered_by) == (None, GENUINE)
    same = fake_beside(banner, genuine, kind=MatchKind.SAME_PICTURE)
    assert (same.suppressed_by, same.lowered_by) == (None, None)
    assert disposition(banner, genuine, same) == (Disposition.HOLD, ["same_picture_as_reference"])


def test_a_match_by_words_is_suppressed_or_lowered_by_copies_alone() -> None:
    fits = MatchKind.DESCRIBED
    for kind in (MatchKind.SAME_PICTURE, MatchKind.NEAR_COPY):
        banner, genuine = match(BANNER, 0.99, kind=kind), match(GENUINE, 0.99, kind=kind)
        suppressed = fake_beside(banner, kind=fits)
        assert suppressed.suppressed_by == BANNER
        assert disposition(banner, suppressed) == (Disposition.CLEAR, ["suppressed_by_not_goods"])
        lowered = fake_beside(genuine, kind=fits)
        assert (lowered.suppressed_by, lowered.lowered_by) == (None, GENUINE)
        assert disposition(genuine, lowered) == (Disposition.REVIEW, ["fits_words_of_reference", "lowered_by_genuine"])
        assert fake_beside(genuine, kind=fits, named=(GENUINE,)).lowered_by is None
    # Scores of pictures say nothing beside one by words.
    beside = fake_beside(match(BANNER, 0.99), match(GENUINE, 0.99), kind=fits)
    assert (beside.suppressed_by, beside.lowered_by) == (None, None)


def test_what_suppresses_a_match_is_listed_however_many_are_nearer() -> None:
    ids = [uuid4() for _ in range(8)]
    kinds = ["genuine"] * 6 + ["not_goods", "known_item"]
    references = {one: info(kind) for one, kind in zip(ids, kinds, strict=True)}
    neighbours = [Neighbour(rank, one, 0.99 - 0.01 * rank) for rank, one in enumerate(ids[:-1])]
    neighbours.append(Neighbour(9, ids[-1], 0.8))
    rates = Rates(review=0.01, hold=0.001)
    promised = Support(Rate(rates.review, None, None), Rate(rates.hold, None, None))
    thresholds = Thresholds(
        packages=1000,
        pictures=1000,
        fingerprint="x",
        background=None,
        rates=rates,
        shares={},
        divided_review=False,
        divided_hold=False,
        overall=ThresholdPair(review=0.5, hold=0.7),
        categories={},
        support={},
        total=promised,
    )
    scale = Scale(thresholds=thresholds)
    matches = ranked_matches(neighbours, references, scale, term=0.2, copies=(), fits=(), wishes=POLICY.wishes, limit=2)
    assert [one.reference_id for one in matches] == [ids[0], ids[1], ids[6], ids[7]]
    assert matches[-1].suppressed_by == ids[6]


scores = st.floats(-1, 1)


@given(scores, scores, scores, st.sampled_from(MatchKind), st.sampled_from([None, *Exceeds]), st.booleans())
def test_only_no_goods_ever_clears_and_genuine_never_does(
    fake: float, genuine: float, banner: float, kind: MatchKind, exceeds: Exceeds | None, with_banner: bool
) -> None:
    others = [match(GENUINE, genuine), *([match(BANNER, banner)] if with_banner else [])]
    matches = weighed([*others, match(FAKE, fake, exceeds, kind)], REFERENCES, RULES)
    result, codes = disposition(*matches)
    if exceeds is None:
        assert (result, codes) == (Disposition.CLEAR, [])
        return
    cleared = with_banner and kind is MatchKind.RESEMBLES and banner > fake + RULES.not_goods_margin
    assert (result is Disposition.CLEAR) == cleared
    assert codes
    if result is Disposition.HOLD:
        assert exceeds is Exceeds.HOLD
