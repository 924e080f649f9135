#!/usr/bin/env bash
# av.logging.Capture() hears a complaint about the first damaged file alone, not about the next ones.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import io

import av
import numpy as np

print(f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}")
print("Behaviour: a message that equals the last one of the process is left out, whatever file it is about.")
print("One would have sworn: each `with av.logging.Capture()` hears what was said inside it.")

encoded = io.BytesIO()
with av.open(encoded, "w", format="ogg", options={"fflags": "+bitexact"}) as film:
    stream = film.add_stream("libopus", rate=48000, layout="mono")
    noise = np.random.default_rng(0).normal(0, 3000, (1, 8 * 48000)).astype(np.int16)
    sound = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
    sound.sample_rate, sound.pts = 48000, 0
    film.mux([*stream.encode(sound), *stream.encode()])
whole = encoded.getvalue()
pages = [place for place in range(len(whole)) if whole.startswith(b"OggS", place)]


def damaged(page):
    """One bit is wrong, so that the page's checksum is: its second of sound is left out."""
    data = bytearray(whole)
    data[pages[page] + 200] ^= 1
    return bytes(data)


def listen(data):
    with av.logging.Capture() as log, av.open(io.BytesIO(data)) as film:
        samples = sum(frame.samples for frame in film.decode(audio=0))
    return samples, [words.strip() for _, _, words in log]


av.logging.set_level(av.logging.ERROR)
print("\nAs it comes, skip_repeated is", av.logging.get_skip_repeated())
files = {"whole": whole} | {f"damage on page {page}": damaged(page) for page in (3, 5, 6)} | {"whole again": whole}
usual = {name: listen(data) for name, data in files.items()}
for name, (samples, log) in usual.items():
    print(f"  {name}: {samples} samples, complaints {log}")
av.logging.set_skip_repeated(False)
print("After av.logging.set_skip_repeated(False)")
told = {name: listen(data) for name, data in files.items()}
for name, (samples, log) in told.items():
    print(f"  {name}: {samples} samples, complaints {log}")

bad = [name for name in files if name.startswith("damage")]
lost = all(usual[name][0] < usual["whole"][0] for name in bad)
once = [bool(usual[name][1]) for name in bad] == [True, False, False]
each = all(any(words.startswith("CRC mismatch") for words in told[name][1]) for name in bad)
print(f"\nAll three lack a second: {lost}. Only the first was complained about: {once}.")
print(f"Without the skipping each was: {each}.")
raise SystemExit(0 if lost and once and each else "No longer as described.")
PYTHON
