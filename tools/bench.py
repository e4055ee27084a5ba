"""Speed and memory, measured beside the peers in the same run: `make bench`, or `make bench ARGS="still record"`."""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path

import httpx
import psutil

from capture.coding import coding_for
from capture.frame import Format

DICAP = [sys.executable, "-m", "appliance.cli"]
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def say(what: str, figure: str, bar: str = "") -> None:
    """One line of the report."""
    sys.stdout.write(f"{what:<64} {figure:>16}   {bar}\n")
    sys.stdout.flush()


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(words: list[str], ready: Callable[[], bool], **more: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process for as long as the block runs."""
    running = subprocess.Popen(words, **{**QUIET, **more})  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + 60
        while not ready():
            if running.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{words[:3]} did not start")
            time.sleep(0.02)
        yield running
    finally:
        running.terminate()
        try:
            running.wait(60)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def listens(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def site(folder: Path, source: str, pacs: int) -> tuple[list[str], int, int]:
    """Settings of a station that sends at once to an archive without commitment: options, screen's port, ear's port."""
    http, ear = free_port(), free_port()
    config = folder / "dicap.toml"
    config.write_text(f"""
[station]
source = "{source}"
http = "127.0.0.1:{http}"
send = "at once"
[sources."{source}"]
spec = "{source}"
anatomic_region = {{ value = "69695003", scheme = "SCT", meaning = "Stomach" }}
[courier]
listen = "127.0.0.1:{ear}"
[peers.pacs]
address = "STORESCP@127.0.0.1:{pacs}"
roles = ["store"]
release = "stored"
""")
    return ["--config", str(config), "--data", str(folder / "data")], http, ear


@contextmanager
def archive(folder: Path) -> Iterator[tuple[int, Path]]:
    """dcmtk's storescp writing to disk."""
    port, store = free_port(), folder / "store"
    store.mkdir()
    with process(["storescp", "-q", "+xa", "-od", str(store), str(port)], partial(listens, port)):
        yield port, store


def still(folder: Path) -> None:
    """Still pressed → object stored at storescp: p50 and p95 of 40."""
    for size, bar in (("720x576", 150), ("1920x1080", 400)):
        place = folder / size
        place.mkdir()
        with archive(place) as (pacs, store):
            options, http, ear = site(place, f"testcard:{size}@25", pacs)
            url = f"http://127.0.0.1:{http}/api"
            with (
                process([*DICAP, "courier", *options], partial(listens, ear)),
                process([*DICAP, "station", *options], partial(listens, http)),
                httpx.Client(base_url=url, timeout=30) as client,
            ):
                time.sleep(2)
                patient = {"id": "BENCH", "name": "Bench^Mark", "birth_date": "", "sex": ""}
                client.post("/exam/begin-unscheduled", json={"patient": patient, "description": "bench"}).raise_for_status()
                taken = []
                for number in range(45):
                    begin = time.perf_counter()
                    client.post("/exam/still").raise_for_status()
                    while len(list(store.iterdir())) <= number:
                        if time.perf_counter() - begin > 10:
                            raise RuntimeError("a still did not arrive")
                        time.sleep(0.001)
                    taken.append((time.perf_counter() - begin) * 1000)
                client.post("/exam/finish").raise_for_status()
        ordered = sorted(taken[5:])
        p95 = ordered[int(len(ordered) * 0.95)]
        say(f"still {size} JPEG-LS, pressed → stored, p50", f"{statistics.median(ordered):.0f} ms")
        say(f"still {size} JPEG-LS, pressed → stored, p95", f"{p95:.0f} ms", f"bar {bar} ms")


def make_video(path: Path, seconds: int, rate: int = 30) -> None:
    """A 1080p file with the strip of frame numbers: our own test card, encoded by libx264."""
    code = (
        "import sys, av\n"
        "from fractions import Fraction\n"
        "from capture.sources.testcard import TestCard\n"
        "card = TestCard(1920, 1080, Fraction(int(sys.argv[2])))\n"
        "with av.open(sys.argv[1], 'w') as box:\n"
        "    out = box.add_stream('libx264', rate=int(sys.argv[2]), options={'preset': 'ultrafast', 'crf': '23'})\n"
        "    out.width, out.height, out.pix_fmt = 1920, 1080, 'yuv420p'\n"
        "    for number in range(int(sys.argv[3])):\n"
        "        frame = card.draw(number, number / int(sys.argv[2]))\n"
        "        frame.pts, frame.time_base = number, Fraction(1, int(sys.argv[2]))\n"
        "        box.mux(out.encode(frame))\n"
        "    box.mux(out.encode())\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path), str(rate), str(seconds * rate)], check=True)


def record(folder: Path) -> None:
    """10 s of 1080p30 recorded with a preview watcher, beside ffmpeg doing the same encode from the same file."""
    video = folder / "source.mp4"
    make_video(video, 16)
    for codec in ("mpeg2-hd", "h264"):
        coding = coding_for(codec, Format(1920, 1080, Fraction(30), "yuv420p"))
        words = ["-c:v", coding.encoder, *(word for key, value in coding.options for word in (f"-{key}", value))]
        place = folder / codec
        place.mkdir()
        with archive(place) as (pacs, store):
            options, http, ear = site(place, f"file:{video}?loop", pacs)
            with (
                process([*DICAP, "courier", *options], partial(listens, ear)),
                process([*DICAP, "station", *options], partial(listens, http)) as station,
                httpx.Client(base_url=f"http://127.0.0.1:{http}", timeout=120) as client,
            ):
                over = threading.Event()
                watcher = threading.Thread(target=watch, args=(f"http://127.0.0.1:{http}/api/live.mjpg?width=800", over))
                watcher.start()
                time.sleep(3)
                patient = {"id": "BENCH", "name": "Bench^Mark", "birth_date": "", "sex": ""}
                client.post("/api/exam/begin-unscheduled", json={"patient": patient, "description": ""}).raise_for_status()
                begin = psutil.Process(station.pid).cpu_times()
                client.post("/api/clip", json={"seconds": 10, "syntax": codec, "object": "auto"}).raise_for_status()
                end = psutil.Process(station.pid).cpu_times()
                over.set()
                client.post("/api/exam/finish").raise_for_status()
                while not list(store.iterdir()):
                    time.sleep(0.1)
                watcher.join()
            time.sleep(1)
            (stored,) = store.iterdir()
            numbers = strip_numbers(stored)
        ours = end.user + end.system - begin.user - begin.system
        before = os.times()
        command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-re", "-i", str(video), "-t", "10", *words]
        subprocess.run([*command, "-threads:v", str(coding.threads), "-an", "-y", str(place / "peer.ts")], check=True)
        after = os.times()
        theirs = after.children_user + after.children_system - before.children_user - before.children_system
        missing = sum(later - first - 1 for first, later in pairwise(numbers) if later > first)
        say(f"1080p30 {codec}: frames stored of 300; missing within", f"{len(numbers)}; {missing}", "bar 300; 0")
        say(f"1080p30 {codec}: CPU of the station / of ffmpeg, 10 s", f"{ours:.1f} s / {theirs:.1f} s")
        say(f"1080p30 {codec}: ratio", f"{ours / theirs:.2f}", "bar 1.25")


def watch(url: str, over: threading.Event) -> None:
    """A browser that watches the live picture."""
    with httpx.stream("GET", url, timeout=30) as answer:
        for _ in answer.iter_raw():
            if over.is_set():
                return


def strip_numbers(path: Path) -> list[int]:
    """The frame numbers read from a stored video object."""
    code = (
        "import sys, json, tempfile, pathlib, av\n"
        "from appliance.dicom.stored import Stored\n"
        "from capture.sources.testcard import read_strip\n"
        "with Stored(pathlib.Path(sys.argv[1])) as stored, tempfile.NamedTemporaryFile(suffix='.ts') as file:\n"
        "    [file.write(piece) for piece in stored.fragments()]; file.flush()\n"
        "    with av.open(file.name) as box:\n"
        "        print(json.dumps([read_strip(f.to_ndarray(format='gray')) for f in box.decode(video=0)]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    return list(json.loads(done.stdout))


def peak_of(pid: int) -> float:
    """The most resident memory a process had, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1000
    return 0.0


def long_video(folder: Path, gigabytes: float = 8.0) -> None:
    """A 2-hour 8 GB MPEG-2 file imported, cut below 1.9 GB, and sent; the most memory of each process."""
    short, long = folder / "short.mpg", folder / "long.mpg"
    size = ["-f", "lavfi", "-i", "testsrc2=size=720x576:rate=25", "-vf", "noise=alls=12:allf=t", "-t", "60"]
    encode = ["-c:v", "mpeg2video", "-b:v", "9M", "-minrate", "9M", "-maxrate", "9M", "-bufsize", "1835k", "-g", "12"]
    subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", *size, *encode, "-f", "vob", "-y", str(short)], check=True)
    loops = max(1, round(gigabytes * 1e9 / short.stat().st_size))
    loop = ["ffmpeg", "-nostdin", "-loglevel", "error", "-stream_loop", str(loops - 1), "-i", str(short)]
    subprocess.run([*loop, "-c", "copy", "-f", "vob", "-y", str(long)], check=True)
    frames = count_frames(long)
    with archive(folder) as (pacs, store):
        options, _, ear = site(folder, "testcard", pacs)
        with process([*DICAP, "courier", *options], partial(listens, ear)) as courier:
            begin = time.monotonic()
            words = [*DICAP, "import", "--json", *options, "--unscheduled", "--patient-name", "Bench^Mark", str(long)]
            running = subprocess.Popen([*words, "--region", "69695003:SCT:Stomach"], stdout=subprocess.PIPE)
            peak = 0.0
            while running.poll() is None:
                peak = max(peak, peak_of(running.pid))
                time.sleep(0.2)
            assert running.stdout is not None
            objects = json.loads(running.stdout.read())["objects"]
            imported = time.monotonic() - begin
            subprocess.run([*DICAP, "wait", *options, "--timeout", "600"], check=True)
            took = time.monotonic() - begin
            memory = peak_of(courier.pid)
            say(f"{long.stat().st_size / 1e9:.1f} GB MPEG-2: objects; frames of {frames}",
                f"{len(objects)}; {sum(one['frames'] for one in objects)}", "bar: none missing")  # fmt: skip
            say("  largest object", f"{max(one['size'] for one in objects) / 1e9:.2f} GB", "bar 2 GB")
            say("  imported in; imported and sent in", f"{imported:.0f} s; {took:.0f} s")
            say("  most memory of import; of the courier", f"{peak:.0f} MB; {memory:.0f} MB", "bar 200 MB each")
        shutil.rmtree(store)
    long.unlink()


def count_frames(path: Path) -> int:
    """How many video packets ffprobe finds in a file."""
    words = ["ffprobe", "-v", "error", "-select_streams", "v", "-count_packets", "-show_entries", "stream=nb_read_packets"]
    done = subprocess.run([*words, "-of", "csv=p=0", str(path)], check=True, capture_output=True, text=True)
    return int(done.stdout.strip().strip(","))


def start_up(folder: Path) -> None:
    """`dicap --help`: the median of 9."""
    taken = []
    for _ in range(9):
        begin = time.perf_counter()
        subprocess.run([*DICAP, "--help"], check=True, **QUIET)  # type: ignore[call-overload]
        taken.append(time.perf_counter() - begin)
    say("dicap --help, median of 9", f"{statistics.median(taken):.2f} s", "bar 0.4 s")


CASES = {"help": start_up, "still": still, "record": record, "long": long_video}


def main() -> None:
    """Run the cases named, or all."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("cases", nargs="*", choices=[*CASES, []], help="which; default all")
    for name in reader.parse_args().cases or CASES:
        with tempfile.TemporaryDirectory(prefix="dicap-bench-") as folder:
            CASES[name](Path(folder))


if __name__ == "__main__":
    main()
