#!/usr/bin/env bash
# A variable frame rate with B-frames in MP4: stream.duration and frame.duration are off by seconds.
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
print("Behaviour: MP4 keeps the time from one frame's decoding to the next one's. Where the rate varies and frames are")
print("coded out of order, FFmpeg hands these out as the times for which the frames are shown, and says that the film")
print("ends seconds too early; the edit list that its own muxer wrote says the true length.")
print("One would have sworn: time + duration of a frame is the next one's time, and stream.duration is the film's.\n")

TIMES = (0, 40, 80, 1000, 1700, 4000, 4040, 6000, 9960, 10000)  # ms; the last one is the end


def film(b_frames, tell):
    """tell: whether each packet says how long its frame is shown, which the coder leaves out."""
    options = {"preset": "veryfast", "bf": str(b_frames), "x264-params": "b-adapt=0:scenecut=0"}
    with av.open("film.mp4", "w") as file:
        stream = file.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 192, 160, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        lengths = dict(zip(TIMES, np.diff(TIMES).tolist()))
        packets = []
        for number, time in enumerate(TIMES[:-1]):
            frame = av.VideoFrame.from_ndarray(np.full((240, 192), 20 + 20 * number, np.uint8), format="yuv420p")
            frame.pts, frame.time_base, frame.duration = time, Fraction(1, 1000), lengths[time]
            packets += stream.encode(frame)
        packets += stream.encode()
        for packet in packets:
            packet.duration = lengths[packet.pts] if tell else packet.duration
        file.mux(packets)


def look():
    data = open("film.mp4", "rb").read()
    (ticks,) = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)
    (edit,) = struct.unpack_from(">I", data, data.index(b"elst") + 12)
    with av.open("film.mp4") as file:
        stream = file.streams.video[0]
        length = float(stream.duration * stream.time_base)
        frames = [(frame.time, float(frame.duration * frame.time_base)) for frame in file.decode(stream)]
    gaps = sum(abs(a + b - c) > 0.001 for (a, b), (c, _) in zip(frames, frames[1:]))
    return edit / ticks, length, gaps, frames


found = {}
for b_frames, tell in ((0, True), (0, False), (2, True), (2, False)):
    film(b_frames, tell)
    edit, length, gaps, frames = found[b_frames, tell] = look()
    print(f"{b_frames} B-frames, lengths {'told to the muxer' if tell else 'not told'}: edit list {edit:.2f} s, "
          f"stream.duration {length:.2f} s; {gaps} of 8 do not last until the next")
print("The last film's (time, duration):", [(round(a, 2), round(b, 2)) for a, b in frames])
as_described = all(abs(edit - 10) < 0.01 for edit, *_ in found.values())
as_described &= all(found[0, tell][1:3] == (10.0, 0) for tell in (True, False))
as_described &= all(found[2, tell][1] < 9 and found[2, tell][2] > 2 for tell in (True, False))
as_described &= [round(time * 1000) for time, _ in frames] == list(TIMES[:-1])
raise SystemExit(0 if as_described else "No longer as described.")
PYTHON
