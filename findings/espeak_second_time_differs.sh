#!/usr/bin/env bash
# espeak-ng 1.52 (espeakng-loader 0.2.4) says the same word in other samples each time, in one process.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check espeakng-loader==0.2.4
cat > "$folder/say.py" <<'PYTHON'
import ctypes
import hashlib

import espeakng_loader

RETRIEVAL, WAIT, UTF8 = 1, 0, 1
library = ctypes.CDLL(espeakng_loader.get_library_path())
library.espeak_Initialize(RETRIEVAL, 0, espeakng_loader.get_data_path().encode(), 0)
heard = bytearray()
callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


@callback
def collect(wave, count, _):
    if wave and count:
        heard.extend(ctypes.string_at(wave, 2 * count))
    return 0


library.espeak_SetSynthCallback(collect)
for _ in range(3):
    heard.clear()
    library.espeak_SetVoiceByName(b"en")
    library.espeak_Synth(b"hello\0", 6, WAIT, 1, 0, UTF8, None, None)
    library.espeak_Synchronize()
    print(len(heard) // 2, hashlib.sha256(heard).hexdigest()[:12])
PYTHON
"$folder/venv/bin/python" "$folder/say.py" > "$folder/first"
"$folder/venv/bin/python" "$folder/say.py" > "$folder/second"
echo "espeak-ng of espeakng-loader 0.2.4: the voice 'en' says 'hello' three times, in one process and in a second one"
echo "Behaviour: the three differ, in their number of samples, too: a state that no call resets goes on from word to word, and"
echo "setting the voice anew does not reset it. Two processes that say the same words in the same order agree."
echo "One would have sworn: a formant synthesiser without a seed gives the same samples for the same call."
echo
echo "samples and the beginning of their sha256, first process:"
cat "$folder/first"
echo "second process:"
cat "$folder/second"
cmp -s "$folder/first" "$folder/second" && [ "$(sort -u "$folder/first" | wc -l)" = 3 ] \
  || { echo "No longer as described."; exit 1; }
