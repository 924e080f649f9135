#!/usr/bin/env bash
# FFmpeg's check `bitstream` refuses most frames of an undamaged MPEG-1 or MPEG-2 film of a constant bit rate.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import re
from fractions import Fraction

import av
import numpy as np

print(f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}")
print("Behaviour: MPEG-1 and MPEG-2 may fill up with zero bytes before a start code, as a constant bit rate (Video CD,")
print("broadcast) wants it. FFmpeg's coder writes them, its decoder calls them an \"end mismatch\" under err_detect")
print("`bitstream`, and with `explode` gives up the frame.")
print("One would have sworn: strict checks pass what the same library has just written.\n")


def film(path, codec, form, rate=None, buffer=None):
    options = {"flags": "+bitexact", "g": "15", "bf": "2", "b": rate or "400000"}
    if buffer:
        options |= {"minrate": rate, "maxrate": rate, "bufsize": buffer}
    rows, columns = np.mgrid[:240, :192]
    with av.open(path, "w", format=form, options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 192, 160, "yuv420p"
        stream.codec_context.thread_count = 1
        for number in range(50):
            waves = (100 + 40 * np.sin((columns + 3 * number) / 9)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(waves, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def decode(path, checks):
    """Frames, refused packets, kinds of words."""
    frames = refused = 0
    with av.logging.Capture() as log, av.open(path) as file:
        context = file.streams.video[0].codec_context
        context.thread_type, context.options = "NONE", {"err_detect": checks}
        for packet in file.demux(video=0):
            try:
                frames += len(packet.decode())
            except av.error.FFmpegError:
                refused += 1
    return frames, refused, sorted({re.sub(r"\d+", "n", words.strip()) for _, _, words in log})


av.logging.set_level(av.logging.ERROR)
av.logging.set_skip_repeated(False)
as_described = True
for name, args, stuffed in (
    ("MPEG-1, 1150 kbit/s (vcd)", ("mpeg1video", "vcd", "1150000", "327680"), True),
    ("MPEG-2, 2500 kbit/s (svcd)", ("mpeg2video", "svcd", "2500000", "1835008"), True),
    ("MPEG-1, a free bit rate", ("mpeg1video", "mpeg"), False),
):
    path = film("film.mpg", *args)
    zeros = open(path, "rb").read().count(bytes(40))
    print(f"{name}: {zeros} runs of 40 zero bytes")
    answers = {checks: decode(path, checks) for checks in ("crccheck+buffer+explode", "bitstream+explode")}
    for checks, (frames, refused, words) in answers.items():
        print(f"  {checks}: {frames} frames, {refused} refused {words}")
    as_described &= answers["crccheck+buffer+explode"] == (50, 0, [])
    as_described &= answers["bitstream+explode"][1] > 20 if stuffed else answers["bitstream+explode"] == (50, 0, [])
raise SystemExit(0 if as_described else "No longer as described.")
PYTHON
