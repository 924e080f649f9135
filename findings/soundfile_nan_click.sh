#!/usr/bin/env bash
# One sample that is not a number: soundfile writes a click as loud as can be, or stops without a word.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import platform

import numpy as np
import soundfile

print(f"soundfile {soundfile.__version__}, {soundfile.__libsndfile_version__} (libsndfile), {platform.machine()}")
print("Behaviour (x86-64): writing a signal with one NaN to 16 or 24 bits gives the lowest value there is, a click at")
print("full scale; to FLAC of the same 16 bits it ends in an AssertionError without words; reading a NaN as int32")
print("gives the lowest value too, as int16 it gives zero.")
print("One would have sworn: an error that says so, or silence, and the same for each.\n")

signal = 0.3 * np.sin(np.arange(16000) / 9).astype(np.float32)
signal[8000] = np.nan
found = {}
for extension, kind in (("wav", "PCM_16"), ("wav", "PCM_24"), ("aiff", "PCM_16"), ("flac", "PCM_16")):
    name = f"{kind} in .{extension}"
    try:
        soundfile.write(f"sound.{extension}", signal, 16000, subtype=kind)
        found[name] = float(soundfile.read(f"sound.{extension}")[0][8000])
    except AssertionError as error:
        found[name] = f"AssertionError({str(error)!r})"
    print(f"Written as {name}: the sample is now {found[name]}")
soundfile.write("sound.wav", signal, 16000, subtype="FLOAT")
for kind in ("int16", "int32"):
    found[kind] = int(soundfile.read("sound.wav", dtype=kind)[0][8000])
    print(f"Written as FLOAT, read as {kind}: {found[kind]}")
expected = [-1.0, -1.0, -1.0, "AssertionError('')", 0, -(2**31)]
raise SystemExit(0 if list(found.values()) == expected else "No longer as described.")
PYTHON
