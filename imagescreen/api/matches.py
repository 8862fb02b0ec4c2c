"""Matching pictures without storing anything."""

from typing import Any

from litestar import Controller, Request, post

from imagescreen.api.bodies import read_submission
from imagescreen.api.screenings import submitted_pictures
from imagescreen.api.work import desk_of
from imagescreen.screening.answer import MatchesAnswer


class MatchController(Controller):
    path = "/v1/matches"
    tags = ("screenings",)

    @post("/", operation_id="match_pictures", summary="Match pictures", status_code=200)
    async def match(self, request: Request[Any, Any, Any]) -> MatchesAnswer:
        """The nearest references of each picture. Nothing is stored, and there is no disposition."""
        desk = desk_of(request)
        async with desk.body_slot():
            submission = await desk.receive(read_submission(request, None))
            answer = await desk.do(desk.bench.screener.match, submitted_pictures(submission))
        desk.metrics.stages(answer.elapsed_ms)
        return answer
