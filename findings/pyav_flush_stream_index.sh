#!/usr/bin/env bash
# PyAV's last packets, which flush the decoders, all say stream_index 0: routed by it, frames are lost.
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
print("Behaviour: the last, empty packet that demux() gives of each stream has stream_index 0; packet.stream is right.")
print("One would have sworn: packet.stream_index == packet.stream.index.\n")

with av.open("film.mp4", "w") as file:
    sound = file.add_stream("aac", rate=48000, layout="mono")
    picture = file.add_stream("libx264", rate=25, options={"bf": "2", "x264-params": "b-adapt=0"})
    picture.width, picture.height, picture.pix_fmt = 192, 160, "yuv420p"
    file.start_encoding()
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 96000), np.int16), format="s16", layout="mono")
    frame.sample_rate, frame.pts = 48000, 0
    packets = [*sound.encode(frame), *sound.encode()]
    for number in range(50):
        frame = av.VideoFrame.from_ndarray(np.full((240, 192), 20 + 4 * number, np.uint8), format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        packets += picture.encode(frame)
    packets += picture.encode()
    file.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))


def frames(key):
    """How many come out of decoders that are found by `key` of a packet; errors."""
    count, errors = {"audio": 0, "video": 0}, []
    with av.open("film.mp4") as file:
        decoders = {}
        for stream in file.streams:
            stream.codec_context.thread_type = "NONE"
            decoders[stream.index] = stream.codec_context, stream.type
        for packet in file.demux():
            context, kind = decoders[key(packet)]
            try:
                count[kind] += len(context.decode(packet))
            except av.error.FFmpegError as error:
                errors.append(type(error).__name__)
    return count, errors


with av.open("film.mp4") as file:
    all_packets = list(file.demux())
    pairs = [(p.stream_index, p.stream.index, p.size) for p in all_packets]
    print("(stream_index, stream.index, size) of the last four:", pairs[-4:])
wrong = [pair for pair in pairs if pair[0] != pair[1]]
right, _ = frames(lambda packet: packet.stream.index)
routed, errors = frames(lambda packet: packet.stream_index)
print("Frames, routed by packet.stream.index:", right)
print("Frames, routed by packet.stream_index:", routed, errors)
as_described = wrong == [(0, 1, 0)] and right["video"] == 50 and routed["video"] < 50
raise SystemExit(0 if as_described else "No longer as described.")
PYTHON
