"""Screening packages, reading what was screened, and reviewing it."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import Parameter

from imagescreen.api.bodies import Submission, read_json, read_submission
from imagescreen.api.paging import After, Limit, Page, page
from imagescreen.api.work import desk_of
from imagescreen.embedding.patience import Patience
from imagescreen.errors import InvalidContent, explained
from imagescreen.screening.answer import Disposition, ScreeningAnswer
from imagescreen.screening.package import SubmittedPicture, package_from_json
from imagescreen.screening.record import NewReview, Review, ScreeningFilter, ScreeningSummary, StoredScreening
from imagescreen.screening.screener import Screened, Screener


class ScreeningController(Controller):
    path = "/v1/screenings"
    tags = ("screenings",)

    @post("/", operation_id="screen_package", summary="Screen a package")
    async def screen(self, request: Request[Any, Any, Any]) -> Response[ScreeningAnswer]:
        """Screens one package and stores the result before it answers.

        201 for a new package; 200 with the stored result when the same (participant, package_id, revision) comes again
        with the same content; 409 when its content differs.
        """
        desk = desk_of(request)
        async with desk.body_slot() as patience:
            submission = await desk.receive(read_submission(request, "package"), patience)
            screened = await desk.answer(request, patience, _screen, desk.bench.screener, submission)
        if screened.created:
            desk.metrics.screening(screened.answer)
        return Response(
            screened.answer,
            status_code=201 if screened.created else 200,
            headers={"Location": f"/v1/screenings/{screened.answer.screening_id}"},
        )

    @get("/", operation_id="list_screenings", summary="List screenings")
    async def list_screenings(
        self,
        request: Request[Any, Any, Any],
        *,
        disposition: Disposition | None = None,
        participant: str | None = None,
        package_id: str | None = None,
        since: Annotated[datetime | None, Parameter(description="Screened at or after this moment.")] = None,
        until: Annotated[datetime | None, Parameter(description="Screened before this moment.")] = None,
        limit: Limit = 50,
        after: After = None,
    ) -> Page[ScreeningSummary]:
        """Newest first, each with the decision of its latest review."""
        for name, moment in (("since", since), ("until", until)):
            if moment is not None and moment.tzinfo is None:
                raise InvalidContent(f"`{name}` needs a time zone, e.g. 2026-01-31T12:00:00Z")
            if moment is not None and not 1900 <= moment.year <= 9998:
                raise InvalidContent(f"`{name}` must lie in the years 1900 to 9998")
        desk = desk_of(request)
        wanted = ScreeningFilter(disposition, participant, package_id, since, until)
        rows = await desk.do(lambda: desk.bench.record.list(wanted, limit=limit + 1, after=after))
        return page(rows, limit, lambda row: row.screening_id)

    @get("/{screening_id:uuid}", operation_id="get_screening", summary="Read a screening")
    async def get_screening(self, request: Request[Any, Any, Any], screening_id: UUID) -> StoredScreening:
        """The stored answer as it was given, the facts as sent, and every review."""
        desk = desk_of(request)
        return await desk.do(desk.bench.record.get, screening_id)

    @post("/{screening_id:uuid}/reviews", operation_id="review_screening", summary="Review a screening")
    async def review(self, request: Request[Any, Any, Any], screening_id: UUID) -> Review:
        """Records a person's decision. Earlier ones stay; the latest counts."""
        desk = desk_of(request)
        try:
            new = msgspec.convert(await desk.receive(read_json(request)), NewReview)
        except msgspec.ValidationError as error:
            told = explained(str(error), NewReview)
            raise InvalidContent(f"review: {told}", errors=(told,)) from None
        return await desk.do(desk.bench.record.review, screening_id, new)


def submitted_pictures(submission: Submission) -> list[SubmittedPicture]:
    return [SubmittedPicture(upload.data, upload.url) for upload in submission.uploads]


def _screen(patience: Patience, screener: Screener, submission: Submission) -> Screened:
    return screener.screen(package_from_json(submission.facts), submitted_pictures(submission), patience)
