"""A station without camera, disk or hospital: the Desk protocol over a few lists, with faults on request.

By hand: .venv/bin/python tests/ui/fake_desk.py [PORT] serves the screen over it.
"""

import io
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from appliance.clinic.exam import REASONS
from appliance.clinic.patient import Patient, temporary_id
from appliance.dicom.anatomy import choices
from appliance.errors import DiskFull, InputError, SettingsError, StateError
from appliance.events import Board, Event

MONTHS = [datetime(2000, month, 1).strftime("%B") for month in range(1, 13)]
LONG = "Wolfeschlegelsteinhausenbergerdorff-Schmidt^Hubert Blaine Theodor"  # a family name of 43 characters
assert len(LONG) >= 64
PEOPLE = [
    # name, id, birth, sex, accession, description, time, mine, extra
    ("Okafor^Adaeze^Ngozi", "MRN-204417", "19840229", "F", "A2026-1101", "Gastroscopy", "083000", True, {}),
    (
        "Müller-Lüdenscheidt^Anna^Sophie^Dr.",
        "MRN-118822",
        "19570303",
        "F",
        "A2026-1102",
        "Colonoscopy with polypectomy",
        "091500",
        True,
        {"allergies": "Penicillin, latex", "alerts": "MRSA: isolation, room last on the list"},
    ),
    ("Smith^John", "MRN-300001", "19611224", "M", "A2026-1103", "Bronchoscopy", "094500", True, {}),
    (
        "Smith^John",
        "MRN-300002",
        "19611224",
        "M",
        "A2026-1104",
        "Bronchoscopy",
        "100000",
        True,
        {"special_needs": "Hearing aid"},
    ),
    (
        LONG + "=山田太郎左衛門之助^太郎=やまだたろうざえもんのすけ^たろう",
        "0123456789-ABCDEFGHIJ-0123456789-KLMNOPQRST-0123456789-UVWXYZ-01",
        "19491108",
        "M",
        "ACC-123456789012",
        "Endoscopic retrograde cholangiopancreatography with sphincterotomy",
        "103000",
        True,
        {
            "allergies": "Iodinated contrast media (anaphylaxis 2019), penicillin, adhesive tape",
            "alerts": "Pacemaker; anticoagulated with apixaban until this morning",
            "special_needs": "Wheelchair, interpreter for Japanese",
        },
    ),
    (
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "MRN-551020",
        "20010917",
        "M",
        "A2026-1106",
        "Laryngoscopy",
        "110000",
        True,
        {},
    ),
    (
        "García Ñíguez^María José",
        "MRN-770031",
        "19930514",
        "F",
        "A2026-1107",
        "Hysteroscopy",
        "113000",
        True,
        {"pregnancy": "possibly pregnant"},
    ),
    ("Nowak^Piotr", "MRN-880192", "19720630", "M", "A2026-1108", "Ultrasound abdomen", "084500", False, {}),
    ("Lindqvist^Åsa", "MRN-990417", "", "", "A2026-1109", "Cystoscopy", "130000", False, {"status": "started"}),
]


def birth_words(date: str) -> str:
    """The date with its month spelled out."""
    return f"{int(date[6:])} {MONTHS[int(date[4:6]) - 1]} {date[:4]}" if date else ""


def patient_words(patient: Patient) -> dict[str, str]:
    """A patient as the state shows them."""
    return {
        "id": patient.id,
        "name": patient.name,
        "spoken_name": patient.spoken_name,
        "birth_date": patient.birth_date,
        "birth_words": birth_words(patient.birth_date),
        "sex": patient.sex,
    }


def order_words(row: tuple[Any, ...]) -> dict[str, Any]:
    """An order as the state shows it."""
    name, number, birth, sex, accession, description, at, mine, extra = row
    order = {
        "key": f"{accession}/S{accession[-2:]}",
        "patient": patient_words(Patient(number, name, birth, sex)),
        "accession": accession,
        "step_id": f"S{accession[-2:]}",
        "description": description,
        "modality": "ES",
        "date": f"{datetime.now():%Y%m%d}",
        "time": at,
        "alerts": "",
        "allergies": "",
        "pregnancy": "",
        "special_needs": "",
        "mine": mine,
        "status": "",
    }
    return order | extra


def paint(phase: float, label: str = "") -> Image.Image:
    """A tunnel of warm folds in a round window, as an endoscope shows it; 1280x720."""
    y, x = np.mgrid[-1:1:180j, -1.778:1.778:320j]
    x, y = x - 0.12 * np.sin(phase), y + 0.1 * np.cos(phase)
    radius, angle = np.hypot(x, y) + 1e-3, np.arctan2(y, x)
    folds = np.sin(7 / (radius + 0.25) - 2 * phase + 0.7 * np.sin(3 * angle + phase))
    vessels = np.clip(np.sin(11 * angle + 4 * np.sin(6 * radius)) - 0.93, 0, 1) * 6
    light = np.clip(0.1 + 1.25 * np.clip(radius, 0, 0.75), 0, 1) * (0.8 + 0.2 * folds)
    picture = np.stack([light * 232, light * (118 - 30 * vessels), light * (96 - 20 * vessels)], axis=-1)
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).resize((1280, 720), Image.Resampling.BICUBIC)
    window = Image.new("L", (1280, 720), 0)
    ImageDraw.Draw(window).rounded_rectangle((190, 8, 1090, 712), 210, fill=255)
    image = Image.composite(image, Image.new("RGB", (1280, 720), (4, 4, 5)), window)
    if label:
        ImageDraw.Draw(image).text((24, 20), label, fill=(220, 220, 220), font_size=34)
    return image


class FakeDesk:
    """Keeps the Desk protocol; what a test wants to see or to break is a public attribute.

    `calls` are the deeds in order; `slow` seconds every capture takes; `trouble` maps a deed to the error it raises.
    """

    RATE = 25.0

    def __init__(self, *, slow: float = 0.05, deliver_after: float = 0.4) -> None:
        self.board = Board()
        self.lock = threading.RLock()
        self.calls: list[tuple[str, Any]] = []
        self.slow = slow
        self.deliver_after = deliver_after
        self.trouble: dict[str, Exception] = {}
        self.picture = {"state": "live", "words": "1280 × 720 at 25/s", "width": 1280, "height": 720, "rate": self.RATE}
        self.orders = [order_words(row) for row in PEOPLE]
        self.fetched = time.time() - 20
        self.worklist_error = ""
        self.exam: dict[str, Any] | None = None
        self.recording_since: float | None = None
        self.exams: list[dict[str, Any]] = []
        self.owed = {"objects": 0, "reports": 0, "refused": 0, "words": "Nothing is owed"}
        self.peers = [
            {
                "name": "ris",
                "address": "RIS@127.0.0.1:11112",
                "roles": ["worklist", "mpps"],
                "answers": True,
                "words": "answered 8 s ago",
            },
            {
                "name": "pacs",
                "address": "PACS@127.0.0.1:11114",
                "roles": ["store", "commit"],
                "answers": True,
                "words": "answered 8 s ago",
            },
        ]
        self.disk: dict[str, Any] = {"free_mb": 48211.0, "reserve_mb": 512.0, "ok": True}
        self._opened = time.monotonic()
        self._serial = 0
        self._shots: dict[tuple[int, int], bytes] = {}
        self._thumbs: dict[str, bytes] = {}
        self._timers: list[threading.Timer] = []

    # what the screen sees

    def state(self) -> dict[str, Any]:
        """The whole state, freshly built."""
        with self.lock:
            exam = None
            if self.exam is not None:
                recording = None
                if self.recording_since is not None:
                    seconds = time.monotonic() - self.recording_since
                    started = datetime.now(UTC).isoformat()
                    recording = {"seconds": seconds, "frames": int(seconds * self.RATE), "started": started}
                exam = self.exam | {"recording": recording, "pictures": [dict(one) for one in self.exam["pictures"]]}
            return {
                "station": {
                    "ae_title": "DICAP",
                    "name": "Endoscopy 2",
                    "modality": "ES",
                    "source": "testcard",
                    "demo": True,
                },
                "time": datetime.now(UTC).isoformat(),
                "picture": dict(self.picture),
                "worklist": {
                    "orders": [{name: fact for name, fact in one.items() if name != "region"} for one in self.orders],
                    "fetched_at": datetime.fromtimestamp(self.fetched, UTC).isoformat(),
                    "age_seconds": time.time() - self.fetched,
                    "error": self.worklist_error,
                },
                "exam": exam,
                "exams": [dict(one) for one in self.exams],
                "owed": dict(self.owed),
                "peers": [dict(one) for one in self.peers],
                "disk": dict(self.disk),
                "reasons": [{"value": code.value, "meaning": code.meaning} for code in REASONS.values()],
            }

    def preview(self, width: int) -> tuple[int, bytes] | None:
        """One of 50 painted frames."""
        if self.picture["state"] in ("no signal", "lost"):
            return None
        number = self._number()
        return number, self._shot(number % 50, width)

    def wait_frame(self, after: int, timeout: float) -> int:
        """Sleeps until the next frame is due."""
        deadline = time.monotonic() + timeout
        while self._number() <= after and time.monotonic() < deadline:
            time.sleep(0.005)
        return self._number()

    def pace(self):
        return 0.0

    def thumbnail(self, picture_id: str) -> bytes:
        """The frame that was kept."""
        if picture_id not in self._thumbs:
            raise InputError(f"there is no picture {picture_id}")
        return self._thumbs[picture_id]

    # deeds

    def refresh_worklist(self) -> None:
        """Hears the RIS, unless there is trouble."""
        self._did("refresh_worklist")
        with self.lock:
            self.fetched = time.time()
        self.tell("worklist.changed")

    def begin(self, key: str) -> str:
        """Opens an exam for an order."""
        self._did("begin", key)
        order = next((one for one in self.orders if one["key"] == key), None)
        if order is None:
            raise InputError(f"no order {key}", "The worklist has changed: choose again.")
        if not self.disk["ok"]:
            raise DiskFull("only 211 MB are free and 512 MB must stay free")
        return self._open(order["patient"], order)

    def begin_unscheduled(self, patient: dict[str, str], description: str) -> str:
        """Opens an exam that nobody ordered."""
        self._did("begin_unscheduled", (patient, description))
        who = Patient(patient["id"] or temporary_id(datetime.now()), patient["name"], patient["birth_date"], patient["sex"])
        empty = {"key": f"{who.id}/", "accession": "", "description": description, "modality": "ES"}
        return self._open(patient_words(who), empty)

    def set_region(self, value: str) -> None:
        """Chooses the region."""
        self._did("set_region", value)
        with self.lock:
            if self.exam is None:
                raise StateError("no exam is open")
            chosen = [one for one in self.exam["regions"] if one["value"] == value]
            if not chosen:
                raise SettingsError(f"no region {value}")
            self.exam |= {"region": chosen[0] | {"from": "chosen"}, "needs_region": False}
        self.tell("exam.region")

    def still(self) -> str:
        """Keeps the newest frame."""
        number = self._number()
        self._did("still")
        time.sleep(self.slow)
        return self._keep("still", number, 0.0)

    def record(self) -> None:
        """Starts a clip."""
        self._did("record")
        with self.lock:
            if self.recording_since is not None:
                raise StateError("a clip is being recorded already")
            self.recording_since = time.monotonic()
        self.tell("recording.begun")

    def stop_recording(self) -> str:
        """Ends the clip."""
        self._did("stop_recording")
        with self.lock:
            if self.recording_since is None:
                raise StateError("no clip is being recorded")
            seconds = time.monotonic() - self.recording_since
            self.recording_since = None
        time.sleep(self.slow)
        return self._keep("clip", self._number(), seconds)

    def delete(self, picture_id: str) -> None:
        """Takes a picture out."""
        self._did("delete", picture_id)
        with self.lock:
            assert self.exam is not None
            self.exam["pictures"] = [one for one in self.exam["pictures"] if one["id"] != picture_id]
        self.tell("picture.deleted")

    def finish(self) -> None:
        """Ends the exam and delivers its pictures a little later."""
        self._did("finish")
        self._end("COMPLETED")

    def abandon(self, reason_value: str) -> None:
        """Ends the exam as discontinued."""
        self._did("abandon", reason_value)
        self._end("DISCONTINUED")

    def retry(self, ids: list[str]) -> int:
        """Forgets that something was refused."""
        self._did("retry", ids)
        with self.lock:
            count, self.owed = self.owed["refused"], {"objects": 0, "reports": 0, "refused": 0, "words": "Nothing is owed"}
        self.tell("owed.changed")
        return int(count)

    def capture_still(self, options: dict[str, Any]) -> dict[str, Any]:
        """Says what it was asked."""
        self._did("capture_still", options)
        return {"pictures": options["count"]}

    def capture_clip(self, options: dict[str, Any]) -> dict[str, Any]:
        """Says what it was asked."""
        self._did("capture_clip", options)
        return {"seconds": options["seconds"]}

    # for tests

    def tell(self, kind: str) -> None:
        """Some news."""
        self.board.tell(Event(kind))

    def change(self, **values: Any) -> None:
        """Set attributes and tell of it."""
        with self.lock:
            for name, value in values.items():
                assert hasattr(self, name), name
                setattr(self, name, value)
        self.tell("changed")

    def deeds(self, name: str) -> list[Any]:
        """What was asked of one deed."""
        return [facts for deed, facts in list(self.calls) if deed == name]

    def close(self) -> None:
        """No timer outlives a test."""
        for timer in self._timers:
            timer.cancel()

    def _did(self, deed: str, facts: Any = None) -> None:
        self.calls.append((deed, facts))
        if deed in self.trouble:
            raise self.trouble[deed]

    def _number(self) -> int:
        return int((time.monotonic() - self._opened) * self.RATE)

    def _shot(self, index: int, width: int) -> bytes:
        with self.lock:
            if (index, width) not in self._shots:
                picture = paint(index * 2 * np.pi / 50)
                picture.thumbnail((width, width))
                out = io.BytesIO()
                picture.save(out, "JPEG", quality=80)
                self._shots[index, width] = out.getvalue()
            return self._shots[index, width]

    def _open(self, patient: dict[str, str], order: dict[str, Any]) -> str:
        with self.lock:
            if self.exam is not None:
                raise StateError("another exam is open")
            self._serial += 1
            wanted = ("key", "accession", "description", "modality", "alerts", "allergies", "pregnancy", "special_needs")
            facts = {name: order.get(name, "") for name in wanted}
            started = datetime.now(UTC).isoformat()
            self.exam = {
                "id": f"E{self._serial}",
                "patient": patient,
                "started": started,
                "pictures": [],
                "busy": [],
                "region": order.get("region"),
                "needs_region": "region" not in order,
                "regions": [{"value": code.value, "meaning": code.meaning} for code in choices("ES")],
            } | facts
        self.tell("exam.begun")
        return f"E{self._serial}"

    def _keep(self, kind: str, frame: int, seconds: float) -> str:
        with self.lock:
            if self.exam is None:
                raise StateError("no exam is open")
            if self.picture["state"] in ("no signal", "lost"):
                raise StateError("there is no picture to take", "Check the cable from the processor to this box.")
            self._serial += 1
            identity = f"P{self._serial}"
            self._thumbs[identity] = self._shot(frame % 50, 640)
            frames = int(seconds * self.RATE)
            number = len(self.exam["pictures"]) + 1
            flaws = ["3 frames lost at 0:01"] if "flaw" in self.trouble else []
            self.exam["pictures"].append(
                {"id": identity, "kind": kind, "number": number, "seconds": seconds, "frames": frames, "flaws": flaws}
            )
        self.tell("picture.kept")
        return identity

    def _end(self, state: str) -> None:
        with self.lock:
            if self.exam is None:
                raise StateError("no exam is open")
            exam, self.exam = self.exam, None
            count = len(exam["pictures"])
            line = {
                "id": exam["id"],
                "patient": exam["patient"],
                "accession": exam["accession"],
                "description": exam["description"],
                "ended": datetime.now(UTC).isoformat(),
                "state": state,
                "line": f"0 of {count} stored",
                "done": False,
                "trouble": "",
            }
            self.exams.insert(0, line)
            self.orders = [one for one in self.orders if one["key"] != exam["key"]]
            self.owed = {"objects": count, "reports": 1, "refused": 0, "words": f"{count} pictures and 1 report still owed"}
        self.tell("exam.ended")
        timer = threading.Timer(self.deliver_after, self._deliver, (line, count))
        self._timers.append(timer)
        timer.start()

    def _deliver(self, line: dict[str, Any], count: int) -> None:
        with self.lock:
            line["line"], line["done"] = f"{count} of {count} stored, committed", True
            self.owed = {"objects": 0, "reports": 0, "refused": 0, "words": "Nothing is owed"}
        self.tell("exam.delivered")


def main() -> None:
    """Serve the screen until Enter is pressed."""
    from appliance.ui import api, screens, serve

    desk = FakeDesk(slow=0.25, deliver_after=4)
    app = api.build(desk)
    screens.mount(app)
    server = serve.Server(app, "127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8080)
    sys.stdout.write(f"http://127.0.0.1:{server.start()}/\n")
    sys.stdin.readline()
    server.stop()
    desk.close()


if __name__ == "__main__":
    main()
