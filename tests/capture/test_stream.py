"""Network streams: read while they come, refused in words when nobody answers."""

import socket
import threading

import pytest

from capture.source import NotOnThisSystem, SourceMissing
from capture.sources import open_source
from capture.sources.testcard import read_strip


def serve(data):
    """A loopback port that sends this to whoever connects, and hangs up."""
    ear = socket.create_server(("127.0.0.1", 0))

    def answer():
        line, _ = ear.accept()
        with line, ear:
            line.sendall(data)

    threading.Thread(target=answer, daemon=True).start()
    return ear.getsockname()[1]


def test_a_stream_over_the_network_is_read_to_its_end(video):
    source = open_source(f"tcp://127.0.0.1:{serve(video(40, suffix='.ts').read_bytes())}")
    found = []
    while (frame := source.read()) is not None:
        found.append(frame)
    source.close()
    assert source.live and source.format.width == 320 and source.format.rate == 25
    assert [frame.number for frame in found] == list(range(40))
    assert [read_strip(frame.array()) for frame in found] == list(range(40))
    assert source.read() is None


def test_a_camera_that_does_not_answer_is_said_without_its_password():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(SourceMissing, match="does not answer: Connection refused") as caught:
        open_source(f"rtsp://admin:secret@127.0.0.1:{port}/live")
    assert "secret" not in str(caught.value) + caught.value.advice


def test_an_answer_that_is_no_video_is_refused():
    with pytest.raises(SourceMissing):
        open_source(f"tcp://127.0.0.1:{serve(b'hello, I am no camera' * 100)}")


@pytest.mark.parametrize(
    ("spec", "kind", "words"),
    [
        ("sane:test", NotOnThisSystem, "SANE"),
        ("picamera", NotOnThisSystem, "Raspberry Pi"),
        ("webcam", SourceMissing, "is not a picture source"),
        ("", SourceMissing, "is not a picture source"),
    ],
)
def test_a_source_of_no_known_kind_is_refused_in_words(spec, kind, words):
    with pytest.raises(kind, match=words) as caught:
        open_source(spec)
    assert caught.value.advice
