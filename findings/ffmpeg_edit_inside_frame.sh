#!/usr/bin/env bash
# An MP4's edit that begins inside a frame: FFmpeg cuts the sound exactly, and moves the whole picture.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import struct
from fractions import Fraction

import av
import numpy as np

print(f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}")
print("Behaviour: of an edit that begins inside a frame, the frame is dropped and the next one is moved to the")
print("edit's start, and with it all others: the picture is early by what was left of the frame, the sound is not.")
print("One would have sworn: picture and sound of one edit list stay in step.\n")


def film(path, late):
    """A flash and a click, both at 1 s; both tracks' edits begin `late` seconds into the film."""
    with av.open(path, "w", format=path.rpartition(".")[2], options={"fflags": "+bitexact"}) as file:
        picture = file.add_stream("libx264", rate=25, options={"preset": "veryfast", "bf": "0"})
        picture.width, picture.height, picture.pix_fmt = 192, 160, "yuv420p"
        sound = file.add_stream("aac", rate=48000, layout="mono")
        file.start_encoding()
        packets = []
        for number in range(50):
            grey = np.full((240, 192), 220 if number == 25 else 40, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += picture.encode(frame)
        signal = np.zeros((1, 96000), np.int16)
        signal[0, 48000:48200] = 20000 * np.cos(2 * np.pi * 2500 * np.arange(200) / 48000)
        frame = av.AudioFrame.from_ndarray(signal, format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48000, 0
        packets += [*picture.encode(), *sound.encode(frame), *sound.encode()]
        file.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))
    with open(path, "r+b") as file:
        data = bytearray(file.read())
        (ticks,) = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)
        place = 0
        for _ in range(2):
            (own,) = struct.unpack_from(">I", data, data.index(b"mdhd", place) + 16)
            entry = data.index(b"elst", place) + 12
            length, start = struct.unpack_from(">Ii", data, entry)
            struct.pack_into(">Ii", data, entry, length - round(late * ticks), start + round(late * own))
            place = data.index(b"mdhd", place) + 4
        file.seek(0)
        file.write(data)
    return path


def moments(path):
    with av.open(path) as file:
        flash = next(f.time for f in file.decode(video=0) if f.to_ndarray()[:160].mean() > 120)
    with av.open(path) as file:
        for frame in file.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.3)
            if len(loud):
                return flash, frame.time + loud[0] / 48000


as_described = True
for form in ("mp4", "mov"):
    for frames in (0, 5, Fraction(1, 3), Fraction(16, 3), Fraction(17, 3)):
        late = float(frames / 25)
        flash, click = moments(film(f"film.{form}", late))
        early = 1 - late - flash
        print(f".{form}, the edit begins {float(frames):.2f} frames into the film: flash at {flash:.4f} s, click at "
              f"{click:.4f} s, should be {1 - late:.4f} s: the picture is {1000 * early:.1f} ms early")
        left = float(-frames % 1 / 25)
        as_described &= abs(early - left) < 0.002 and abs(click - (1 - late)) < 0.001
raise SystemExit(0 if as_described else "No longer as described.")
PYTHON
