"""The whole configuration as one frozen tree, each field explained; all mistakes are named at once."""

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from appliance.errors import SettingsError

AETitle = Annotated[str, StringConstraints(pattern=r"^[^\\\x00-\x1f]{1,16}$", strip_whitespace=True)]
Role = Literal["worklist", "mpps", "store", "commit", "print", "query"]
Release = Literal["committed", "stored", "never"]


class Branch(BaseModel):
    """A part of the tree: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CodeSetting(Branch):
    """A coded term, as in PS3.3 8.8."""

    value: str = Field(description="Code Value")
    scheme: str = Field(description="Coding Scheme Designator: SCT, DCM, LN …")
    meaning: str = Field(description="Code Meaning, in words")


class Station(Branch):
    """Process 1: the camera and the screen."""

    ae_title: AETitle = Field("DICAP", description="Our AE title, also the courier's.")
    name: str = Field("DICAP", max_length=16, description="Station Name written into objects.")
    modality: str = Field("ES", pattern=r"^[A-Z0-9_ ]{1,16}$", description="Modality of the device beside us.")
    source: str = Field("testcard:1280x720@30", description="The picture source: a --source word or a name in [sources].")
    http: str = Field("127.0.0.1:8080", description="Where the screen is served, HOST:PORT.")
    still_syntax: str = Field("auto", description="Transfer syntax of stills; auto is lossless.")
    clip_syntax: str = Field("auto", description="Transfer syntax of clips; auto is video.")
    object: str = Field("auto", description="Kind of object; auto goes by the modality.")
    reserve_mb: int = Field(512, ge=0, description="Free megabytes below which a capture does not begin.")
    worklist: Literal["modality", "station", "all"] = Field(
        "modality", description="Which of today's orders are shown: our modality's, our AE title's, or all."
    )
    send: Literal["finish", "at once"] = Field(
        "finish", description="When pictures go: with the exam's end (they can be deleted till then), or at once."
    )
    institution: str = Field("", max_length=64, description="Institution Name written into objects.")
    department: str = Field("", max_length=64, description="Institutional Department Name written into objects.")
    operator: str = Field("", description="Operators' Name while nobody has signed in.")
    manufacturer: str = Field("", max_length=64, description="Manufacturer of the device beside us, where known.")
    model: str = Field("", max_length=64, description="Model name of the device beside us, where known.")
    serial: str = Field("", max_length=64, description="Serial number of the device beside us, where known.")


class SourceSetting(Branch):
    """One named picture source and what is to be written about its pictures."""

    spec: str = Field(description="The --source word that opens it.")
    object: str = Field("auto", description="Kind of object its pictures become.")
    still_syntax: str = Field("auto", description="Transfer syntax of its stills.")
    clip_syntax: str = Field("auto", description="Transfer syntax of its clips.")
    quality: int = Field(90, ge=1, le=100, description="Quality of lossy stills, 1 to 100.")
    anatomic_region: CodeSetting | None = Field(None, description="Anatomic Region where the order names none.")
    laterality: Literal["", "L", "R", "U", "B"] = Field("", description="Image Laterality where it is always the same.")


class Courier(Branch):
    """Process 2: the network."""

    listen: str = Field("127.0.0.1:11113", description="Where the standing ear listens, HOST:PORT.")
    first_pause: float = Field(2.0, gt=0, description="Seconds before the first retry; doubles, with jitter.")
    longest_pause: float = Field(300.0, gt=0, description="Seconds between retries at the most.")
    commit_patience: float = Field(600.0, gt=0, description="Seconds after which an unanswered commitment is asked again.")
    same_association: float = Field(
        1.0, ge=0, description="Seconds the association stays open for a commitment report before it is released."
    )
    keep_hours: float = Field(
        24.0, ge=0, description="Hours a released object's file stays on the shelf (for a disc) while there is space."
    )
    worklist_every: float = Field(60.0, gt=0, description="Seconds between two looks at the worklist.")
    timeout: float = Field(30.0, gt=0, description="Seconds a peer may take for one answer.")
    connect_timeout: float = Field(5.0, gt=0, description="Seconds a peer may take to accept a connection.")


class Peer(Branch):
    """Somebody we speak to."""

    address: str = Field(description="AET@host:port.")
    roles: tuple[Role, ...] = Field((), description="What it does for us.")
    release: Release = Field("committed", description="When an object may leave the shelf, as far as this peer goes.")
    calling: str = Field("", description="The AE title we use towards it, where it is not our own.")
    syntaxes: tuple[str, ...] = Field((), description="Transfer syntaxes to propose besides the object's own.")

    def parsed(self) -> "Address":
        """The address as one value."""
        return Address.parse(self.address)


class Address(Branch):
    """One peer is one value: AE title, host and port."""

    ae_title: AETitle
    host: str
    port: int = Field(ge=1, le=65535)

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read `AET@host:port`; raises SettingsError."""
        match = re.fullmatch(r"([^@\\]{1,16})@(\[[0-9a-fA-F:]+\]|[^:@\s]+):(\d{1,5})", text.strip())
        if not match or not 1 <= int(match[3]) <= 65535:
            raise SettingsError(f"{text!r} is not a peer: write AET@host:port, as in PACS@10.0.0.5:104")
        return cls(ae_title=match[1].strip(), host=match[2].strip("[]"), port=int(match[3]))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.ae_title}@{host}:{self.port}"


class Dicom(Branch):
    """What concerns the objects themselves."""

    uid_root: str = Field("", pattern=r"^(|[0-2](\.(0|[1-9]\d*))+)$", description="Our UID root; empty: UUIDs under 2.25.")
    clip_limit_mb: int = Field(1900, ge=1, le=4000, description="Megabytes after which a video becomes a further object.")


class Settings(Branch):
    """The tree. With no file at all it fits the demo hospital."""

    station: Station = Station()
    sources: dict[str, SourceSetting] = Field({}, description="Named picture sources.")
    courier: Courier = Courier()
    peers: dict[str, Peer] = Field(
        {
            "ris": Peer(address="RIS@127.0.0.1:11112", roles=("worklist", "mpps")),
            "pacs": Peer(address="PACS@127.0.0.1:11114", roles=("store", "commit")),
        },
        description="Who we speak to, by name.",
    )
    dicom: Dicom = Dicom()

    def with_role(self, role: Role) -> dict[str, Peer]:
        """The peers that have this role, by name."""
        return {name: peer for name, peer in self.peers.items() if role in peer.roles}

    def peer(self, word: str) -> Peer:
        """A peer by its name, or by `AET@host:port`; raises SettingsError naming the known ones."""
        if word in self.peers:
            return self.peers[word]
        if "@" in word:
            return Peer(address=str(Address.parse(word)))
        raise SettingsError(f"no peer is called {word!r}; known: {', '.join(self.peers) or 'none'}, or write AET@host:port")

    def source(self, word: str) -> SourceSetting:
        """A source by its name in the settings, or by its --source word."""
        return self.sources.get(word) or SourceSetting(spec=word)


def host_port(text: str) -> tuple[str, int]:
    """Read `HOST:PORT`; without a host it is loopback, so that nothing is opened by leaving it out. SettingsError."""
    host, _, port = text.strip().rpartition(":")
    if not re.fullmatch(r"\d{1,5}", port) or int(port) > 65535 or (":" in host and not re.fullmatch(r"\[.*\]", host)):
        raise SettingsError(f"{text!r} is no HOST:PORT: write it as 127.0.0.1:8080, or [::1]:8080")
    return host.strip("[]") or "127.0.0.1", int(port)


def settings_file(given: str | None) -> Path | None:
    """Where the settings are: the given file, $DICAP_CONFIG, ./dicap.toml, /etc/dicap/dicap.toml, or nowhere."""
    for word in (given, os.environ.get("DICAP_CONFIG")):
        if word:
            return Path(word)
    for place in (Path("dicap.toml"), Path("/etc/dicap/dicap.toml")):
        if place.is_file():
            return place
    return None


def data_folder(given: str | None) -> Path:
    """Where the spool lies: the given folder, $DICAP_DATA, else the user's share of this machine."""
    word = given or os.environ.get("DICAP_DATA")
    return Path(word) if word else Path.home() / ".local" / "share" / "dicap"


def load(path: Path | None) -> Settings:
    """Read the settings; raises SettingsError with every mistake and the nearest right name."""
    if path is None:
        return Settings()
    try:
        tree: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        settings = Settings.model_validate(tree)
    except OSError as error:
        raise SettingsError(f"cannot read the settings {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        raise SettingsError(f"{path}:\n" + "\n".join(_mistake(one) for one in error.errors())) from error
    mistakes = []
    for name, peer in settings.peers.items():
        if not re.fullmatch(r"[^\\\x00-\x1f]{0,16}", peer.calling):
            mistakes.append(f"  peers.{name}.calling: {peer.calling!r} is no AE title: at most 16 characters, no backslash")
        try:
            peer.parsed()
        except SettingsError as wrong:
            mistakes.append(f"  peers.{name}.address: {wrong}")
    for name, text in (("station.http", settings.station.http), ("courier.listen", settings.courier.listen)):
        try:
            host_port(text)
        except SettingsError as wrong:
            mistakes.append(f"  {name}: {wrong}")
    if mistakes:
        raise SettingsError(f"{path}:\n" + "\n".join(mistakes))
    return settings


def _mistake(error: Any) -> str:
    place = [str(part) for part in error["loc"]]
    line = f"  {'.'.join(place)}: {error['msg']}"
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(place[-1], _names(place[:-1]), 1)
        line = f"  {'.'.join(place)}: no such setting" + (f"; did you mean {near[0]}?" if near else "")
    return line


def _names(place: list[str]) -> list[str]:
    branch: type[BaseModel] = Settings
    for part in place:
        if branch is Settings and part in ("sources", "peers"):
            branch = SourceSetting if part == "sources" else Peer
        elif part in branch.model_fields:
            kind = branch.model_fields[part].annotation
            branch = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else branch
    return list(branch.model_fields)
