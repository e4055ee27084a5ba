"""The standing ear: echo, and the reports of archives that promise to keep what they were sent (PS3.4 J.3.3)."""

import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

from pynetdicom import AE, evt

from appliance.dicom import commitment
from appliance.dicom.commitment import Commitment
from appliance.dicom.encapsulate import IMPLEMENTATION_NAME, IMPLEMENTATION_UID
from appliance.errors import ApplianceError, InputError, SettingsError
from appliance.network import statuses
from appliance.network.negotiation import MAXIMUM_PDU, PLAIN
from appliance.network.pacs import VERIFICATION

_MOST_ASSOCIATIONS = 100  # pynetdicom's 10 are soon used up by an archive that never hangs up
INVALID_ARGUMENT = 0x0115

log = logging.getLogger("dicap.network")


class Listener:
    """Verification SCP, and SCU of Storage Commitment on associations that the archive opens; on pynetdicom.

    `on_commitment` is called for each report, in a thread of its association, several at once; the archive gets its
    answer when it has returned, so what it wrote down is safe. It returns False for a transaction that it does not
    know, which is only news; any error it raises is answered with 0110, so that the archive keeps the report.
    `on_news` hears (kind, words) of what is odd: `commitment.unreadable`, `commitment.not kept`, `commitment.unknown`.
    Without a host only loopback is bound. Anyone may call: the archive's AE title on reports is often not its own.
    """

    def __init__(
        self,
        ae_title: str,
        host: str,
        port: int,
        *,
        on_commitment: Callable[[Commitment], object],
        on_news: Callable[[str, str], None] = lambda kind, words: log.warning("%s: %s", kind, words),
    ) -> None:
        self._address = (host or "127.0.0.1", port)
        self._on_commitment, self._on_news = on_commitment, on_news
        self._lock = threading.Lock()
        self._server: Any = None
        self._ae = AE(ae_title)
        self._ae.implementation_class_uid = IMPLEMENTATION_UID
        self._ae.implementation_version_name = IMPLEMENTATION_NAME[:16]
        self._ae.maximum_associations = _MOST_ASSOCIATIONS
        self._ae.maximum_pdu_size = MAXIMUM_PDU
        self._ae.add_supported_context(VERIFICATION, list(PLAIN))
        # the archive associates with us and stays the SCP (PS3.4 J.3.3): both roles, whether it selects one or not
        self._ae.add_supported_context(commitment.SOP_CLASS, list(PLAIN), scu_role=True, scp_role=True)

    def start(self) -> int:
        """Open the ear; returns the port, which the system chose where 0 was asked for.

        Raises SettingsError when the port is taken or the address is not this machine's.
        """
        handlers: list[Any] = [(evt.EVT_CONN_OPEN, _hurry), (evt.EVT_N_EVENT_REPORT, self._heard)]
        try:
            self._server = self._ae.start_server(self._address, block=False, evt_handlers=handlers)
        except OSError as error:
            host, port = self._address
            raise SettingsError(
                f"cannot listen on {host} port {port}: {error.strerror or error}",
                "Another program has that port, or the address is not ours. Correct courier.listen; nothing was changed.",
            ) from error
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Close the ear and break off what is under way: an archive that got no answer reports again."""
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            self._ae.shutdown()

    def _heard(self, event: evt.Event) -> tuple[int, None]:
        who = str(event.assoc.requestor.ae_title).strip()
        try:
            report = commitment.report_from(event.event_type or 0, _information(event))
        except InputError as error:
            self._on_news("commitment.unreadable", f"{who}: {error}")
            return INVALID_ARGUMENT, None
        try:
            known = self._on_commitment(report)
        except ApplianceError as error:
            self._on_news("commitment.not kept", f"the report of {who} could not be kept: {error}")
            return statuses.PROCESSING_FAILURE, None
        if known is False:
            words = f"{who} reports on transaction {report.transaction_uid}, which nobody asked for"
            self._on_news("commitment.unknown", words)
        return statuses.SUCCESS, None


def _information(event: evt.Event) -> Any:
    try:
        return event.event_information
    except Exception as error:  # pydicom lets many classes through for garbage
        raise InputError(f"a commitment report that cannot be read: {error}") from error


def _hurry(event: evt.Event) -> None:
    """No Nagle: pynetdicom leaves it on, and each answer would wait 40 ms (figures.md, finding 2)."""
    wrapper = event.assoc.dul.socket
    if wrapper is not None and wrapper.socket is not None:
        wrapper.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
