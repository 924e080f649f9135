#!/usr/bin/env bash
# espeak-ng 1.52 (espeakng-loader 0.2.4) takes a voice variant that does not exist, and speaks with the plain voice.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check espeakng-loader==0.2.4
"$folder/venv/bin/python" - <<'PYTHON'
import ctypes
import sys

import espeakng_loader

RETRIEVAL, WAIT, UTF8 = 1, 0, 1
library = ctypes.CDLL(espeakng_loader.get_library_path())
library.espeak_Initialize(RETRIEVAL, 0, espeakng_loader.get_data_path().encode(), 0)
samples = []
callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@callback
def collect(wave, count, _):
    if wave:
        samples.extend(wave[:count])
    return 0


library.espeak_SetSynthCallback(collect)


def crossings(voice):
    """The answer to setting a voice, 0 for success, and how often a second of its speech changes sign."""
    samples.clear()
    answer = library.espeak_SetVoiceByName(voice.encode())
    text = b"one two three\0"
    library.espeak_Synth(text, len(text), WAIT, 1, 0, UTF8, None, None)
    library.espeak_Synchronize()
    changes = sum((a < 0) != (b < 0) for a, b in zip(samples, samples[1:]))
    return answer, round(changes / len(samples) * 22050)


found = {voice: crossings(voice) for voice in ("en", "en+f2", "en+nobody", "nobody")}
print("espeak-ng of espeakng-loader 0.2.4: espeak_SetVoiceByName of an English voice, with variants")
print("Behaviour: a language that does not exist is an error (2). A variant that does not exist is a success (0), and the voice")
print("without a variant speaks: a misspelt variant gives another speaker without a word.")
print("One would have sworn: an unknown variant is refused as an unknown voice is.")
print()
for voice, (answer, changes) in found.items():
    print(f"{voice + ':':10} answer {answer}, {changes} changes of sign a second")
(plain, same), (known, other), (unknown, spoken), (absent, _) = found.values()
as_described = (plain, known, unknown) == (0, 0, 0) and absent != 0
as_described &= abs(spoken - same) < abs(spoken - other)
sys.exit(0 if as_described else "No longer as described.")
PYTHON
