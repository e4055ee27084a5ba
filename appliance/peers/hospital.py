"""The small hospital next door: RIS and PACS together, from the words of `dicap hospital`."""

import contextlib
import logging

from pynetdicom import _config

from appliance.peers.faults import Faults
from appliance.peers.pacs import Pacs
from appliance.peers.plan import HospitalPlan, add_arguments, plan_from
from appliance.peers.ris import Ris
from appliance.settings import Address

__all__ = ["Hospital", "HospitalPlan", "add_arguments", "configure", "plan_from"]


class Hospital:
    """RIS and PACS as one thing to start and stop; raises SettingsError for orders or faults that cannot be."""

    def __init__(self, plan: HospitalPlan) -> None:
        self.plan = plan
        faults = Faults.parse(plan.faults, plan.seed)
        called_back = {address.ae_title: address for address in plan.modalities}
        self.ris: Ris | None = None
        self.pacs: Pacs | None = None
        if plan.ris_port is not None:
            self.ris = Ris(plan.ris_ae, plan.host, plan.ris_port, plan.orders, faults=faults, seed=plan.seed)
        if plan.pacs_port is not None:
            self.pacs = Pacs(plan.pacs_ae, plan.host, plan.pacs_port, plan.store, called_back, faults=faults)
            self.pacs.commit_manner = plan.commit_manner
        self._faults = faults

    def start(self) -> None:
        """Open the ports: both or none."""
        with contextlib.ExitStack() as undo:
            for peer in (self.ris, self.pacs):
                if peer is not None:
                    peer.start()
                    undo.callback(peer.stop)
            undo.pop_all()

    def stop(self) -> None:
        """Close the ports, last first."""
        for peer in (self.pacs, self.ris):
            if peer is not None:
                peer.stop()

    def complaints(self) -> list[str]:
        """What the modalities did wrong, in words; also where a completed step names objects that are not in the archive."""
        found = [f"{peer.ae_title}: {words}" for peer in (self.ris, self.pacs) if peer for words in peer.complaints]
        if self.ris and self.pacs:
            held = {one.sop_instance_uid for one in self.pacs.objects()}
            for step in self.ris.steps():
                missing = [uid for uid in step.instances if uid not in held] if step.state == "COMPLETED" else []
                found += [f"{self.pacs.ae_title}: {uid} of the completed step {step.uid} is not here" for uid in missing]
        return found

    def words(self) -> str:
        """What is there, where, and what is going to go wrong."""
        lines = []
        if self.ris is not None:
            number = len(self.ris.orders())
            lines.append(f"RIS      {self._at(self.ris)}   worklist of {number} scheduled steps, performed steps")
        if self.pacs is not None:
            manner = {"new": "on a new association", "same": "on the same association", "next": "on the next association"}
            lines.append(
                f"PACS     {self._at(self.pacs)}   keeps objects in {self.plan.store}, "
                f"reports commitment {manner[self.plan.commit_manner]}"
            )
            lines += [f"         calls back {address}" for address in self.plan.modalities]
        lines += [f"FAULT    {words}" for words in self._faults.words()]
        return "\n".join(lines)

    def _at(self, peer: Ris | Pacs) -> Address:
        """How a modality writes this peer down."""
        return Address(ae_title=peer.ae_title, host=peer.host, port=peer.port or 1)


def configure() -> None:
    """Make pynetdicom quiet in this process: no dump of each message, errors only. For roots, not for libraries."""
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    logging.getLogger("pynetdicom").setLevel(logging.ERROR)
