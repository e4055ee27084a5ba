"""What a file really is, whatever its name says; and what is refused before it can do harm."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pypdf
import pytest
from file_samples import film, numbered, png_header
from PIL import Image

from capture.probe import MOST_PIXELS, probe
from capture.source import BadPicture

ROOT = Path(__file__).resolve().parents[2]


def pdf(path: Path, pages: int = 2, password: str | None = None) -> Path:
    writer = pypdf.PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(200, 200)
    if password is not None:
        writer.encrypt(user_password=password, owner_password="owner", algorithm="RC4-128")
    writer.write(path)
    return path


def test_content_counts_and_not_the_name(tmp_path):
    picture = Image.fromarray(numbered(1, 64, 48))
    for kind, word in (("JPEG", "jpeg"), ("PNG", "png"), ("TIFF", "tiff"), ("BMP", "bmp"), ("JPEG2000", "jpeg2000")):
        path = tmp_path / "anything.mp4"
        picture.save(path, kind)
        found = probe(path)
        assert found.kind == word
        assert word == "tiff" or (found.width, found.height) == (64, 48)
    moving = film(tmp_path / "film.mp4", numbers=range(5)).rename(tmp_path / "film.jpg")
    found = probe(moving)
    assert found.kind == "video" and found.video is not None
    assert (found.video.codec, found.video.profile, found.video.level, found.video.frames) == ("h264", "High", 41, 5)
    (tmp_path / "text.jpg").write_text("Dear colleague, please find attached the picture. " * 40)
    assert probe(tmp_path / "text.jpg").kind == "text"
    (tmp_path / "a.mp4").write_bytes(b"")
    assert probe(tmp_path / "a.mp4").kind == "empty"
    (tmp_path / "noise.png").write_bytes(np.random.default_rng(3).bytes(20_000))
    assert probe(tmp_path / "noise.png").kind == "unknown"
    (tmp_path / "p10.jpg").write_bytes(bytes(128) + b"DICM" + bytes(200))
    assert probe(tmp_path / "p10.jpg").kind == "part10"
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x20ftypheic" + bytes(200))
    assert probe(tmp_path / "a.jpg").kind == "heif"
    assert probe(pdf(tmp_path / "a.txt", 3)).pages == 3


def test_a_gigantic_header_is_refused_before_anything_is_unpacked(tmp_path):
    path = tmp_path / "huge.png"
    path.write_bytes(png_header(60_000, 60_000) + bytes(1000))
    code = (
        "import sys\nfrom pathlib import Path\nfrom capture.photo import load\nfrom capture.source import BadPicture\n"
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n"
        "try:\n    load(Path(sys.argv[1]))\nexcept BadPicture as error:\n    print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "60000 × 60000" in told.stdout and "huge.png" in told.stdout
    path.write_bytes(png_header(13_000, MOST_PIXELS // 13_000 + 1) + bytes(1000))
    with pytest.raises(BadPicture, match="the most that is unpacked"):
        probe(path)


def test_a_pdf_that_needs_a_password_is_refused_and_one_that_does_not_is_taken(tmp_path):
    with pytest.raises(BadPicture, match="needs a password"):
        probe(pdf(tmp_path / "locked.pdf", password="secret"))
    assert probe(pdf(tmp_path / "no-printing.pdf", password="")).kind == "pdf"


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
def test_a_pdf_that_is_cut_off_is_refused_or_still_whole_enough_to_count_its_pages(share, tmp_path):
    whole = pdf(tmp_path / "a.pdf", 4).read_bytes()
    path = tmp_path / "b.pdf"
    path.write_bytes(whole[: int(len(whole) * share)])
    try:
        found = probe(path)
    except BadPicture as error:
        assert "b.pdf" in str(error)
    else:
        assert found.kind == "pdf" and found.pages >= 1


def test_a_file_that_promises_a_video_and_is_none_says_so(tmp_path):
    path = tmp_path / "a.mkv"
    path.write_bytes(b"\x1a\x45\xdf\xa3" + bytes(500))
    with pytest.raises(BadPicture, match=r"a\.mkv is not a video, or is damaged"):
        probe(path)


def test_a_file_that_may_not_be_read_says_so(tmp_path):
    with pytest.raises(BadPicture, match="cannot be read"):
        probe(tmp_path / "missing.jpg")
