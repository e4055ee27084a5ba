"""The settings: what a file may say, how a mistake is named, and that every one is explained."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from appliance.errors import SettingsError
from appliance.settings import Address, Peer, Settings, data_folder, host_port, load, settings_file

ROOT = Path(__file__).resolve().parents[1]


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "dicap.toml"
    path.write_text(text, encoding="utf-8")
    return path


def branches(kind: type[BaseModel] = Settings, place: str = "") -> list[tuple[str, type[BaseModel]]]:
    """Every table of the tree, with where it stands."""
    found = [(place, kind)]
    for name, field in kind.model_fields.items():
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel):
                found += branches(part, f"{place}.{name}".lstrip("."))
    return found


def test_without_a_file_the_settings_fit_the_demo_hospital():
    settings = load(None)
    assert settings.station.ae_title == "DICAP"
    assert settings.station.source == "testcard:1280x720@30"
    assert settings.courier.listen == "127.0.0.1:11113"
    assert str(settings.peers["ris"].parsed()) == "RIS@127.0.0.1:11112"
    assert settings.peers["ris"].roles == ("worklist", "mpps")
    assert str(settings.peers["pacs"].parsed()) == "PACS@127.0.0.1:11114"
    assert settings.peers["pacs"].roles == ("store", "commit")
    assert settings.peers["pacs"].release == "committed"


def test_screen_and_ear_bind_loopback_unless_told_otherwise():
    settings = Settings()
    assert settings.station.http.startswith("127.0.0.1:")
    assert settings.courier.listen.startswith("127.0.0.1:")


def test_what_a_file_does_not_say_keeps_its_default(tmp_path):
    settings = load(written(tmp_path, '[station]\nmodality = "US"\n'))
    assert settings.station.modality == "US"
    assert settings.station.ae_title == "DICAP"
    assert settings.peers.keys() == {"ris", "pacs"}


def test_all_mistakes_are_named_at_once_with_the_nearest_right_name(tmp_path):
    text = """
[station]
modalty = "ES"
reserve_mb = -1
[courier]
timeout = "soon"
[peers.pacs]
address = "nonsense"
release = "whenever"
"""
    with pytest.raises(SettingsError) as caught:
        load(written(tmp_path, text))
    words = str(caught.value)
    assert "station.modalty: no such setting; did you mean modality?" in words
    for place in ("station.reserve_mb", "courier.timeout", "peers.pacs.release"):
        assert place in words
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "address", ["nonsense", "PACS@host", "PACS@host:0", "PACS@host:99999", "@host:104", "A" * 17 + "@host:104"]
)
def test_an_address_that_is_none_is_named_with_its_place(tmp_path, address):
    with pytest.raises(SettingsError, match=r"peers\.pacs\.address.*AET@host:port"):
        load(written(tmp_path, f'[peers.pacs]\naddress = "{address}"\n'))


@pytest.mark.parametrize("text", ["[station", "station = 5", "= 3", '[station]\nmodality = "ES"\nmodality = "US"'])
def test_a_file_that_is_not_toml_or_not_settings_is_refused_by_name(tmp_path, text):
    with pytest.raises(SettingsError, match=r"dicap\.toml"):
        load(written(tmp_path, text))


def test_a_file_in_another_encoding_is_refused_in_words(tmp_path):
    path = tmp_path / "dicap.toml"
    path.write_bytes('[station]\ninstitution = "Universität"\n'.encode("latin-1"))
    with pytest.raises(SettingsError, match="not TOML"):
        load(path)


def test_a_file_that_was_asked_for_and_is_missing_is_an_error(tmp_path):
    with pytest.raises(SettingsError, match="cannot read"):
        load(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("title", ["", "A" * 17, "A\\B", "A\nB"])
def test_an_ae_title_that_the_standard_forbids_is_refused(title):
    with pytest.raises(ValidationError):
        Settings.model_validate({"station": {"ae_title": title}})


def test_the_tree_is_frozen():
    with pytest.raises(ValidationError):
        Settings().station.modality = "US"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("PACS@10.0.0.5:104", "10.0.0.5", 104),
        ("PACS@[::1]:11112", "::1", 11112),
        ("MY PACS@archive.example:104", "archive.example", 104),
    ],
)
def test_an_address_reads_and_prints_alike(text, host, port):
    address = Address.parse(text)
    assert (address.host, address.port) == (host, port)
    assert str(address) == text


def test_a_peer_is_found_by_name_or_by_address():
    settings = Settings()
    assert settings.peer("pacs") is settings.peers["pacs"]
    assert settings.peer("X@127.0.0.1:4242").parsed() == Address(ae_title="X", host="127.0.0.1", port=4242)
    with pytest.raises(SettingsError, match="known: ris, pacs"):
        settings.peer("pax")


def test_a_source_is_found_by_name_or_is_the_word_itself():
    settings = Settings.model_validate({"sources": {"theatre": {"spec": "/dev/video0", "quality": 80}}})
    assert settings.source("theatre").quality == 80
    assert settings.source("/dev/video2").spec == "/dev/video2"


def test_peers_are_chosen_by_role():
    peers = {"a": Peer(address="A@h:1", roles=("store",)), "b": Peer(address="B@h:2", roles=("store", "commit"))}
    settings = Settings(peers=peers)
    assert list(settings.with_role("store")) == ["a", "b"]
    assert list(settings.with_role("commit")) == ["b"]
    assert settings.with_role("mpps") == {}


def test_the_file_is_looked_for_in_the_order_that_is_written_down(clean_environment, monkeypatch):
    assert settings_file(None) in (None, Path("/etc/dicap/dicap.toml"))
    (clean_environment / "dicap.toml").write_text("")
    assert settings_file(None) == Path("dicap.toml")
    monkeypatch.setenv("DICAP_CONFIG", "elsewhere.toml")
    assert settings_file(None) == Path("elsewhere.toml")
    assert settings_file("given.toml") == Path("given.toml")


def test_the_spool_lies_where_it_is_told_to(clean_environment, monkeypatch):
    assert data_folder(None) == clean_environment / ".local" / "share" / "dicap"
    monkeypatch.setenv("DICAP_DATA", "/somewhere")
    assert data_folder(None) == Path("/somewhere")
    assert data_folder("/given") == Path("/given")


def test_every_setting_is_explained():
    silent = [
        f"{place}.{name}"
        for place, kind in branches()
        for name, field in kind.model_fields.items()
        if not field.description and not (place == "" and issubclass(field.annotation, BaseModel))
    ]
    assert silent == []
    assert [place for place, kind in branches() if not kind.__doc__] == []


def test_the_page_about_settings_is_the_one_that_the_tree_writes():
    spec = importlib.util.spec_from_file_location("settings_page", ROOT / "tools" / "settings_page.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == tool.page(), "run `make docs`"
    for place, kind in branches():
        if place:
            assert all(f"| `{name}` |" in page or f".{name}]`" in page for name in kind.model_fields)


def test_the_examples_that_are_shown_can_be_used(tmp_path):
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    example = re.search(r"```toml\n(.*?)```", page, re.S)
    assert example
    assert load(written(tmp_path, example[1])).source("theatre").spec == "/dev/video0"
    shipped = load(ROOT / "systemd" / "dicap.toml")
    assert shipped == Settings(), "the settings that make install puts down are the built-in ones, spelled out"
    assert tomllib.loads((ROOT / "systemd" / "dicap.toml").read_text(encoding="utf-8"))["station"]["ae_title"] == "DICAP"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:80", ("::1", 80)),
        (":8080", ("127.0.0.1", 8080)),
        ("8080", ("127.0.0.1", 8080)),
    ],
)
def test_an_address_to_listen_on_is_loopback_where_it_names_no_host(text, want):
    assert host_port(text) == want


@pytest.mark.parametrize("text", ["", "localhost", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:99999", "::1:80"])
def test_what_is_no_host_and_port_is_said(tmp_path, text):
    with pytest.raises(SettingsError, match="HOST:PORT"):
        host_port(text)
    with pytest.raises(SettingsError, match=r"station\.http"):
        load(written(tmp_path, f'[station]\nhttp = "{text}"\n'))


def test_an_ae_title_towards_a_peer_that_is_none_is_named(tmp_path):
    path = tmp_path / "dicap.toml"
    path.write_text('[peers.far]\naddress = "PACS@10.0.0.1:104"\ncalling = "A TITLE THAT IS FAR TOO LONG"\n')
    with pytest.raises(SettingsError, match=r"peers\.far\.calling"):
        load(path)
