"""Which syntax a picture gets: asked for, the source's setting, the station's; and no setting loses a picture."""

from datetime import UTC, datetime

import numpy as np
import pytest

from appliance.clinic.patient import Patient
from appliance.dicom.syntaxes import by_uid
from appliance.errors import IllegalPair
from appliance.events import Board
from appliance.settings import Settings, SourceSetting, Station
from appliance.spool.ledger import Ledger
from appliance.spool.shelf import Shelf
from appliance.workflow.acquire import Acquisition
from appliance.workflow.becoming import How
from appliance.workflow.place import Place
from appliance.workflow.session import Session
from capture.frame import Still
from capture.tap import Tap

NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.fixture
def place(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    yield lambda **station: Place(
        Settings(station=Station(modality="OT", reserve_mb=0, **station)), Shelf(tmp_path), ledger, tell=Board().tell
    )
    ledger.close()


def keep(where, how, bits=8):
    acquisition = Acquisition(where)
    exam = acquisition.begin([acquisition.unscheduled(Patient("P", "Doe^J"))])
    pixels = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)
    still = Still(NOW, pixels=pixels if bits > 8 else pixels.astype(np.uint8), bits=bits)
    return by_uid(acquisition.keep(exam.id, still, how).syntax_uid).name


def test_asked_for_before_the_source_before_the_station(place):
    where = place(still_syntax="rle")
    assert keep(where, How(syntax="explicit", usual_still="j2k")) == "explicit"
    assert keep(where, How(usual_still="j2k")) == "j2k"
    assert keep(where, How()) == "rle"
    assert keep(place(), How()) == "jls"


def test_a_setting_that_does_not_fit_costs_no_picture_but_a_wish_that_does_not_is_refused(place):
    assert keep(place(still_syntax="mpeg2"), How()) == "jls"
    with pytest.raises(IllegalPair):
        keep(place(), How(syntax="mpeg2"))


def test_the_settings_of_a_source_reach_its_pictures(place):
    where = place()
    source = SourceSetting(spec="testcard", still_syntax="jpeg", clip_syntax="h264")
    how = Session(where, Acquisition(where), Tap(lambda: None), source).how()
    assert (how.syntax, how.usual_still, how.usual_clip, how.conversion) == ("auto", "jpeg", "h264", "SYN")
    assert keep(where, how) == "jpeg"
