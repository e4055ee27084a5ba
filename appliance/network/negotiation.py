"""Which services in which transfer syntaxes: the A-ASSOCIATE-RQ and -AC (PS3.8 9.3.2, 9.3.3), through pynetdicom's PDUs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import PresentationContext

from appliance.dicom.encapsulate import IMPLEMENTATION_NAME, IMPLEMENTATION_UID
from appliance.errors import SettingsError
from appliance.settings import Address

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
PLAIN = (EXPLICIT, IMPLICIT)
MOST_CONTEXTS = 128
MAXIMUM_PDU = 131072  # what we offer to receive, and the most that we send (figures.md, finding 3)
_FIXED_PART = 74  # bytes of an A-ASSOCIATE-AC before its items
_SMALLEST_PDU = 64  # less cannot carry a message in any sensible number of pieces

Contexts = Sequence[tuple[str, Sequence[str]]]  # abstract syntax, transfer syntaxes
Roles = Sequence[tuple[str, bool, bool]]  # SOP class, SCU, SCP


@dataclass(frozen=True)
class Context:
    """One presentation context (PS3.8 9.3.2.2, 9.3.3.2): what was proposed, and what became of it.

    `result` is the acceptor's, 0 for acceptance; `syntax` is the one transfer syntax it chose, empty where it chose
    none of those proposed.
    """

    id: int
    abstract: str
    proposed: tuple[str, ...]
    result: int = 2
    syntax: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the peer took it."""
        return self.result == 0 and bool(self.syntax)

    @property
    def why_not(self) -> str:
        """The peer's reason in words (PS3.8 table 9-18)."""
        reasons = {
            1: "it does not want it",
            3: "it does not know this service or kind of object",
            4: "it takes none of the transfer syntaxes proposed",
        }
        return reasons.get(self.result, "it gives no reason")


def number_contexts(contexts: Contexts) -> list[Context]:
    """The contexts with their odd IDs; raises ValueError unless there are 1 to 128."""
    if not 1 <= len(contexts) <= MOST_CONTEXTS:
        raise ValueError(f"1 to {MOST_CONTEXTS} presentation contexts, not {len(contexts)}")
    return [
        Context(2 * index + 1, str(abstract), tuple(str(syntax) for syntax in syntaxes))
        for index, (abstract, syntaxes) in enumerate(contexts)
    ]


def proposal(address: Address, calling: str, contexts: Sequence[Context], roles: Roles = ()) -> bytes:
    """The A-ASSOCIATE-RQ, encoded.

    It says our maximum PDU length, implementation UID and name, and the roles wanted. Raises SettingsError for an AE
    title that cannot be sent (PS3.5 6.2, AE).
    """
    for title in (calling, address.ae_title):
        if not title.isascii() or not title.strip():
            raise SettingsError(f"the AE title {title!r} cannot be sent: 1 to 16 letters, digits and signs of ASCII")
    primitive = A_ASSOCIATE()
    primitive.application_context_name = APPLICATION_CONTEXT
    primitive.calling_ae_title, primitive.called_ae_title = calling, address.ae_title
    wanted = []
    for context in contexts:
        item = PresentationContext()
        item.context_id, item.abstract_syntax, item.transfer_syntax = context.id, context.abstract, list(context.proposed)
        wanted.append(item)
    primitive.presentation_context_definition_list = wanted
    length = MaximumLengthNotification()
    length.maximum_length_received = MAXIMUM_PDU
    uid = ImplementationClassUIDNotification()
    uid.implementation_class_uid = IMPLEMENTATION_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_NAME[:16]  # 18 characters once cost a hospital a day's pictures
    user: list[Any] = [length, uid, version]
    for sop_class, scu, scp in roles:
        role = SCP_SCU_RoleSelectionNegotiation()
        role.sop_class_uid, role.scu_role, role.scp_role = sop_class, scu, scp
        user.append(role)
    primitive.user_information = user
    encoded: bytes = A_ASSOCIATE_RQ(primitive).encode()
    return encoded


def agreement(pdu: bytes, contexts: Sequence[Context]) -> tuple[list[Context], int]:
    """What the A-ASSOCIATE-AC says of each context, and the largest PDU the peer takes (0: any).

    Contexts the peer does not mention count as not accepted. Raises ValueError where the PDU makes no sense.
    """
    try:
        answer = A_ASSOCIATE_AC()
        answer.decode(pdu)
        if len(pdu) < _FIXED_PART:
            raise ValueError(f"it has only {len(pdu)} bytes")
        items = answer.presentation_context
        results = {item.context_id: (item.result, str(item.transfer_syntax or "")) for item in items}
        maximum = answer.user_information.maximum_length if answer.user_information else 0
    except Exception as error:  # pynetdicom lets many classes through for garbage
        raise ValueError(f"an answer to the association request that makes no sense: {error}") from error
    if 0 < (maximum or 0) < _SMALLEST_PDU:
        raise ValueError(f"it takes no PDU longer than {maximum} bytes, which is too short to say anything")
    agreed = []
    for context in contexts:
        result, syntax = results.get(context.id, (2, ""))
        known = syntax if syntax in context.proposed else ""
        agreed.append(replace(context, result=2 if result is None else result, syntax=known))
    return agreed, maximum or 0
