"""Where exams are run: the settings, the spool, and whom to tell."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from appliance.dicom.uids import Fresh, Uids
from appliance.events import Teller, nobody
from appliance.settings import Settings
from appliance.spool.ledger import Ledger
from appliance.spool.shelf import Shelf


def here_and_now() -> datetime:
    """The time with this machine's zone."""
    return datetime.now().astimezone()


@dataclass(frozen=True)
class Place:
    """Where exams are run: the settings, the spool, and whom to tell.

    `uids` makes UIDs, `now` tells the time (both repeatable in a simulation), `ring` wakes the courier.
    """

    settings: Settings
    shelf: Shelf
    ledger: Ledger
    uids: Uids = field(default_factory=Fresh)
    tell: Teller = nobody
    ring: Callable[[], None] = lambda: None
    now: Callable[[], datetime] = here_and_now
