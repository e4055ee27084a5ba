"""The shape of the state that a Desk gives and of the words that a screen sends: OpenAPI's schemas."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints


class Strict(BaseModel):
    """A part of the shape: no field more, no field less."""

    model_config = ConfigDict(extra="forbid")


class StationWords(Strict):
    """Which station this is."""

    ae_title: str
    name: str
    modality: str
    source: str
    demo: bool


class PictureWords(Strict):
    """How the live picture is; width and height in pixels, rate in frames per second."""

    state: Literal["live", "ended", "no signal", "frozen", "lost"]
    words: str
    width: int
    height: int
    rate: float


class PatientWords(Strict):
    """Who; `birth_words` is the birth date with the month spelled out."""

    id: str
    name: str
    spoken_name: str
    birth_date: str
    birth_words: str
    sex: str


class OrderWords(Strict):
    """One scheduled step of the worklist; `mine`: planned for this station."""

    key: str
    patient: PatientWords
    accession: str
    step_id: str
    description: str
    modality: str
    date: str
    time: str
    alerts: str
    allergies: str
    pregnancy: str
    special_needs: str
    mine: bool
    status: str


class WorklistWords(Strict):
    """The worklist as it was last heard, and how old that is."""

    orders: list[OrderWords]
    fetched_at: str | None
    age_seconds: float | None
    error: str


class KeptPicture(Strict):
    """One kept picture of the open exam."""

    id: str
    kind: Literal["still", "clip"]
    number: int
    seconds: float
    frames: int
    flaws: list[str]


class RecordingWords(Strict):
    """The clip that is being recorded."""

    seconds: float
    frames: int
    started: str


class CodeWords(Strict):
    """One thing to choose: its code value, and what it means in the standard's words."""

    value: str
    meaning: str


class RegionWords(CodeWords):
    """The part of the body that the exam shows (SNOMED CT), and `from` whom that is known."""

    said_by: Literal["chosen", "order", "setting"] = Field(alias="from")


class ExamWords(Strict):
    """The open exam; `busy` says in words what is still being done for it.

    `needs_region`: the object that a clip becomes must say a region, and none is known; until one of `regions` is chosen,
    clips become Secondary Capture.
    The last four are the order's: the worklist may have lost it by now, and what can hurt a patient must stay in sight.
    """

    id: str
    key: str
    patient: PatientWords
    accession: str
    description: str
    modality: str
    started: str
    pictures: list[KeptPicture]
    recording: RecordingWords | None
    busy: list[str]
    region: RegionWords | None
    needs_region: bool
    regions: list[CodeWords]
    alerts: str = ""
    allergies: str = ""
    pregnancy: str = ""
    special_needs: str = ""


class ExamLine(Strict):
    """One ended exam and how far its pictures got."""

    id: str
    patient: PatientWords
    accession: str
    description: str
    ended: str
    state: Literal["COMPLETED", "DISCONTINUED"]
    line: str
    done: bool
    trouble: str


class OwedWords(Strict):
    """What the hospital has not got yet; `refused` waits for a person."""

    objects: int
    reports: int
    refused: int
    words: str


class PeerWords(Strict):
    """One peer and whether it answers; None: not asked yet."""

    name: str
    address: str
    roles: list[str]
    answers: bool | None
    words: str


class DiskWords(Strict):
    """Free space and the reserve below which no capture begins."""

    free_mb: float
    reserve_mb: float
    ok: bool


class State(Strict):
    """Everything the screen shows."""

    station: StationWords
    time: str
    picture: PictureWords
    worklist: WorklistWords
    exam: ExamWords | None
    exams: list[ExamLine]
    owed: OwedWords
    peers: list[PeerWords]
    disk: DiskWords
    reasons: list[CodeWords]


class Trouble(Strict):
    """What went wrong: what happened, and what is safe and what to do."""

    what: str
    advice: str


def _plain(text: str) -> str:
    if any(character in "\\=" or not character.isprintable() for character in text):
        raise ValueError("a backslash, an equals sign or a control character cannot be written here")
    return text.strip()


Words = Annotated[str, StringConstraints(max_length=64), AfterValidator(_plain)]


class BeginWish(Strict):
    """Which order to begin."""

    key: str = Field(min_length=1, max_length=256)


class NewPatient(Strict):
    """A patient whom nobody ordered; `name` is a DICOM person name, `birth_date` is YYYYMMDD or empty."""

    id: Words = ""
    name: Words = ""
    birth_date: Annotated[str, StringConstraints(pattern=r"^(\d{8})?$")] = ""
    sex: Literal["", "M", "F", "O"] = ""


class UnscheduledWish(Strict):
    """An exam that nobody ordered."""

    patient: NewPatient = NewPatient()
    description: Words = ""


class AbandonWish(Strict):
    """Why: the value of one of the state's reasons."""

    reason: str = Field(min_length=1, max_length=16)


class RegionWish(Strict):
    """Which part of the body: the value of one of the exam's regions."""

    value: str = Field(min_length=1, max_length=64)


class RetryWish(Strict):
    """What to try again; nothing named: everything refused."""

    ids: list[str] = Field(default=[], max_length=10_000)


class ScriptWish(BaseModel):
    """A capture that a script asks for; what else it says (orders, exam) is handed to the desk as it is."""

    model_config = ConfigDict(extra="allow")


class StillWish(ScriptWish):
    """Stills for a script; `every` is in seconds."""

    syntax: str = "auto"
    object: str = "auto"
    count: int = Field(1, ge=1, le=10_000)
    every: float = Field(0.0, ge=0)


class ClipWish(ScriptWish):
    """A clip for a script."""

    seconds: float = Field(gt=0, le=86_400)
    syntax: str = "auto"
    object: str = "auto"
