"""What every peer of the small hospital has in common: a port, an AE title, associations, complaints, bad manners."""

import contextlib
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import ThreadedAssociationServer

from appliance.errors import StateError
from appliance.peers.faults import Faults

MAX_PDU = 131072
MAX_ASSOCIATIONS = 200
_POLL = 0.05

# result, source, diagnostic of an A-ASSOCIATE-RJ (PS3.8 9.3.4)
_REJECTIONS = {"reject": (1, 1, 3), "busy": (2, 3, 2)}


class Gate:
    """Takes the place of an association's reactor checkpoint, so that another thread can hold the reactor exactly.

    pynetdicom's own pause (a flag that is read while it is being cleared) lets the reactor steal a response.
    """

    def __init__(self) -> None:
        self._owner = threading.Lock()
        self._turn = threading.Condition()
        self._open = True
        self._parked = False

    def wait(self, timeout: float | None = None) -> bool:
        """Where the reactor stands while the gate is closed."""
        with self._turn:
            self._parked = not self._open
            self._turn.notify_all()
            self._turn.wait_for(lambda: self._open, timeout)
            self._parked = False
            return self._open

    def set(self) -> None:
        """Open: the reactor goes on."""
        with self._turn:
            self._open = True
            self._turn.notify_all()

    def clear(self) -> None:
        """Close: the reactor stops when it next comes by."""
        with self._turn:
            self._open = False

    def is_set(self) -> bool:
        """Whether the gate is open."""
        return self._open

    @contextlib.contextmanager
    def held(self, timeout: float) -> Iterator[bool]:
        """Close, and go on when the reactor stands at the gate, between two requests; False if it never came.

        One thread at a time has the association; the gate opens again at the end.
        """
        with self._owner:
            with self._turn:
                self._open = False
                is_parked = self._turn.wait_for(lambda: self._parked, timeout)
            try:
                yield is_parked
            finally:
                self.set()


def fit(association: Association) -> None:
    """Give a fresh connection what pynetdicom does not: no Nagle delay, and a gate that can be held."""
    wrapper = association.dul.socket
    if wrapper is not None and wrapper.socket is not None:
        wrapper.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    association._reactor_checkpoint = Gate()  # type: ignore[assignment]


def hang_up(association: Association) -> None:
    """Drop the connection without a word: what was queued to be sent never leaves."""
    wrapper = association.dul.socket
    if wrapper is not None and wrapper.socket is not None:
        with contextlib.suppress(OSError):  # the caller may have been quicker
            wrapper.socket.shutdown(socket.SHUT_RDWR)


def break_off(association: Association) -> None:
    """Abort here and now (A-ABORT by the service user, PS3.8 9.3.8), after what was queued before has left."""
    wait_until(association.dul.to_provider_queue.empty, 1.0)
    wrapper = association.dul.socket
    if wrapper is not None and wrapper.socket is not None:
        with contextlib.suppress(OSError):
            wrapper.socket.sendall(b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00")
    hang_up(association)


class _Server(ThreadedAssociationServer):
    """pynetdicom's server, which stops without delay (it looks around every _POLL seconds, not twice a second)."""

    def service_actions(self) -> None:
        """pynetdicom collects garbage here after every 60th look around, which would be too often now."""


class Scp(ABC):
    """A listening peer: `start` opens the port, `stop` closes it and every association; it can be started again.

    `complaints` holds, in words, what callers did wrong. `kind` is the prefix of the faults that concern the port:
    `ris` or `pacs`.
    """

    kind = ""

    def __init__(self, ae_title: str, host: str, port: int, *, faults: Faults) -> None:
        self.ae_title = ae_title
        self.host = host
        self.port = port
        self.faults = faults
        self.complaints: list[str] = []
        self.stopping = threading.Event()
        self._server: ThreadedAssociationServer | None = None
        self._closed_door: socket.socket | None = None
        self._timer: threading.Timer | None = None
        self._lock = threading.RLock()

    def start(self) -> int:
        """Open the port and say which it is (port 0: any free one); raises StateError if it is taken."""
        self.stopping.clear()
        fault = f"{self.kind}-down"
        if fault not in self.faults:
            self._open()
            return self.port
        try:
            # bound but not listening: the port is ours, and a caller is refused at once
            self._closed_door = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
            self._closed_door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._closed_door.bind((self.host, self.port))
        except OSError as error:
            raise self._taken(error) from error
        self.port = self._closed_door.getsockname()[1]
        seconds = self.faults.value(fault).seconds
        if seconds:
            self._timer = threading.Timer(seconds, self._open)
            self._timer.daemon = True
            self._timer.start()
        return self.port

    def stop(self) -> None:
        """Close the port, abort what is going on, and wait for it."""
        self.stopping.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
            self._timer = None
        with self._lock:
            server, self._server = self._server, None
            door, self._closed_door = self._closed_door, None
        if door is not None:
            door.close()
        if server is not None:
            server.shutdown()
            # each takes a tenth of a second; all at once
            aborts = [threading.Thread(target=association.abort) for association in server.active_associations]
            for abort in aborts:
                abort.start()
            for abort in aborts:
                abort.join()

    def complain(self, words: str) -> None:
        """Note what a caller did wrong."""
        with self._lock:
            self.complaints.append(words)

    @abstractmethod
    def contexts(self) -> list[PresentationContext]:
        """What the peer supports; each kind of peer says its own."""

    @abstractmethod
    def handlers(self) -> list[Any]:
        """What it does about requests: pynetdicom's (event, function) pairs; each kind of peer says its own."""

    def pause(self, seconds: float) -> None:
        """Think for a while, or until the peer is stopped."""
        if seconds:
            self.stopping.wait(seconds)

    def _open(self) -> None:
        """Listen, in place of the closed door if there was one."""
        with self._lock:
            if self.stopping.is_set():
                return
            if self._closed_door is not None:
                self._closed_door.close()
                self._closed_door = None
            entity = AE(ae_title=self.ae_title)
            entity.maximum_pdu_size = MAX_PDU
            entity.maximum_associations = MAX_ASSOCIATIONS
            entity.require_called_aet = True
            handlers = [(evt.EVT_CONN_OPEN, self._greet), (evt.EVT_REQUESTED, self._consider), *self.handlers()]
            try:
                server = entity.make_server(
                    (self.host, self.port), evt_handlers=handlers, contexts=self.contexts(), server_class=_Server
                )
            except OSError as error:
                raise self._taken(error) from error
            entity._servers.append(server)  # where its shutdown looks for it
            threading.Thread(target=server.serve_forever, args=(_POLL,), name=f"{self.ae_title} server", daemon=True).start()
            self._server = server
            self.port = server.server_address[1]

    def _taken(self, error: OSError) -> StateError:
        """A port that cannot be had, in words."""
        return StateError(
            f"{self.ae_title} cannot listen on {self.host}:{self.port}: {error.strerror or error}",
            "Nothing was started. Choose another port, or end the program that holds this one.",
        )

    def _greet(self, event: evt.Event) -> None:
        """A caller has connected."""
        fit(event.assoc)

    def _consider(self, event: evt.Event) -> None:
        """A caller asks for an association: refuse it, if that was asked for."""
        for manner, why in _REJECTIONS.items():
            if self.faults.strikes(f"{self.kind}-{manner}"):
                event.assoc.acse.send_reject(*why)
                event.assoc.kill()
                return


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for something that another thread does; says whether it came about."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True
