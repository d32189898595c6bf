"""Uploads on their way in.

Gradio's own route names a file by its bytes, so that two visitors who upload the same ones share it and the first
takes it away from the second; and it takes as many as come. This one stands in its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from farsight.web.limits import Limits

UPLOAD_SECONDS = 120.0
"""Within which a file has to be there as a whole."""
BUSY = "Too many files are being uploaded at once; try again in a minute."


class Receiver:
    """Takes uploads from the network.

    Parameters
    ----------
    store
        Writes a file by its name and its bytes, and gives its path.
    limits
        How many are taken at once.
    """

    def __init__(self, store: Callable[[str, bytes], object], limits: Limits) -> None:
        self.store = store
        self.limits = limits
        self.under_way = 0

    async def upload(self, request: Request) -> Response:
        """Take one file, and answer with a list of its path, as Gradio does."""
        if self.under_way >= self.limits.uploads_at_once:
            return PlainTextResponse(BUSY, status_code=503)
        self.under_way += 1
        try:
            async with asyncio.timeout(UPLOAD_SECONDS), request.form(max_files=1, max_fields=4) as form:
                files = [one for one in form.getlist("files") if isinstance(one, UploadFile)]
                paths = [await run_in_threadpool(self.store, one.filename or "file", await one.read()) for one in files]
        except TimeoutError:
            return PlainTextResponse("The upload took too long; try again.", status_code=408)
        except HTTPException as error:
            return PlainTextResponse(f"The upload is damaged ({error.detail}); try again.", status_code=400)
        except ClientDisconnect:
            return Response(status_code=400)
        finally:
            self.under_way -= 1
        if not paths:
            return PlainTextResponse("The upload has no file in it; try again.", status_code=400)
        return JSONResponse([str(path) for path in paths])

    async def progress(self, request: Request) -> Response:
        """Say nothing of how far an upload is: they are short."""
        return Response(status_code=204)
