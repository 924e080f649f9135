#!/usr/bin/env bash
# With soundfile 0.14.0, a FLAC file that was written as a stream lasts 18 million years and cannot be read.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check soundfile==0.14.0 av==18.1.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import av
import numpy as np
import soundfile


class Pipe(io.RawIOBase):
    """Takes bytes and cannot go back, as a pipe or a network."""

    def __init__(self):
        self.bytes = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.bytes += bytes(data)
        return len(data)


def flac(target):
    noise = np.random.default_rng(0).normal(0, 3000, 16000).astype("<i2")
    with av.open(target, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=16000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(noise[None], format="s16", layout="mono")
        frame.rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))  # the header is written here
        container.mux(stream.encode(None))


def attempt(read):
    try:
        return f"{read()} samples"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


pipe = Pipe()
flac(pipe)
open("streamed.flac", "wb").write(pipe.bytes)
flac("whole.flac")
print("soundfile 0.14.0: one second of mono at 16 kHz as FLAC, written to a file, and to a pipe, where the encoder cannot go")
print("back to write the number of samples: the format says 0 for 'unknown' then (RFC 9639, 8.2)")
print("Behaviour: frames is the largest number of 64 bits, and reading it to its end raises in every way, also where the number")
print("of samples is given.")
print("One would have sworn: it is read to its end, as FFmpeg and the reference decoder do.")
print()
with av.open("streamed.flac") as container:
    print("FFmpeg, streamed:", sum(frame.samples for frame in container.decode(audio=0)), "samples")
found = {}
for name in ("whole.flac", "streamed.flac"):
    info = soundfile.info(name)
    ways = {
        "read()": lambda: len(soundfile.read(name)[0]),
        "read(frames=16000)": lambda: len(soundfile.read(name, frames=16000)[0]),
        "blocks(4000)": lambda: sum(map(len, soundfile.blocks(name, 4000))),
    }
    found[name] = [attempt(read) for read in ways.values()]
    print(f"{name}: frames {info.frames}, duration {info.duration:.6g} s")
    for way, result in zip(ways, found[name], strict=True):
        print(f"  {way}: {result}")
whole, streamed = (all("samples" in text and "Error" not in text for text in found[n]) for n in found)
failed = all("Error" in text for text in found["streamed.flac"])
sys.exit(0 if whole and failed else "No longer as described.")
PYTHON
