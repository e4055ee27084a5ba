"""The web server in a thread of its own."""

import socket
import threading
import time

import uvicorn
from fastapi import FastAPI

from appliance.errors import SettingsError

PATIENCE = 10.0  # seconds to start or to stop
SEND_BUFFER = 256 * 1024  # bytes: a slow viewer of the live stream must not see seconds-old frames


class Server:
    """Serves an application built by `ui.api.build` until it is told to stop."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None

    def start(self) -> int:
        """Bind and serve; the port that was bound (the given one may be 0). Raises SettingsError if it is taken."""
        self._socket = self._bind()
        port: int = self._socket.getsockname()[1]
        settings = uvicorn.Config(
            self._app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2
        )
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="screen", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + PATIENCE
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.stop()
                raise SettingsError(f"the screen could not be served at {self._host}:{port}", "The log says why.")
            time.sleep(0.01)
        return port

    def stop(self) -> None:
        """End the streams, then the server; may be called twice."""
        newsroom = getattr(self._app.state, "newsroom", None)
        if newsroom is not None:
            newsroom.close()
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(PATIENCE)
        if self._socket is not None:
            self._socket.close()
        self._server = self._thread = self._socket = None

    def _bind(self) -> socket.socket:
        """A listening socket of our own: so port 0 works, a taken port is told in words, and buffers stay small."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            listening.bind((self._host, self._port))
            listening.listen(128)
        except OSError as error:
            listening.close()
            raise SettingsError(
                f"the screen cannot be served at {self._host}:{self._port}: {error.strerror}",
                "Choose another HOST:PORT with --http or in station.http; perhaps a station runs already.",
            ) from error
        return listening
