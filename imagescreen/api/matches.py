"""Matching pictures without storing anything."""

from typing import Any

from litestar import Controller, Request, post

from imagescreen.api.bodies import Submission, read_submission
from imagescreen.api.screenings import submitted_pictures
from imagescreen.api.work import desk_of
from imagescreen.embedding.patience import Patience
from imagescreen.screening.answer import MatchesAnswer
from imagescreen.screening.screener import Screener


class MatchController(Controller):
    path = "/v1/matches"
    tags = ("screenings",)

    @post("/", operation_id="match_pictures", summary="Match pictures", status_code=200)
    async def match(self, request: Request[Any, Any, Any]) -> MatchesAnswer:
        """The nearest references of each picture. Nothing is stored, and there is no disposition."""
        desk = desk_of(request)
        async with desk.body_slot() as patience:
            submission = await desk.receive(read_submission(request, None), patience)
            answer = await desk.answer(request, patience, _match, desk.bench.screener, submission)
        desk.metrics.stages(answer.elapsed_ms)
        return answer


def _match(patience: Patience, screener: Screener, submission: Submission) -> MatchesAnswer:
    return screener.match(submitted_pictures(submission), patience)
