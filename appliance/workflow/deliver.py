"""Report, store, commit, settle, release: one step at a time, from the ledger alone."""

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path

from appliance.clinic.order import Reference
from appliance.dicom import encapsulate, syntaxes
from appliance.errors import ApplianceError, NeedsTranscoding, PeerError, Refused, Rejected, Unreachable
from appliance.events import Event
from appliance.network import pacs, ris
from appliance.network.association import Caller
from appliance.settings import Peer
from appliance.spool.debts import Debt, Report, State, Trouble
from appliance.workflow.acquire import Place

NO_SUCH_INSTANCE = 0x0112  # it is not there: only this makes us store, or tell, again (PS3.4 J.3.3.1.3, PS3.7 C.5)
PASSING = frozenset({0x0110, 0x0213, 0x0131})  # processing failure, resource limitation, duplicate transaction
UNCOMPRESSED = ("explicit", "implicit")
REFERENCES_AT_ONCE = 500  # of one commitment request: a report of a whole day must not be lost at once


class Delivery:
    """Carries what the ledger owes. Each method does what is due now for one peer, and returns whether it did any."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._debts = place.ledger.debts

    def report(self, name: str, peer: Peer) -> bool:
        """Tell one RIS of steps begun and ended (N-CREATE, N-SET; PS3.4 F.7.2)."""
        due = self._debts.reports_due(name, time.time())
        for report in due:
            try:
                self._tell(report, peer)
            except ApplianceError as error:
                self._sign(name, error)
                if not error.retry:
                    self._debts.move_report(report, State.REFUSED, Trouble(str(error), error.advice))
                    continue
                self._debts.postpone_report(report, self._trouble(error, report.attempts))
                if not _refusal_of_one(error):
                    break  # the peer is away: the others would only wait for the same
            else:
                self._debts.move_report(report, State.DONE)
                self._sign(name)
            self._place.tell(Event("report.moved", {"exam": report.exam.id}))
        return bool(due)

    def store(self, name: str, peer: Peer) -> bool:
        """Store what waits for one archive, one association per exam (PS3.4 B)."""
        due = self._debts.to_send(name, time.time())
        away: ApplianceError | None = None
        for _, group in groupby(due, key=lambda debt: debt.picture.exam_id):
            debts = list(group)
            if away:  # nobody is there: the other exams would only wait for the same
                self._debts.postpone(debts, self._trouble(away, debts[0].attempts))
            else:
                away = self._burst(name, peer, debts)
        return bool(due)

    def commit(self, name: str, committer: str, peer: Peer) -> bool:
        """Ask one archive (or who speaks for it) to promise what it was sent (PS3.4 J)."""
        courier = self._place.settings.courier
        due = self._debts.to_commit(name, time.time(), courier.commit_patience)
        every = iter(due)
        while batch := list(islice(every, REFERENCES_AT_ONCE)):
            uid = self._place.uids.new()
            references = [Reference(debt.picture.sop_class_uid, debt.picture.sop_instance_uid) for debt in batch]
            self._debts.asked(batch, uid)
            try:
                caller, wait = self._caller(peer), courier.same_association
                answer = pacs.ask_commitment(caller, peer.parsed(), uid, references, wait, self.heard)
            except ApplianceError as error:
                self._sign(committer, error)
                pause = self._trouble(error, batch[0].attempts)
                self._debts.postpone(batch, pause if error.retry else Trouble(pause.words, pause.advice, self._later(99)))
            else:
                self._sign(committer)
                if answer:
                    self.heard(answer)
        return bool(due)

    def heard(self, report: pacs.Commitment) -> bool:
        """A commitment report has come, on whatever association. False when nobody asked for it."""
        failed = {uid: (reason, words) for uid, reason, words in report.failed}
        debts = self._debts.of_transaction(report.transaction_uid, [*report.committed, *failed]) or []
        for debt in debts:
            uid = debt.picture.sop_instance_uid
            if uid not in failed:
                self._debts.move(debt, State.COMMITTED)
                continue
            reason, words = failed[uid]
            if reason == NO_SUCH_INSTANCE:
                self._debts.move(debt, State.WAITING, Trouble("the archive says it does not have it: stored again", ""))
            elif reason in PASSING:
                self._debts.postpone([debt], Trouble(words, "It is asked again.", self._later(debt.attempts)))
            else:
                self._debts.move(debt, State.REFUSED, Trouble(f"not committed: {words}", "Ask the archive's administrator."))
        if debts:
            self._place.tell(Event("commitment.heard", {"objects": len(debts)}))
            self._place.ring()
        return bool(debts)

    def settle(self) -> list[str]:
        """Release every object of which each destination's policy is met. Returns their ids."""
        owed = self._debts.deliveries("p.released IS NULL")
        free = []
        for picture_id, group in groupby(sorted(owed, key=lambda debt: debt.picture.id), key=lambda debt: debt.picture.id):
            if all(self._may_go(debt) for debt in group):
                free.append(picture_id)
        if free:
            self._place.ledger.release(free)
            self._place.tell(Event("objects.released", {"objects": len(free)}))
        return free

    def let_go(self) -> int:
        """Delete the files of released objects: after their hours, or sooner where space is short. Returns how many."""
        place = self._place
        before = time.time() - place.settings.courier.keep_hours * 3600
        count = 0
        ripe = {one.id for one in place.ledger.to_drop(before)}
        for picture in place.ledger.to_drop(time.time()):

            if picture.id not in ripe and place.shelf.free_mb() > 2 * place.settings.station.reserve_mb:
                break
            place.shelf.drop(picture.file)
            place.ledger.gone(picture.id)
            count += 1
        return count

    def _tell(self, report: Report, peer: Peer) -> None:
        caller, address = self._caller(peer), peer.parsed()
        if report.kind == "begun":
            ris.begin_step(caller, address, report.exam)
            return
        pictures = self._place.ledger.pictures(report.exam.id)
        try:
            ris.end_step(caller, address, report.exam, pictures)
        except Refused as error:
            if error.status != NO_SUCH_INSTANCE:
                raise
            # it has lost the step that it had confirmed: tell it from the beginning, once
            ris.begin_step(caller, address, report.exam)
            ris.end_step(caller, address, report.exam, pictures)

    def _burst(self, name: str, peer: Peer, debts: Sequence[Debt]) -> ApplianceError | None:
        """Send the objects of one exam; each is written down as soon as its answer is there.

        Returns why the peer could not be spoken to at all, else None.
        """
        away: ApplianceError | None = None
        by_uid = {debt.picture.sop_instance_uid: debt for debt in debts}
        unsuited = []
        for result in pacs.store(self._caller(peer), peer.parsed(), self._items(debts)):
            debt = by_uid[result.item.sop_instance_uid]
            if isinstance(result.error, NeedsTranscoding):
                unsuited.append((debt, result.error))
            else:
                self._note(name, debt, result.error, result.words)
                away = result.error if isinstance(result.error, Unreachable | Rejected) else None
        for debt, error in unsuited:
            self._send_otherwise(name, peer, debt, error)
        return away

    def _note(self, name: str, debt: Debt, error: ApplianceError | None, words: str) -> None:
        """Write down how one object fared."""
        if error is None:
            self._debts.move(debt, State.SENT, Trouble(words, ""))
        elif error.retry:
            self._debts.postpone([debt], self._trouble(error, debt.attempts))
        else:
            self._debts.move(debt, State.REFUSED, Trouble(str(error), error.advice))
        self._sign(name, error)
        self._place.tell(Event("object.moved", {"picture": debt.picture.id, "exam": debt.picture.exam_id}))

    def _send_otherwise(self, name: str, peer: Peer, debt: Debt, refused: NeedsTranscoding) -> None:
        """The peer takes the SOP class, but not this syntax: decompress and send that."""
        picture = debt.picture
        word = next((one for one in UNCOMPRESSED if syntaxes.by_name(one).uid in refused.accepted), None)
        if word is None:
            self._note(name, debt, refused, "")
            return
        syntax = syntaxes.by_name(word)
        work = self._place.shelf.temporary(".dcm")
        try:
            encapsulate.transcode(self._place.shelf.path(picture.file), work, syntax)
            item = pacs.Item(work, picture.sop_class_uid, picture.sop_instance_uid, syntax.uid)
            for result in pacs.store(self._caller(peer), peer.parsed(), [item]):
                words = f"sent as {syntax.name}: the peer does not take its own syntax"
                self._note(name, debt, result.error, words)
        except ApplianceError as error:
            self._note(name, debt, error, "")
        finally:
            work.unlink(missing_ok=True)

    def _items(self, debts: Iterable[Debt]) -> Iterator[pacs.Item]:
        for debt in debts:
            picture = debt.picture
            path: Path = self._place.shelf.path(picture.file)
            own = syntaxes.by_uid(picture.syntax_uid)
            others = () if own.kind == "video" else tuple(syntaxes.by_name(word).uid for word in UNCOMPRESSED)
            yield pacs.Item(
                path,
                picture.sop_class_uid,
                picture.sop_instance_uid,
                picture.syntax_uid,
                tuple(uid for uid in others if uid != picture.syntax_uid),
            )

    def _may_go(self, debt: Debt) -> bool:
        peer = self._place.settings.peers.get(debt.destination)
        release = peer.release if peer else "committed"
        if release == "never":
            return False
        return debt.state == State.COMMITTED or (release == "stored" and debt.state == State.SENT)

    def _caller(self, peer: Peer) -> Caller:
        courier = self._place.settings.courier
        return Caller(peer.calling or self._place.settings.station.ae_title, courier.timeout, courier.connect_timeout)

    def _trouble(self, error: ApplianceError, attempts: int) -> Trouble:
        return Trouble(str(error), error.advice, self._later(attempts))

    def _later(self, attempts: int) -> float:
        courier = self._place.settings.courier
        pause = min(courier.longest_pause, courier.first_pause * 2.0 ** min(attempts, 20))
        return time.time() + pause * random.uniform(0.75, 1.25)

    def _sign(self, name: str, error: ApplianceError | None = None) -> None:
        """Leave word whether the peer answers, when that has changed."""
        answers = error is None or _refusal_of_one(error)
        facts = {"answers": answers, "words": "" if error is None else str(error)}
        last = self._place.ledger.signs(f"peer:{name}").get(f"peer:{name}")
        if last is None or last[1] != facts:
            self._place.ledger.sign(f"peer:{name}", facts)


def _refusal_of_one(error: ApplianceError) -> bool:
    """Whether the peer answered at all: then only this one thing is in trouble."""
    return isinstance(error, Refused) or not isinstance(error, PeerError) or not error.retry


def committer(peers: dict[str, Peer], name: str) -> tuple[str, Peer] | None:
    """Who promises for an archive: itself, or a peer that does nothing but commit; None where nobody does."""
    if "commit" in peers[name].roles:
        return name, peers[name]
    others = [(other, peer) for other, peer in peers.items() if "commit" in peer.roles and "store" not in peer.roles]
    return others[0] if others else None


def owed(place: Place) -> list[Debt | Report]:
    """What is not done yet, as `dicap wait` counts it.

    An object is done with a destination when it is committed; where nobody commits, or the policy asks only for
    storage, when it is sent.
    """
    peers = place.settings.peers
    things: list[Debt | Report] = []
    for debt in place.ledger.debts.deliveries("d.state<>'committed' AND p.released IS NULL"):
        peer = peers.get(debt.destination)
        enough = peer is not None and (peer.release == "stored" or committer(peers, debt.destination) is None)
        if not (debt.state == State.SENT and enough):
            things.append(debt)
    return [*things, *place.ledger.debts.reports("r.state<>'done'")]
