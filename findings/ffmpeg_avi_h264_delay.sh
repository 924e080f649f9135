#!/usr/bin/env bash
# H.264 without any B-frame in AVI: FFmpeg stamps its first picture one frame after zero.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
from fractions import Fraction

import av
import numpy as np

print(f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}")
print("Behaviour: of H.264 in AVI, each picture is stamped a frame too late, though none waits for another one.")
print("One would have sworn: picture n of a film without B-frames is shown at n / rate, as of MPEG-4 in AVI, and as")
print("of the same packets in Matroska.\n")


def film(path, codec, options):
    """A flash and a click, both at 1 s."""
    with av.open(path, "w", options={"fflags": "+bitexact"}) as file:
        picture = file.add_stream(codec, rate=25, options={"flags": "+bitexact"} | options)
        picture.width, picture.height, picture.pix_fmt = 192, 160, "yuv420p"
        picture.codec_context.thread_count = 1
        sound = file.add_stream("pcm_s16le", rate=48000, layout="mono")
        file.start_encoding()
        packets = []
        for number in range(50):
            grey = np.full((240, 192), 220 if number == 25 else 40, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += picture.encode(frame)
        packets += picture.encode()
        assert [packet.pts for packet in packets] == [packet.dts for packet in packets] == list(range(50))
        signal = np.zeros((1, 96000), np.int16)
        signal[0, 48000:48200] = 20000
        frame = av.AudioFrame.from_ndarray(signal, format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48000, 0
        packets += [*sound.encode(frame), *sound.encode()]
        file.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))
    return path


def moments(path):
    with av.open(path) as file:
        seen = [(frame.time, frame.to_ndarray()[:160].mean()) for frame in file.decode(video=0)]
        start = float(file.streams.video[0].start_time * file.streams.video[0].time_base)
    with av.open(path) as file:
        for frame in file.decode(audio=0):
            loud = np.flatnonzero(frame.to_ndarray()[0] > 10000)
            if len(loud):
                return seen[0][0], start, next(t for t, light in seen if light > 120), frame.time + loud[0] / 48000


x264 = {"preset": "veryfast", "profile": "baseline", "bf": "0"}
found = {}
for name, args in {
    "MPEG-4 in AVI": ("mpeg4.avi", "mpeg4", {"bf": "0"}),
    "H.264 in AVI": ("h264.avi", "libx264", x264),
    "H.264 in Matroska": ("h264.mkv", "libx264", x264),
}.items():
    first, start, flash, click = found[name] = moments(film(*args))
    print(f"{name}: first picture at {first:.3f} s (start_time {start:.3f} s), flash at {flash:.3f} s, "
          f"click at {click:.3f} s")
chunks = open("h264.avi", "rb").read().partition(b"movi")[2].partition(b"idx1")[0]
empty = chunks.count(b"00dc\0\0\0\0")  # a name and a length
print(f"Chunks of the picture in the AVI: {chunks.count(b'00dc')}, empty ones that would account for it: {empty}")
late = {name: round(25 * (flash - click)) for name, (_, _, flash, click) in found.items()}
print("Frames that the picture is behind the sound:", late)
raise SystemExit(0 if list(late.values()) == [0, 1, 0] and not empty else "No longer as described.")
PYTHON
