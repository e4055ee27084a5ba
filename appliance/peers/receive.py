"""Objects streamed to disk while they come in: the archive's memory does not grow with their size.

pynetdicom's own way (STORE_RECV_CHUNKED_DATASET) is a setting of the whole process and leaves torn files behind.
"""

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from pydicom.filewriter import write_file_meta_info
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dsutils import create_file_meta
from pynetdicom.pdu_primitives import P_DATA


class Incoming:
    """One object coming in: a Part 10 file being written, with the SHA-256 of its data set as it was sent.

    It stands where pynetdicom would put its own temporary file. `failed` tells why the disk would not take it; `torn`
    says that the association was broken off on purpose; `on_piece` is called after each piece.
    """

    def __init__(self, path: Path, association: Association, message: Any, on_piece: Callable[["Incoming"], None]) -> None:
        self.path = path
        self.name = str(path)
        self.size = 0
        self.failed = ""
        self.torn = False
        self.file = self  # pynetdicom flushes `file.file` after each piece
        self._sha = hashlib.sha256()
        self._on_piece = on_piece
        command = message.command_set
        self.sop_class_uid = str(command.AffectedSOPClassUID)
        self.sop_instance_uid = str(command.AffectedSOPInstanceUID)
        self.syntax_uid = str(association._accepted_cx[message.context_id].transfer_syntax[0])
        self._out: BinaryIO | None = None
        try:
            self._out = path.open("wb")
            self._out.write(b"\0" * 128 + b"DICM")
            meta = create_file_meta(
                sop_class_uid=command.AffectedSOPClassUID,
                sop_instance_uid=command.AffectedSOPInstanceUID,
                transfer_syntax=association._accepted_cx[message.context_id].transfer_syntax[0],
            )
            write_file_meta_info(self._out, meta)  # type: ignore[arg-type]
        except OSError as error:
            self.failed = error.strerror or str(error)

    @property
    def sha256(self) -> str:
        """Of the data set so far, without the file meta information."""
        return self._sha.hexdigest()

    def write(self, data: bytes) -> None:
        """Take the next piece; a full disk is remembered, not raised, so that the sender hears of it in the answer."""
        self.size += len(data)
        self._sha.update(data)
        if self._out is not None and not self.failed:
            try:
                self._out.write(data)
            except OSError as error:
                self.failed = error.strerror or str(error)
        self._on_piece(self)

    def flush(self) -> None:
        """Not after each piece."""

    def close(self) -> None:
        """The whole object is here."""
        if self._out is not None:
            try:
                self._out.close()
            except OSError as error:
                self.failed = error.strerror or str(error)
            self._out = None

    def discard(self) -> None:
        """Leave nothing behind; a file that was moved away stays where it is."""
        self.close()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()


class Receiver(DIMSEServiceProvider):
    """pynetdicom's message receiver, but C-STORE data sets go through an `Incoming`.

    It takes the place of an association's `dimse` as soon as the connection is there. It leans on what pynetdicom 3.0
    does with `_data_set_file`, which is why the tests send it objects larger than memory would like.
    `make` gives the Incoming for a message whose command set has come; `discard` drops one that never came to an end.
    """

    def __init__(self, association: Association, make: Callable[[Association, Any], Incoming]) -> None:
        super().__init__(association)
        self._make = make

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the fragments of one P-DATA-TF one by one: the data set may begin right behind its command set."""
        for fragment in primitive.presentation_data_value_list:
            single = P_DATA()
            item: Any = list(fragment)  # the setter takes lists only
            single.presentation_data_value_list = [item]
            super().receive_primitive(single)
            message: Any = self.message  # a C_STORE_RQ from the moment its command set is whole
            if type(message) is C_STORE_RQ and message._data_set_file is None:
                cast(Any, message)._data_set_file = self._make(self.assoc, message)

    def discard(self) -> None:
        """The connection is gone: drop what had come of an object."""
        message: Any = self.message
        if message is not None and message._data_set_file is not None:
            message._data_set_file.discard()
            message._data_set_file = None
