"""What is still owed, as a person understands it: what is done, what is on its way, and what nobody will do by itself."""

from collections.abc import Sequence
from dataclasses import replace

from appliance.settings import Peer
from appliance.spool.debts import Debt, Report, State
from appliance.workflow.place import Place

PATIENCE = 20  # attempts after which a person should look, though it is still tried
GONE_ADVICE = "Put it back into the settings, or release the objects by hand."


def committer(peers: dict[str, Peer], name: str) -> tuple[str, Peer] | None:
    """Who promises for an archive: itself, or a peer that does nothing but commit; None where nobody does."""
    if "commit" in peers[name].roles:
        return name, peers[name]
    others = [(other, peer) for other, peer in peers.items() if "commit" in peer.roles and "store" not in peer.roles]
    return others[0] if others else None


def owed(place: Place) -> list[Debt | Report]:
    """What is not done yet, as `dicap wait` counts it.

    An object is done with a destination when it is committed; where nobody commits, or the policy asks only for
    storage, when it is sent. What is owed to somebody whom the settings know no more says so in its words.
    """
    peers = place.settings.peers
    things: list[Debt | Report] = []
    for debt in place.ledger.debts.deliveries("d.state<>'committed' AND p.released IS NULL"):
        peer = peers.get(debt.destination)
        if peer is None or "store" not in peer.roles:
            words = f"the settings have no archive called {debt.destination} any more"
            things.append(replace(debt, words=words, advice=GONE_ADVICE) if debt.state != State.REFUSED else debt)
        elif debt.state != State.SENT or not (peer.release == "stored" or committer(peers, debt.destination) is None):
            things.append(debt)
    for report in place.ledger.debts.reports("r.state<>'done'"):
        if report.state == State.WAITING and report.peer not in place.settings.with_role("mpps"):
            words = f"the settings have no RIS called {report.peer} any more"
            report = replace(report, words=words, advice="Put it back into the settings.")
        things.append(report)
    return things


def stuck(place: Place, things: Sequence[Debt | Report]) -> list[Debt | Report]:
    """Those that nothing happens with until a person does something.

    Refused; owed to somebody whom the settings know no more; or the end of a step whose beginning was refused.
    """
    stores, tells = place.settings.with_role("store"), place.settings.with_role("mpps")
    unbegun = {
        (one.exam.id, one.peer)
        for one in things
        if isinstance(one, Report) and one.kind == "begun" and one.state == State.REFUSED
    }

    def is_stuck(one: Debt | Report) -> bool:
        if one.state == State.REFUSED:
            return True
        if isinstance(one, Debt):
            return one.destination not in stores
        return one.peer not in tells or (one.exam.id, one.peer) in unbegun

    return [one for one in things if is_stuck(one)]


def for_a_person(place: Place, things: Sequence[Debt | Report]) -> list[Debt | Report]:
    """Those that a person should look at: what is stuck, and what has been tried so often that somebody should know."""
    still = {id(one) for one in stuck(place, things)}
    return [one for one in things if id(one) in still or (one.attempts >= PATIENCE and one.words)]


def exam_of(thing: Debt | Report) -> str:
    """The exam that something is owed of."""
    return thing.picture.exam_id if isinstance(thing, Debt) else thing.exam.id
