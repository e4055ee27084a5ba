"""The standing ear, spoken to by dcmtk and by archives that report commitments."""

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hospital import CALLER
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role
from test_pacs import COMMITMENT, WELL_KNOWN, report

from appliance.errors import SettingsError, SpoolError
from appliance.network import pacs
from appliance.network.listener import Listener
from appliance.network.pacs import Commitment
from appliance.settings import Address

Heard = Callable[[Commitment], object]


@contextmanager
def listening(heard: Heard, host: str = "127.0.0.1") -> Iterator[tuple[Address, list[tuple[str, str]]]]:
    news: list[tuple[str, str]] = []
    listener = Listener("DICAP", host, 0, on_commitment=heard, on_news=lambda kind, words: news.append((kind, words)))
    port = listener.start()
    try:
        yield Address(ae_title="DICAP", host=host, port=port), news
    finally:
        listener.stop()


def tell(address: Address, dataset: Dataset, kind: int, role: bool = True) -> int:
    """Report as an archive does: on an association of its own, as SCP. Returns the status of our answer."""
    archive = AE("ARCHIVE")
    archive.add_requested_context(COMMITMENT)
    roles = [build_role(COMMITMENT, scp_role=True)] if role else []
    association = archive.associate(address.host, address.port, ae_title="DICAP", ext_neg=roles)
    assert association.is_established
    try:
        status, _ = association.send_n_event_report(dataset, kind, COMMITMENT, WELL_KNOWN)
        return int(status.Status)
    finally:
        association.release()


def test_echo_is_answered_to_dcmtk_and_to_ourselves() -> None:
    with listening(lambda one: True) as (address, _):
        subprocess.run(["echoscu", "-aec", "DICAP", "127.0.0.1", str(address.port)], check=True, timeout=20)
        assert 0 < pacs.echo(CALLER, address) < 5


@pytest.mark.parametrize("role", [True, False])
def test_a_report_reaches_the_callback(role: bool) -> None:
    heard: list[Commitment] = []
    with listening(heard.append) as (address, news):
        assert tell(address, report("1.2.9", ["2.25.1"], {"2.25.2": 0x0112}), 2, role) == 0
    assert heard == [Commitment("1.2.9", ("2.25.1",), (("2.25.2", 0x0112, "the archive does not have it"),))]
    assert news == []


def test_an_unknown_transaction_is_news() -> None:
    with listening(lambda one: False) as (address, news):
        assert tell(address, report("1.2.9", ["2.25.1"]), 1) == 0
    assert [kind for kind, _ in news] == ["commitment.unknown"]
    assert "ARCHIVE reports on transaction 1.2.9" in news[0][1]


def test_a_report_that_could_not_be_kept_is_sent_again_by_the_archive() -> None:
    def fail(one: Commitment) -> None:
        raise SpoolError("the disk is full")

    with listening(fail) as (address, news):
        assert tell(address, report("1.2.9", ["2.25.1"]), 1) == 0x0110
    assert "the disk is full" in news[0][1]


@pytest.mark.parametrize(("dataset", "kind"), [(Dataset(), 1), (report("1.2.9", []), 9)])
def test_a_report_without_sense_is_answered_so_and_is_news(dataset: Dataset, kind: int) -> None:
    heard: list[Commitment] = []
    dataset.PatientID = "x"  # pynetdicom leaves an empty data set out
    with listening(heard.append) as (address, news):
        assert tell(address, dataset, kind) == 0x0115
    assert heard == []
    assert [kind for kind, _ in news] == ["commitment.unreadable"]


def test_many_archives_at_once_are_heard() -> None:
    heard: list[Commitment] = []
    with listening(heard.append) as (address, _):
        threads = [
            threading.Thread(target=tell, args=(address, report(f"1.2.{number}", ["2.25.1"]), 1)) for number in range(15)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert {one.transaction_uid for one in heard} == {f"1.2.{number}" for number in range(15)}


def test_a_taken_port_is_a_mistake_in_the_settings() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listener = Listener("DICAP", "127.0.0.1", other.getsockname()[1], on_commitment=print)
        with pytest.raises(SettingsError, match=r"cannot listen on 127\.0\.0\.1 port"):
            listener.start()


def test_after_stop_nobody_listens_and_stopping_twice_is_fine() -> None:
    listener = Listener("DICAP", "", 0, on_commitment=print)
    port = listener.start()
    begin = time.monotonic()
    listener.stop()
    listener.stop()
    assert time.monotonic() - begin < 3
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_nothing_but_loopback_is_bound_unless_told() -> None:
    listener = Listener("DICAP", "", 0, on_commitment=print)
    listener.start()
    try:
        assert listener._server.server_address[0] == "127.0.0.1"
    finally:
        listener.stop()
