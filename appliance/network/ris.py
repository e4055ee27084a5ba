"""The RIS: ask its worklist; report a step begun, done or abandoned."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from appliance.clinic.exam import Exam, Picture
from appliance.clinic.order import Order
from appliance.dicom import procedure
from appliance.dicom.procedure import Wanted
from appliance.errors import InputError
from appliance.network import commands, statuses
from appliance.network.association import Association, Caller
from appliance.network.commands import C_FIND, N_CREATE, N_SET, Command
from appliance.network.messages import Message
from appliance.network.negotiation import PLAIN
from appliance.settings import Address

WORKLIST = "1.2.840.10008.5.1.4.31"
PERFORMED_STEP = "1.2.840.10008.3.1.2.3.3"
MOST_ORDERS = 2000  # of one question; more is a question asked too widely


@dataclass(frozen=True)
class Found:
    """The worklist's answer: the orders that can be used, and what is wrong with it, in words."""

    orders: tuple[Order, ...]
    complaints: tuple[str, ...] = ()


def find_orders(caller: Caller, address: Address, wanted: Wanted, most: int = MOST_ORDERS) -> Found:
    """Ask the worklist (C-FIND, PS3.4 K): every order that matches, each once; raises PeerError.

    An answer that cannot be used becomes a complaint and spoils no other. After `most` orders the RIS is asked to stop.
    """
    orders: dict[tuple[str, str, str], Order] = {}
    complaints: list[str] = []
    with caller.call(address, [(WORKLIST, PLAIN)]) as association:
        context = association.context(WORKLIST)
        for reading in wanted.readings():
            command: Command = {"AffectedSOPClassUID": WORKLIST, "CommandField": C_FIND, "Priority": 0}
            stopped = False
            for answer in _answers(association, association.ask(command, context, procedure.query(reading))):
                if stopped:
                    continue
                read = _read(answer)
                complaints += [f"{association.peer}: {complaint}" for complaint in read.complaints]
                orders.update({(order.key, order.study_uid, order.patient.id): order for order in read.orders})
                if len(orders) >= most:
                    stopped = True
                    association.cancel(answer)
                    complaints.append(f"{association.peer} has more than {most} such orders: ask for fewer days")
    return Found(tuple(order for order in orders.values() if wanted.takes(order)), tuple(dict.fromkeys(complaints)))


def begin_step(caller: Caller, address: Address, exam: Exam) -> str:
    """Tell that the step has begun (N-CREATE, PS3.4 F.7.2.1); returns what the RIS had to say, mostly nothing.

    The UID is ours, so that a duplicate is our own earlier attempt whose answer was lost: done. Raises PeerError.
    """
    command: Command = {
        "AffectedSOPClassUID": PERFORMED_STEP,
        "CommandField": N_CREATE,
        "AffectedSOPInstanceUID": exam.step_uid,
    }
    with caller.call(address, [(PERFORMED_STEP, PLAIN)]) as association:
        answer = association.request(command, association.context(PERFORMED_STEP), procedure.step_begun(exam))
        if answer.status == statuses.DUPLICATE_INSTANCE:
            return "the RIS knew it already"
        return _done(association, N_CREATE, answer)


def end_step(caller: Caller, address: Address, exam: Exam, pictures: Sequence[Picture], retrieve_ae: str = "") -> str:
    """Tell that the step is completed or discontinued (N-SET, PS3.4 F.7.2.2); returns what the RIS had to say.

    `retrieve_ae` is where the pictures can be got from. "May no longer be updated" (0110 with Error ID A710) is the
    echo of an attempt whose answer was lost: done. Raises PeerError.
    """
    command: Command = {
        "RequestedSOPClassUID": PERFORMED_STEP,
        "CommandField": N_SET,
        "RequestedSOPInstanceUID": exam.step_uid,
    }
    with caller.call(address, [(PERFORMED_STEP, PLAIN)]) as association:
        dataset = procedure.step_ended(exam, pictures, retrieve_ae)
        answer = association.request(command, association.context(PERFORMED_STEP), dataset)
        if _is_closed(answer):
            return "the RIS had closed this step already"
        return _done(association, N_SET, answer)


def _is_closed(answer: Message) -> bool:
    if answer.status == statuses.NO_LONGER_UPDATED:
        return True
    said = commands.text(answer.command, "ErrorComment").lower()
    number = commands.number(answer.command, "ErrorID")
    return answer.status == statuses.PROCESSING_FAILURE and (
        number == statuses.NO_LONGER_UPDATED or "no longer be updated" in said
    )


def _done(association: Association, request: int, answer: Message) -> str:
    if answer.status == statuses.SUCCESS or statuses.is_warning(answer.status):
        return statuses.words(request, answer.command)
    raise statuses.refusal(association.peer, request, answer.command)


def _answers(association: Association, answers: Iterator[Message]) -> Iterator[Message]:
    """Those that carry an order, which the last one may, too; raises Refused when the RIS gives up (PS3.4 K.4.1.1.4)."""
    for answer in answers:
        if answer.status in statuses.PENDING or answer.payload:
            yield answer
        if answer.status in statuses.PENDING or answer.status in (statuses.SUCCESS, statuses.CANCELLED):
            continue
        if not statuses.is_warning(answer.status):
            raise statuses.refusal(association.peer, C_FIND, answer.command)


def _read(answer: Message) -> Found:
    try:
        read = procedure.read_orders(answer.dataset())
    except InputError as error:
        return Found((), (f"an entry of the worklist cannot be used: {error}",))
    return Found(read.orders, read.complaints)
