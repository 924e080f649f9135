#!/usr/bin/env bash
# OpenCV's VideoCapture reads 50 times the same picture out of an interlaced film of 50 different ones.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check av==18.1.0 numpy==2.4.6 opencv-python-headless==5.0.0.93
cd "$folder"
venv/bin/python - <<'PYTHON'
import os
from fractions import Fraction

os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"
import av
import cv2
import numpy as np

build = [line.split()[-1] for line in cv2.getBuildInformation().splitlines() if "avcodec:" in line]
print(f"OpenCV {cv2.__version__} (avcodec {build[0].strip('()')}), PyAV {av.__version__} "
      f"(avcodec {'.'.join(map(str, av.library_versions['libavcodec']))})")
print("Behaviour: where FFmpeg's scaler refuses a frame (interlaced; YCgCo; bt2020c), read() returns True all the")
print("same, and the picture is what was in the buffer before: always the same one.")
print("One would have sworn: the film's 50 pictures, or False.\n")


def film(path, codec="libx264", interlaced=False, matrix=None):
    """50 greys, each brighter than the last one."""
    options = {"preset": "veryfast", "qp": "10"} if codec == "libx264" else {"qmin": "1", "qmax": "4"}
    if interlaced:
        options |= {"flags": "+ildct+ilme", "x264-params": "tff=1"}
    with av.open(path, "w") as file:
        stream = file.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 192, 160, "yuv420p"
        if interlaced:
            stream.codec_context.field_order = 2
        if matrix is not None:
            stream.codec_context.colorspace = matrix
        for number in range(50):
            picture = np.full((240, 192), 128, np.uint8)
            picture[:160] = 20 + 4 * number
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            if matrix is not None:
                frame.colorspace = matrix
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def by_opencv(path):
    capture, pictures = cv2.VideoCapture(path, cv2.CAP_FFMPEG), []
    while (answer := capture.read())[0]:
        pictures.append(answer[1].tobytes())
    return len(pictures), len(set(pictures))


def by_pyav(path):
    with av.open(path) as file:
        pictures = [bytes(frame.planes[0]) for frame in file.decode(video=0)]
    return len(pictures), len(set(pictures))


av.logging.set_level(av.logging.PANIC)
films = {
    "H.264, progressive": film("plain.mp4"),
    "H.264, interlaced": film("woven.mp4", interlaced=True),
    "MPEG-2, interlaced": film("woven.mpg", "mpeg2video", interlaced=True),
    "H.264, progressive, FCC": film("fcc.mp4", matrix=4),
    "H.264, progressive, YCgCo": film("ycgco.mp4", matrix=8),
    "H.264, progressive, bt2020c": film("bt2020c.mp4", matrix=10),
}
seen = {}
for name, path in films.items():
    seen[name] = by_opencv(path)
    print(f"{name}: OpenCV read() says True {seen[name][0]} times, distinct pictures {seen[name][1]}; "
          f"PyAV {by_pyav(path)[0]} frames, distinct {by_pyav(path)[1]}")

good = all(seen[name][1] > 40 for name in ("H.264, progressive", "H.264, progressive, FCC"))
stale = all(pair == (50, 1) for name, pair in seen.items()
            if any(word in name for word in ("interlaced", "YCgCo", "bt2020c")))
raise SystemExit(0 if good and stale else "No longer as described.")
PYTHON
