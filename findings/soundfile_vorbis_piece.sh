#!/usr/bin/env bash
# A piece of an Ogg Vorbis file, read by its number of samples, comes from some samples later.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import soundfile

print(f"soundfile {soundfile.__version__}, {soundfile.__libsndfile_version__} (libsndfile)")
print("Behaviour: read(start=n) of Ogg Vorbis gives other samples than the whole file's from n on, if n lies in the")
print("last page of the file and the file does not end with a block: those of some samples later, up to a block.")
print("One would have sworn: read(start=n) equals read()[n:], as it does for FLAC.\n")

RATE, PIECE = 44100, 500
as_described = True
for extension, kind, seconds in (("flac", "PCM_16", 3), ("ogg", "VORBIS", 3), ("ogg", "VORBIS", 10)):
    signal = np.random.default_rng(0).normal(0, 0.2, seconds * RATE).clip(-0.9, 0.9)
    soundfile.write(f"sound.{extension}", signal, RATE, subtype=kind)
    whole, _ = soundfile.read(f"sound.{extension}")
    wrong = {}
    starts = range(0, len(whole) - 2 * PIECE, 307)
    for start in starts:
        piece, _ = soundfile.read(f"sound.{extension}", start=start, frames=PIECE)
        if np.abs(piece - whole[start : start + PIECE]).max() > 0.001:
            place = int(np.argmax(np.correlate(whole, piece, "valid")))
            assert np.abs(whole[place : place + PIECE] - piece).max() < 0.001  # it is elsewhere in the file
            wrong[start] = place - start
    late = sorted(set(wrong.values()))
    print(f"{kind}, {seconds} s: {len(wrong)} of {len(starts)} pieces are not what was asked for", end="")
    print(f", from sample {min(wrong)} of {len(whole)} on; late by {late} samples" if wrong else "")
    as_described &= len(late) == (kind == "VORBIS") and all(0 < samples < 2048 for samples in late)
raise SystemExit(0 if as_described else "No longer as described.")
PYTHON
