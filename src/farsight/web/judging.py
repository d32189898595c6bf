"""The judging page: one picture at a time, each object that any method named in it, and three things to say of it.

Nothing that a request says is a path: pictures are numbers, words are those that the answers have, and which method
named what is on no page but that of the figures.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from threading import Lock
from typing import Any

from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from farsight.errors import FarSightError
from farsight.files import decode_json
from farsight.images import open_frames, open_image
from farsight.judging.answers import Picture
from farsight.judging.desk import Desk
from farsight.judging.judgements import VERDICTS
from farsight.web.fragments import fragment, text_of

SIDE = 1600
"""Longest side of a picture on the page."""
FRAME, FRAMES = 320, 8
"""Side of a video's frames there, and how many are shown."""


def judging_app(desk: Desk) -> Starlette:
    """Make the page, at the root of a server or mounted below a path of one. A `Guard` belongs around it.

    Parameters
    ----------
    desk
        What is judged, and by whom.
    """
    page = _Page(desk)
    routes = [
        Route("/", page.start),
        Route("/picture/{number:int}", page.picture),
        Route("/after/{number:int}", page.after),
        Route("/image/{number:int}", page.image),
        Route("/figures", page.figures),
        Route("/judge", page.judge, methods=["POST"]),
        Route("/merge", page.merge, methods=["POST"]),
        Route("/separate", page.separate, methods=["POST"]),
        Route("/judging.css", lambda _: Response(text_of("judging.css"), media_type="text/css")),
        Route("/judging.js", lambda _: Response(text_of("judging.js"), media_type="text/javascript")),
    ]
    return Starlette(routes=routes)


class _Page:
    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._writing = Lock()
        self._shown = lru_cache(maxsize=32)(lambda number: _jpeg(desk.pictures[number]))

    async def start(self, request: Request) -> Response:
        """Go to the first picture that is not judged; to the figures, if all are."""
        left = await run_in_threadpool(self.desk.left)
        return _to(request, f"picture/{left[0] + 1}" if left else "figures")

    async def picture(self, request: Request) -> Response:
        """Show a picture and what is to be judged."""
        picture = self._picture(request)
        if picture is None:
            return _to(request, "")
        number = request.path_params["number"]
        return HTMLResponse(await run_in_threadpool(self._judged, picture, number, _root(request)))

    async def after(self, request: Request) -> Response:
        """Go on to the next picture that is not judged; to the figures, if this is the last."""
        number = request.path_params["number"]
        left = [one + 1 for one in await run_in_threadpool(self.desk.left) if one + 1 != number]
        following = next((one for one in left if one > number), left[0] if left else None)
        return _to(request, f"picture/{following}" if following else "figures")

    def _judged(self, picture: Picture, number: int, root: str) -> str:
        said = self.desk.verdicts()
        left = self.desk.left()
        return fragment(
            "judging",
            root=root,
            number=number,
            pictures=len(self.desk.pictures),
            judged=len(self.desk.pictures) - len(left),
            objects=[(name, said.get((picture.image_id, name))) for name in self.desk.objects(picture)],
            verdicts=list(enumerate(VERDICTS, start=1)),
            words=self.desk.words,
            judge=self.desk.judge,
        )

    async def image(self, request: Request) -> Response:
        """Give the picture, or the frames of the video, scaled down."""
        if self._picture(request) is None:
            return PlainTextResponse("There is no such picture.", status_code=404)
        try:
            data = await run_in_threadpool(self._shown, request.path_params["number"] - 1)
        except FarSightError:
            return PlainTextResponse("The picture cannot be read.", status_code=404)
        return Response(data, media_type="image/jpeg")

    async def figures(self, request: Request) -> Response:
        """Show what judging says so far. This page alone names methods."""
        return HTMLResponse(await run_in_threadpool(self._figures, _root(request)))

    def _figures(self, root: str) -> str:
        found = self.desk.figures()
        judged, objects = self.desk.known()
        return fragment(
            "judging_figures",
            root=root,
            figures=found,
            baseline=self.desk.answers.methods[0],
            judged=judged,
            objects=objects,
            pictures=len(self.desk.pictures),
            left=len(self.desk.left()),
            kappas=self.desk.kappas(),
            same=sorted(self.desk.merges.read().items(), key=lambda one: (one[1], one[0])),
            judge=self.desk.judge,
        )

    async def judge(self, request: Request) -> Response:
        """Write down a verdict: ``picture``, ``object``, ``verdict``."""
        asked = await _asked(request)
        picture = self._numbered(asked.get("picture"))
        name, verdict = asked.get("object"), asked.get("verdict")
        if picture is None or name not in self.desk.objects(picture) or verdict not in VERDICTS:
            return _refused("There is no such picture, object or verdict: load the page again.")
        return await self._written(self.desk.judge_object, picture, name, verdict)

    async def merge(self, request: Request) -> Response:
        """Let a ``word`` stand for another, ``into``."""
        asked = await _asked(request)
        word, into = asked.get("word"), asked.get("into")
        if not {word, into} <= set(self.desk.words):
            return _refused("That is none of the words here: choose one of the list.")
        return await self._written(self.desk.merges.merge, word, into)

    async def separate(self, request: Request) -> Response:
        """Let a ``word`` stand for itself again."""
        word = (await _asked(request)).get("word")
        if word not in self.desk.merges.read():
            return _refused("That word stands for itself already.")
        return await self._written(self.desk.merges.separate, word)

    async def _written(self, write: Any, *what: Any) -> Response:
        def written() -> int:
            with self._writing:
                write(*what)
            return len(self.desk.left())

        try:
            left = await run_in_threadpool(written)
        except FarSightError as error:
            return _refused(str(error), 500)
        return JSONResponse({"left": left})

    def _picture(self, request: Request) -> Picture | None:
        return self._numbered(request.path_params["number"])

    def _numbered(self, number: Any) -> Picture | None:
        known = isinstance(number, int) and 1 <= number <= len(self.desk.pictures)
        return self.desk.pictures[number - 1] if known else None


def _root(request: Request) -> str:
    """Where the page is mounted; all its links are from there."""
    return f"{request.scope.get('root_path', '')}/"


def _to(request: Request, where: str) -> Response:
    return RedirectResponse(_root(request) + where, status_code=303)


async def _asked(request: Request) -> dict[str, Any]:
    """What the page asks for; the guard has seen that it is JSON of a sensible size."""
    asked = decode_json((await request.body()).decode() or "null")
    found = asked if isinstance(asked, dict) else {}
    return {key: value for key, value in found.items() if isinstance(value, str | int)}


def _refused(why: str, status: int = 400) -> Response:
    return JSONResponse({"error": why}, status_code=status)


def _jpeg(picture: Picture) -> bytes:
    if picture.path.is_dir():
        frames = open_frames(picture.path)
        last = max(len(frames) - 1, 1)
        chosen = sorted({round(number * last / (FRAMES - 1)) for number in range(FRAMES)} & set(range(len(frames))))
        shown = Image.new("RGB", (FRAME * len(chosen), FRAME), "white")
        for place, number in enumerate(chosen):
            frames[number].thumbnail((FRAME, FRAME))
            shown.paste(frames[number], (FRAME * place, 0))
    else:
        shown = open_image(picture.path)
        shown.thumbnail((SIDE, SIDE))
    buffer = BytesIO()
    shown.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
