"""The touch screen: a static page, written by hand, that is a client of the API. Nothing comes from elsewhere."""

from pathlib import Path

from fastapi import FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parent / "static"


class Pages(StaticFiles):
    """Static files that a browser asks for anew after an update of the appliance."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, with leave to keep it only after asking whether it is still the same."""
        answer = await super().get_response(path, scope)
        answer.headers["cache-control"] = "no-cache"
        return answer


def mount(app: FastAPI) -> None:
    """Serve the screen at `/`; call after the API's routes are in place."""
    app.mount("/", Pages(directory=FOLDER, html=True), name="screen")
