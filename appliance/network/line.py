"""One TCP connection that carries upper layer PDUs (PS3.8 9.3): blocking, without Nagle and delayed acknowledgements."""

import contextlib
import errno
import socket
import time
from collections.abc import Sequence

from appliance.errors import Broken, Unreachable
from appliance.settings import Address

LARGEST_PDU = 4 << 20  # what we take although we announce less: some peers do not count their headers
_TYPES = range(1, 8)
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)  # Linux only
_FAR = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL})


class Silence(Exception):
    """Nothing complete came before the deadline; what has come so far is kept for the next try.

    It never leaves this room: only the association knows whether silence is an error.
    """


class Line:
    """An open connection; `peer` is who is at the other end, for our words.

    Nagle's algorithm is off, and on Linux each read asks for immediate acknowledgement: against a peer that leaves
    Nagle on, this alone lifts 20 objects per second to 1800 (figures.md, finding 2).
    """

    def __init__(self, address: Address, timeout: float, connect_timeout: float) -> None:
        """Connect within `connect_timeout` seconds; raises Unreachable. `timeout` is for each later write."""
        self.peer = str(address)
        self._timeout = timeout
        self._buffer = bytearray()
        self._socket = _dial(address, connect_timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Write all pieces in as few system calls as the kernel allows, without joining them.

        Raises Broken when the connection is lost or the peer takes nothing for `timeout` seconds.
        """
        try:
            self._socket.settimeout(self._timeout)
            if not hasattr(self._socket, "sendmsg"):  # Windows
                self._socket.sendall(b"".join(pieces))
                return
            rest = [memoryview(piece) for piece in pieces if len(piece)]
            while rest:
                sent = self._socket.sendmsg(rest)
                while rest and sent >= len(rest[0]):
                    sent -= len(rest.pop(0))
                if sent:
                    rest[0] = rest[0][sent:]
        except TimeoutError:
            raise Broken(f"{self.peer} took no data for {self._timeout:g} seconds") from None
        except OSError as error:
            raise self._lost(error) from error

    def receive(self, deadline: float) -> tuple[int, bytes]:
        """The next PDU, whole, and its type.

        `deadline` is on the monotonic clock. Raises Silence when it has passed, Broken when the connection is lost
        or what comes is not DICOM.
        """
        self._fill(6, deadline)
        kind = self._buffer[0]
        length = 6 + int.from_bytes(self._buffer[2:6], "big")
        if kind not in _TYPES or length > LARGEST_PDU:
            begin = bytes(self._buffer[:24])
            raise Broken(
                f"what answers at {self.peer} does not speak DICOM: it sent {begin!r}",
                "Everything stays in the spool. Check the port: it seems to belong to another program.",
            )
        self._fill(length, deadline)
        pdu = bytes(self._buffer[:length])
        del self._buffer[:length]
        return kind, pdu

    def close(self) -> None:
        """Hang up; never raises, and may be called twice."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _fill(self, wanted: int, deadline: float) -> None:
        """Read until the buffer holds `wanted` bytes."""
        while len(self._buffer) < wanted:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Silence
            try:
                self._socket.settimeout(left)
                if _QUICKACK is not None:  # the kernel forgets it again, so before each read
                    self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
                piece = self._socket.recv(1 << 16)
            except TimeoutError:
                raise Silence from None
            except OSError as error:
                raise self._lost(error) from error
            if not piece:
                raise Broken(f"{self.peer} hung up without a word")
            self._buffer += piece

    def _lost(self, error: OSError) -> Broken:
        return Broken(f"the connection to {self.peer} was lost: {error.strerror or error}")


def _dial(address: Address, timeout: float) -> socket.socket:
    """Connect, over IPv6 or IPv4 as the name resolves; raises Unreachable saying why and what to look at."""
    where = f"{address.host} port {address.port}"
    try:
        return socket.create_connection((address.host, address.port), timeout)
    except TimeoutError as error:
        what, advice = f"{where} does not answer within {timeout:g} seconds", "Is it switched on, is a firewall between?"
        cause: Exception = error
    except ConnectionRefusedError as error:
        what, advice = f"nobody listens at {where}", "The machine is there: start the program, or correct the port."
        cause = error
    except (socket.gaierror, UnicodeError) as error:
        what, advice = f"the name {address.host} is not known here", "Correct the host's name, or ask for the name server."
        cause = error
    except OSError as error:
        far = error.errno in _FAR
        what = f"there is no way to {address.host}" if far else f"cannot connect to {where}: {error.strerror or error}"
        advice, cause = "Check the cable and our own network address.", error
    raise Unreachable(f"{address}: {what}", f"Everything stays in the spool and is tried again. {advice}") from cause
