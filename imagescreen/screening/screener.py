"""The whole line for one package: bytes, pictures, vectors, matches, disposition, record."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from uuid_utils.compat import uuid7

from imagescreen.database.feed import now
from imagescreen.database.files import PictureFiles
from imagescreen.database.vectors import to_blob
from imagescreen.embedding.cache import Outcome, VectorCache
from imagescreen.embedding.model_config import Pixels
from imagescreen.embedding.patience import Patience
from imagescreen.errors import (
    InvalidContent,
    PictureProblem,
    PictureTooLarge,
    PictureUnavailable,
)
from imagescreen.matching import SharedSearch
from imagescreen.pictures import PictureHash, PictureHeader, PictureReader
from imagescreen.screening.answer import (
    Disposition,
    ElapsedMs,
    IndexInfo,
    Match,
    MatchesAnswer,
    ModelInfo,
    PictureResult,
    PictureStatus,
    PolicyInfo,
    ScreeningAnswer,
)
from imagescreen.screening.disposition import Decision, decide
from imagescreen.screening.known_hashes import KnownHashes
from imagescreen.screening.known_hashes import to_blob as hash_to_blob
from imagescreen.screening.known_matches import KnownMatches
from imagescreen.screening.matches import Found, ReferenceInfo, ReferenceLookup, find_matches
from imagescreen.screening.near_copies import find_copies
from imagescreen.screening.package import Package, SubmittedPicture, check_positions, content_hash
from imagescreen.screening.policy import Policy
from imagescreen.screening.record import PictureRecord, ScreeningRecord
from imagescreen.serving.embed import embed_each, prepare_and_hash
from imagescreen.serving.state import Served, Serving
from imagescreen.settings import KeepPictures


@dataclass(frozen=True, slots=True)
class Screened:
    """`created` is false when the same submission was answered before: `answer` is then the stored one."""

    answer: ScreeningAnswer
    created: bool


@dataclass(frozen=True, slots=True)
class _Seen:
    """One submitted picture before decoding: its header, or the problem that leaves it unscreened."""

    position: int
    sha256: str | None
    header: PictureHeader | None
    problem: PictureProblem | None


@dataclass(frozen=True, slots=True)
class _Matched:
    results: list[PictureResult]
    vectors: Mapping[int, NDArray[np.float32]]
    hashes: Mapping[int, PictureHash]
    references: Mapping[UUID, ReferenceInfo]
    elapsed: ElapsedMs


class Screener:
    def __init__(
        self,
        *,
        serving: Serving,
        reader: PictureReader,
        lookup: ReferenceLookup,
        record: ScreeningRecord,
        files: PictureFiles,
        cache: VectorCache,
        hashes: KnownHashes | None,
        policy: Policy,
        max_pictures: int,
        max_package_pixels: int,
        matches_limit: int,
        keep_pictures: KeepPictures,
        decode_threads: int,
    ) -> None:
        self._serving = serving
        self._reader = reader
        self._lookup = lookup
        self._record = record
        self._files = files
        self._cache = cache
        self._hashes = hashes
        self._policy = policy
        self._max_pictures = max_pictures
        self._max_package_pixels = max_package_pixels
        self._matches_limit = matches_limit
        self._keep = keep_pictures
        self._search = SharedSearch()
        self._known = KnownMatches()
        self._decoders = ThreadPoolExecutor(decode_threads, thread_name_prefix="decode")

    def screen(
        self, package: Package, pictures: Sequence[SubmittedPicture], patience: Patience | None = None
    ) -> Screened:
        """Screens a package; its record is durable when this returns.

        Raises InvalidContent, Conflict (other content under the same key), Overloaded, IndexUnavailable, CallerGone;
        nothing is recorded then. One bad picture never fails the package.
        """
        started = time.perf_counter()
        patience = patience or Patience()
        self._check_count(pictures)
        check_positions(package, len(pictures))
        content = content_hash(package, pictures)
        earlier = self._record.find(package, content)
        if earlier is not None:
            return Screened(earlier, created=False)
        served = self._serving.require_index()
        matched = self._match(served, pictures, started, patience)
        decision = self._decide(served, matched)
        answer = ScreeningAnswer(
            screening_id=uuid7(),
            package_id=package.package_id,
            revision=package.revision,
            participant=package.participant,
            screened_at=now(),
            disposition=decision.disposition,
            flagged=decision.disposition.flagged,
            incomplete=decision.incomplete,
            reasons=decision.reasons,
            pictures=matched.results,
            model=_model_info(served),
            index=_index_info(served),
            policy=PolicyInfo(self._policy.version),
            elapsed_ms=matched.elapsed,
        )
        keep = self._keep is KeepPictures.ALL or (self._keep is KeepPictures.FLAGGED and answer.flagged)
        patience.check()
        records = [self._picture_record(result, pictures, matched, keep) for result in matched.results]
        stored = self._record.add(answer, package, content, records)
        return Screened(stored, created=stored.screening_id == answer.screening_id)

    def match(self, pictures: Sequence[SubmittedPicture], patience: Patience | None = None) -> MatchesAnswer:
        """Matches of pictures; nothing is stored. Raises InvalidContent, Overloaded, IndexUnavailable, CallerGone."""
        started = time.perf_counter()
        self._check_count(pictures)
        if not pictures:
            raise InvalidContent("there are no pictures: send at least one")
        served = self._serving.require_index()
        matched = self._match(served, pictures, started, patience or Patience())
        return MatchesAnswer(
            pictures=matched.results,
            model=_model_info(served),
            index=_index_info(served),
            elapsed_ms=matched.elapsed,
        )

    def disposition(self, pictures: Sequence[SubmittedPicture]) -> Disposition:
        """What a package with these pictures would get now; nothing is stored.

        Raises InvalidContent, Overloaded, IndexUnavailable.
        """
        self._check_count(pictures)
        served = self._serving.require_index()
        return self._decide(served, self._match(served, pictures, time.perf_counter(), Patience())).disposition

    def close(self) -> None:
        self._decoders.shutdown()

    def _check_count(self, pictures: Sequence[SubmittedPicture]) -> None:
        if len(pictures) > self._max_pictures:
            raise InvalidContent(f"{len(pictures)} pictures are too many: at most {self._max_pictures} are allowed")

    def _decide(self, served: Served, matched: _Matched) -> Decision:
        return decide(
            matched.results,
            self._policy,
            actions={reference_id: info.suggested_action for reference_id, info in matched.references.items()},
            calibrated=served.thresholds is not None,
        )

    def _match(
        self, served: Served, pictures: Sequence[SubmittedPicture], started: float, patience: Patience
    ) -> _Matched:
        seen = self._see(pictures)
        vectors, problems, decoded = self._embed(served, pictures, seen, patience)
        embedded_at = time.perf_counter()
        hashes, undecodable = self._hashes_of(
            [item for item in seen if item.position in vectors], pictures, served.batcher.encoder.input_side
        )
        # What happens to be remembered must not change an answer: where nobody knew its vector, the picture would not
        # be screened either. To screen it and not look for copies of it would leave out half without a word.
        problems |= undecodable
        vectors = {position: vector for position, vector in vectors.items() if position not in undecodable}
        seen = [replace(item, problem=problems.get(item.position, item.problem)) for item in seen]
        found = self._find(served, seen, vectors, hashes)
        results = [_result(item, found.matches.get(item.position, ())) for item in seen]
        searched = time.perf_counter()
        elapsed = ElapsedMs(
            decode=_ms(decoded - started),
            embed=_ms(embedded_at - decoded),
            search=_ms(searched - embedded_at),
            total=_ms(searched - started),
        )
        return _Matched(results, vectors, hashes, found.references, elapsed)

    def _find(
        self,
        served: Served,
        seen: Sequence[_Seen],
        vectors: Mapping[int, NDArray[np.float32]],
        hashes: Mapping[int, PictureHash],
    ) -> Found:
        """What the pictures match, looked for only where nobody remembers it."""
        # Of every file, whatever became of it: one that cannot be decoded here is still the one that a partner named.
        files = {item.position: item.sha256 for item in seen if item.sha256 is not None}
        embedded = {position: files[position] for position in vectors}
        known = self._known.of(served.generation, embedded)
        found = find_matches(
            served,
            self._lookup,
            {position: vector for position, vector in vectors.items() if position not in known.matches},
            copies=find_copies(
                served.hashes,
                {at: (sha256, hashes.get(at)) for at, sha256 in files.items() if at not in known.matches},
                self._policy.wishes.near_copies,
            ),
            wishes=self._policy.wishes,
            limit=self._matches_limit,
            search=self._search,
        )
        self._known.note(served.generation, embedded, found)
        return Found({**known.matches, **found.matches}, {**known.references, **found.references})

    def _hashes_of(
        self, seen: Sequence[_Seen], pictures: Sequence[SubmittedPicture], input_side: int
    ) -> tuple[dict[int, PictureHash], dict[int, PictureProblem]]:
        """PDQ hashes of embedded pictures by position, and the problems of those that had to be decoded for it and
        cannot be; neither without the extra.
        """
        if self._hashes is None:
            return {}, {}
        known = [
            (item.position, item.header, data)
            for item in seen
            if item.header is not None and (data := pictures[item.position].data) is not None
        ]
        hashes: dict[int, PictureHash] = {}
        problems: dict[int, PictureProblem] = {}
        outcomes = self._hashes.of([(header, data) for _, header, data in known], reduce_to=input_side)
        for (position, _, _), outcome in zip(known, outcomes, strict=True):
            if isinstance(outcome, PictureProblem):
                problems[position] = outcome
            else:
                hashes[position] = outcome
        return hashes, problems

    def _see(self, pictures: Sequence[SubmittedPicture]) -> list[_Seen]:
        """Reads headers first, so that the pixels of the whole package are known before any is decoded."""
        seen: list[_Seen] = []
        pixels = 0
        for position, picture in enumerate(pictures):
            if picture.data is None:
                problem = PictureUnavailable("fetching pictures by URL is not enabled: send the picture's bytes")
                seen.append(_Seen(position, None, None, problem))
                continue
            try:
                header = self._reader.header(picture.data, sha256=picture.sha256)
                if pixels + header.width * header.height > self._max_package_pixels:
                    raise PictureTooLarge(
                        f"with {header.width} x {header.height} pixels the package's pictures together exceed "
                        f"{self._max_package_pixels} pixels"
                    )
            except PictureProblem as problem:
                seen.append(_Seen(position, picture.sha256, None, problem))
            else:
                pixels += header.width * header.height
                seen.append(_Seen(position, header.sha256, header, None))
        return seen

    def _embed(
        self, served: Served, pictures: Sequence[SubmittedPicture], seen: Sequence[_Seen], patience: Patience
    ) -> tuple[dict[int, NDArray[np.float32]], dict[int, PictureProblem], float]:
        """Vectors and problems by position, and the moment at which the last picture was decoded."""
        wanted = [(item, item.header) for item in seen if item.header is not None]
        decoded = time.perf_counter()

        def compute(chosen: Sequence[int]) -> list[Outcome]:
            nonlocal decoded
            prepared = self._prepare_each(
                served, [(pictures[item.position], header) for item, header in (wanted[i] for i in chosen)], patience
            )
            decoded = time.perf_counter()
            sound = [one for one in prepared if not isinstance(one, PictureProblem)]
            embedded = iter(embed_each(served.batcher, sound, patience))
            return [one if isinstance(one, PictureProblem) else next(embedded) for one in prepared]

        fingerprint = served.batcher.encoder.fingerprint
        keys = [(fingerprint, header.sha256) for _, header in wanted]
        outcomes = self._cache.outcomes(keys, compute, patience)
        vectors: dict[int, NDArray[np.float32]] = {}
        problems: dict[int, PictureProblem] = {}
        for (item, _), outcome in zip(wanted, outcomes, strict=True):
            if isinstance(outcome, PictureProblem):
                problems[item.position] = outcome
            else:
                vectors[item.position] = outcome
        return vectors, problems, decoded

    def _prepare_each(
        self, served: Served, chosen: Sequence[tuple[SubmittedPicture, PictureHeader]], patience: Patience
    ) -> list[Pixels | PictureProblem]:
        def prepared(picture: SubmittedPicture, header: PictureHeader) -> Pixels | PictureProblem:
            assert picture.data is not None
            patience.check()
            hasher = None if self._hashes is None else self._hashes.hasher
            try:
                pixels, pdq = prepare_and_hash(self._reader, served.batcher.encoder, hasher, picture.data, header)
            except PictureProblem as problem:
                return problem
            if self._hashes is not None and pdq is not None:
                self._hashes.note(header.sha256, pdq)
            return pixels

        futures = [self._decoders.submit(prepared, picture, header) for picture, header in chosen]
        try:
            return [patience.result_of(future) for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def _picture_record(
        self, result: PictureResult, pictures: Sequence[SubmittedPicture], matched: _Matched, keep: bool
    ) -> PictureRecord:
        data = pictures[result.position].data
        vector = matched.vectors.get(result.position)
        pdq = matched.hashes.get(result.position)
        stored = keep and data is not None and result.sha256 is not None
        if stored and data is not None and result.sha256 is not None:
            self._files.put(result.sha256, data)
        return PictureRecord(
            position=result.position,
            status=result.status.value,
            sha256=result.sha256,
            size_bytes=None if data is None else len(data),
            width=result.width,
            height=result.height,
            vector=None if vector is None else to_blob(vector),
            pdq=None if pdq is None else hash_to_blob(pdq),
            stored=stored,
        )


def _result(seen: _Seen, matches: Sequence[Match]) -> PictureResult:
    return PictureResult(
        position=seen.position,
        status=PictureStatus.SCREENED if seen.problem is None else PictureStatus(seen.problem.code),
        sha256=seen.sha256,
        width=None if seen.header is None else seen.header.width,
        height=None if seen.header is None else seen.header.height,
        matches=list(matches),
        problem=None if seen.problem is None else seen.problem.problem(),
    )


def _model_info(served: Served) -> ModelInfo:
    return ModelInfo(served.batcher.encoder.name, served.snapshot.fingerprint)


def _index_info(served: Served) -> IndexInfo:
    snapshot = served.snapshot
    return IndexInfo(snapshot.version, snapshot.sequence, snapshot.reference_count)


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 2)
