"""REST and live events of the station; the screen is merely a client of this. The schema: /api/openapi.json."""

import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from appliance.errors import ApplianceError, DiskFull, InputError, PeerError, SettingsError, StateError
from appliance.ui import shape
from appliance.ui.desk import Desk
from appliance.ui.guard import Guard
from appliance.ui.live import WAIT, Window
from appliance.ui.newsroom import Newsroom, Nudge
from capture.source import CaptureError

__all__ = ["Desk", "build"]
log = logging.getLogger(__name__)

STATUS: tuple[tuple[type[Exception], int], ...] = (
    (SettingsError, 400),
    (InputError, 400),
    (StateError, 409),
    (DiskFull, 507),
    (PeerError, 503),
    (CaptureError, 503),
    (ApplianceError, 500),
)
TROUBLES: dict[int | str, dict[str, Any]] = {code: {"model": shape.Trouble} for code in (400, 403, 404, 409, 500, 503, 507)}
PictureId = Annotated[str, Path(max_length=128)]
Width = Annotated[int, Query(ge=16, le=8192, description="wanted width in pixels; the next larger step is sent")]


def build(desk: Desk, *, allow_hosts: Collection[str] = ()) -> FastAPI:
    """The application over a desk; `screens.mount` adds the page, `serve.Server` serves it.

    Besides loopback names and the address on which a connection came in, it answers only to the names in
    `allow_hosts`. Its newsroom thread starts and ends with the application.
    """
    newsroom = Newsroom(desk)
    window = Window(desk, lambda: newsroom.closing)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        newsroom.start()
        try:
            yield
        finally:
            newsroom.close()

    app = FastAPI(
        title="dicap", version="1", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json"
    )
    app.state.newsroom = newsroom  # so that the server can end the streams before it ends itself
    app.add_middleware(Nudge, newsroom=newsroom)
    app.add_middleware(Guard, allow_hosts=allow_hosts)
    for router in (_worklist(desk), _exam(desk), _pictures(desk), _scripts(desk), _live(window, newsroom)):
        app.include_router(router, prefix="/api", responses=TROUBLES)
    _speak_plainly(app)
    return app


def _worklist(desk: Desk) -> APIRouter:
    """The station as a whole: its state, its worklist, what it owes."""
    router = APIRouter(tags=["station"])

    @router.get("/state", responses={200: {"model": shape.State}})
    def state() -> JSONResponse:
        """Everything the screen shows.

        Whoever wants to follow it listens to `/api/events` instead of asking again and again.
        """
        return JSONResponse(desk.state())

    @router.post("/worklist/refresh", status_code=202)
    def refresh() -> dict[str, str]:
        """Ask the RIS for the worklist now.

        This answers at once; the list, or in `worklist.error` why there is none, shows in the state.
        """
        desk.refresh_worklist()
        return {}

    @router.post("/retry")
    def retry(wish: shape.RetryWish) -> dict[str, int]:
        """Try again what a peer refused."""
        return {"count": desk.retry(wish.ids)}

    return router


def _exam(desk: Desk) -> APIRouter:
    """The open exam, from begin to finish; there is one at a time."""
    router = APIRouter(prefix="/exam", tags=["exam"])

    @router.post("/begin")
    def begin(wish: shape.BeginWish) -> dict[str, str]:
        """Begin an exam for an order of the worklist, by the order's `key`.

        409 while another exam is open, 507 when the disk is down to its reserve; nothing has begun then.
        """
        return {"id": desk.begin(wish.key)}

    @router.post("/begin-unscheduled")
    def begin_unscheduled(wish: shape.UnscheduledWish) -> dict[str, str]:
        """Begin an exam that nobody ordered; without an ID the patient gets a temporary one."""
        return {"id": desk.begin_unscheduled(wish.patient.model_dump(), wish.description)}

    @router.post("/region")
    def region(wish: shape.RegionWish) -> dict[str, str]:
        """Say which part of the body the exam shows: one of its `regions`; counts for all pictures kept from now on.

        400 for what is not among them.
        """
        desk.set_region(wish.value)
        return {}

    @router.post("/still")
    def still() -> dict[str, str]:
        """Take a still; when this answers, the picture is kept.

        Several may be asked for at once: each is a picture of its own, and of the moment in which it was asked for.
        """
        return {"id": desk.still()}

    @router.post("/record")
    def record() -> dict[str, str]:
        """Start to record."""
        desk.record()
        return {}

    @router.post("/stop")
    def stop() -> dict[str, str]:
        """Stop to record; when this answers, the clip is kept."""
        return {"id": desk.stop_recording()}

    @router.post("/finish")
    def finish() -> dict[str, str]:
        """End the exam: done."""
        desk.finish()
        return {}

    @router.post("/abandon")
    def abandon(wish: shape.AbandonWish) -> dict[str, str]:
        """End the exam: discontinued, for one of the state's `reasons` (CID 9300).

        The RIS is told so (N-SET DISCONTINUED). The pictures are sent all the same, but not for the reason
        110514: taken under the wrong worklist entry, they stay here.
        """
        desk.abandon(wish.reason)
        return {}

    return router


def _pictures(desk: Desk) -> APIRouter:
    """The pictures of the open exam."""
    router = APIRouter(prefix="/exam/pictures", tags=["exam"])

    @router.delete("/{picture}")
    def delete(picture: PictureId) -> dict[str, str]:
        """Take a picture out of the open exam."""
        desk.delete(picture)
        return {}

    @router.get("/{picture}/thumbnail.jpg", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
    def thumbnail(picture: PictureId) -> Response:
        """A kept picture, small."""
        return Response(desk.thumbnail(picture), media_type="image/jpeg")

    return router


def _scripts(desk: Desk) -> APIRouter:
    """For `dicap still` and `dicap clip` while this station holds the source."""
    router = APIRouter(tags=["script"])

    @router.post("/still")
    def still(wish: shape.StillWish) -> dict[str, Any]:
        """Stills for a script, from the source that this station holds."""
        return desk.capture_still(wish.model_dump())

    @router.post("/clip")
    def clip(wish: shape.ClipWish) -> dict[str, Any]:
        """A clip for a script, from the source that this station holds; answers when it is kept."""
        return desk.capture_clip(wish.model_dump())

    return router


def _live(window: Window, newsroom: Newsroom) -> APIRouter:
    """What goes on without being asked: the picture and the news."""
    router = APIRouter(tags=["live"])

    @router.get("/live.jpg", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}, 204: {}})
    async def picture(width: Width = 800, after: int = -1, wait: float = WAIT) -> Response:
        """The newest picture, its number in X-Frame; 204 if within `wait` seconds there is none but `after`."""
        shot = await window.next(width, after, wait)
        if shot is None:
            return Response(status_code=204)
        return Response(shot[1], media_type="image/jpeg", headers={"x-frame": str(shot[0])})

    @router.get("/live.mjpg", response_class=StreamingResponse)
    async def film(width: Width = 800) -> StreamingResponse:
        """The live picture as motion JPEG; a slow reader gets fewer frames, never old ones."""
        return StreamingResponse(window.stream(width), media_type="multipart/x-mixed-replace; boundary=frame")

    @router.get("/events", response_class=StreamingResponse)
    async def events() -> StreamingResponse:
        """Server-sent events: `state` (the whole state, when it changed), `trouble`, `beat` in silence."""
        return StreamingResponse(newsroom.stream(), media_type="text/event-stream")

    return router


def _speak_plainly(app: FastAPI) -> None:
    """Every trouble leaves as `what` and `advice`; a fault of our own tells nothing of its insides."""

    async def trouble(request: Request, error: Exception) -> JSONResponse:
        status = next(code for kind, code in STATUS if isinstance(error, kind))
        advice = error.advice if isinstance(error, ApplianceError | CaptureError) else ""
        return JSONResponse({"what": str(error), "advice": advice}, status)

    async def unknown(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        words = {"what": "Something inside the station went wrong.", "advice": ApplianceError.advice}
        return JSONResponse(words, 500)

    async def malformed(request: Request, error: Exception) -> JSONResponse:
        mistakes = error.errors() if isinstance(error, RequestValidationError) else []
        what = "; ".join(f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in mistakes)
        return JSONResponse({"what": what, "advice": "Correct it and try again; nothing was changed."}, 400)

    async def missing(request: Request, error: Exception) -> JSONResponse:
        status = error.status_code if isinstance(error, HTTPException) else 404
        return JSONResponse({"what": "There is no such thing here.", "advice": "See /api/openapi.json."}, status)

    app.add_exception_handler(ApplianceError, trouble)
    app.add_exception_handler(CaptureError, trouble)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(HTTPException, missing)
    app.add_exception_handler(Exception, unknown)
