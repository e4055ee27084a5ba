"""The API: every deed reaches the desk, every trouble comes back in words."""

import httpx
import pytest
from fake_desk import FakeDesk

from appliance.errors import Broken, CheckError, DiskFull, InputError, SettingsError, StateError
from appliance.ui import screens
from appliance.ui.shape import State
from capture.source import SourceLost

KEY = "A2026-1102/S02"


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.url, timeout=10) as client:
        yield client


def test_the_fake_state_has_exactly_the_promised_shape(desk: FakeDesk):
    State.model_validate(desk.state(), strict=True)
    desk.begin(KEY)
    desk.record()
    desk.still()
    State.model_validate(desk.state(), strict=True)
    desk.finish()
    assert State.model_validate(desk.state(), strict=True).exams[0].line == "0 of 1 stored"


def test_the_state_is_the_desks(client, desk):
    told = client.get("/api/state").json()
    assert told["worklist"]["orders"] == desk.state()["worklist"]["orders"]
    assert told["station"]["demo"] is True


def test_an_exam_from_begin_to_finish(client, desk):
    assert client.post("/api/exam/begin", json={"key": KEY}).json() == {"id": "E1"}
    still = client.post("/api/exam/still").json()["id"]
    assert client.post("/api/exam/record").json() == {}
    clip = client.post("/api/exam/stop").json()["id"]
    assert [one["id"] for one in desk.state()["exam"]["pictures"]] == [still, clip]
    picture = client.get(f"/api/exam/pictures/{still}/thumbnail.jpg")
    assert picture.headers["content-type"] == "image/jpeg" and picture.content[:2] == b"\xff\xd8"
    assert client.delete(f"/api/exam/pictures/{still}").status_code == 200
    assert [one["id"] for one in desk.state()["exam"]["pictures"]] == [clip]
    assert client.post("/api/exam/finish").status_code == 200
    assert desk.state()["exam"] is None
    names = ["begin", "still", "record", "stop_recording", "delete", "finish"]
    assert [name for name, _ in desk.calls] == names


def test_a_region_is_chosen_from_the_list_and_nothing_else(client, desk):
    client.post("/api/exam/begin", json={"key": KEY})
    exam = client.get("/api/state").json()["exam"]
    assert exam["region"] is None and exam["needs_region"] is True
    assert {"value": "69695003", "meaning": "Stomach"} in exam["regions"]
    assert client.post("/api/exam/region", json={"value": "12345"}).status_code == 400
    assert client.post("/api/exam/region", json={"value": ""}).status_code == 400
    assert client.post("/api/exam/region", json={"value": "69695003"}).json() == {}
    exam = client.get("/api/state").json()["exam"]
    assert exam["region"] == {"value": "69695003", "meaning": "Stomach", "from": "chosen"}
    assert exam["needs_region"] is False
    State.model_validate(desk.state(), strict=True)


def test_an_exam_is_abandoned_with_its_reason(client, desk):
    client.post("/api/exam/begin", json={"key": KEY})
    assert client.post("/api/exam/abandon", json={"reason": "110514"}).status_code == 200
    assert desk.deeds("abandon") == ["110514"]


def test_an_unscheduled_patient_reaches_the_desk_trimmed(client, desk):
    wish = {"patient": {"id": " X1 ", "name": "Øster^Åse", "birth_date": "19570303", "sex": "F"}, "description": "Acute"}
    assert client.post("/api/exam/begin-unscheduled", json=wish).status_code == 200
    assert desk.deeds("begin_unscheduled") == [
        ({"id": "X1", "name": "Øster^Åse", "birth_date": "19570303", "sex": "F"}, "Acute")
    ]


def test_an_unscheduled_patient_needs_nothing_at_all(client, desk):
    assert client.post("/api/exam/begin-unscheduled", json={}).status_code == 200
    assert desk.deeds("begin_unscheduled") == [({"id": "", "name": "", "birth_date": "", "sex": ""}, "")]
    assert desk.state()["exam"]["patient"]["id"].startswith("TEMP-")


@pytest.mark.parametrize(
    "patient",
    [{"id": "a\\b"}, {"name": "a\nb"}, {"name": "x" * 65}, {"birth_date": "3.3.57"}, {"sex": "female"}, {"shoe": "44"}],
)
def test_a_patient_that_dicom_cannot_carry_is_refused_in_words(client, desk, patient):
    answer = client.post("/api/exam/begin-unscheduled", json={"patient": patient})
    assert answer.status_code == 400
    assert next(iter(patient)) in answer.json()["what"] and answer.json()["advice"]
    assert desk.calls == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StateError("no exam is open"), 409),
        (InputError("no such picture"), 400),
        (SettingsError("no such syntax"), 400),
        (DiskFull("12 MB are free"), 507),
        (CheckError("0028,0010 is missing"), 500),
        (Broken("the RIS hung up"), 503),
        (SourceLost("the camera went away"), 503),
    ],
)
def test_every_kind_of_trouble_has_its_status_and_its_words(client, desk, error, status):
    desk.trouble["still"] = error
    answer = client.post("/api/exam/still")
    assert answer.status_code == status
    assert answer.json() == {"what": str(error), "advice": error.advice}


def test_a_fault_of_our_own_is_told_without_its_insides(client, desk):
    desk.trouble["finish"] = ZeroDivisionError("secret detail")
    answer = client.post("/api/exam/finish")
    assert answer.status_code == 500
    assert "secret" not in answer.text and answer.json()["advice"]


def test_worklist_and_retry(client, desk):
    assert client.post("/api/worklist/refresh").status_code == 202
    desk.owed["refused"] = 3
    assert client.post("/api/retry", json={"ids": ["P1"]}).json() == {"count": 3}
    assert [name for name, _ in desk.calls] == ["refresh_worklist", "retry"]


def test_a_script_gets_what_the_desk_answers_and_may_say_more(client, desk):
    clip = client.post("/api/clip", json={"seconds": 2.5, "syntax": "mpeg2", "orders": ["A1/S1"]})
    assert clip.json() == {"seconds": 2.5}
    assert desk.deeds("capture_clip") == [{"seconds": 2.5, "syntax": "mpeg2", "object": "auto", "orders": ["A1/S1"]}]
    assert client.post("/api/still", json={"count": 3, "every": 0.5}).json() == {"pictures": 3}
    assert client.post("/api/clip", json={"seconds": 0}).status_code == 400


def test_the_live_picture_has_its_number_and_waits_for_another(client, desk):
    first = client.get("/api/live.jpg?width=300")
    assert first.content[:2] == b"\xff\xd8" and first.headers["cache-control"] == "no-store"
    second = client.get(f"/api/live.jpg?width=300&after={first.headers['x-frame']}")
    assert int(second.headers["x-frame"]) > int(first.headers["x-frame"])
    desk.picture["state"] = "no signal"
    assert client.get("/api/live.jpg?wait=0.1").status_code == 204


def test_openapi_describes_every_endpoint(client):
    paths = client.get("/api/openapi.json").json()["paths"]
    exam = ["begin", "begin-unscheduled", "region", "still", "record", "stop", "finish", "abandon", "pictures/{picture}"]
    others = ["state", "worklist/refresh", "retry", "live.jpg", "live.mjpg", "events", "still", "clip"]
    wanted = {f"/api/exam/{name}" for name in exam} | {f"/api/{name}" for name in others}
    wanted.add("/api/exam/pictures/{picture}/thumbnail.jpg")
    assert set(paths) == wanted
    assert all(verb["description"] for path in paths.values() for verb in path.values())


def test_the_screen_is_served_whole_from_here(client):
    page = client.get("/")
    assert page.headers["cache-control"] == "no-cache" and "default-src 'self'" in page.headers["content-security-policy"]
    files = [path.relative_to(screens.FOLDER).as_posix() for path in screens.FOLDER.rglob("*.*")]
    assert len(files) > 15
    for name in files:
        answer = client.get(f"/{name}")
        assert answer.status_code == 200, name
        words = answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in words and "https://" not in words and "//cdn" not in words, f"{name} asks elsewhere"
    assert sum((screens.FOLDER / name).stat().st_size for name in files) < 150_000
    assert client.get("/nothing.html").json()["what"]
