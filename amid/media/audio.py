"""Sound of a clip as one mono signal: .wav and .flac by soundfile, all else by PyAV.

soundfile reads files that were cut short without an error and passes NaN on, so sizes, counts and
finiteness are checked here.
"""

from __future__ import annotations

import math
from pathlib import Path

import av
import numpy as np
import scipy.fft
import soundfile

from amid.media import MediaError, Reason, span_error, strict
from amid.media.container import check, damage, unopened
from amid.media.video import DURATION_TOLERANCE

LOST_TOLERANCE = 0.1  # seconds that decoders may lose at the ends of a whole file
CUT_PACKETS = 2  # at the start, that may need one before them
SPAN_SLACK = 0.05  # seconds that a span may end after its sound
BY_SOUNDFILE = (".wav", ".flac")
FULL_SCALE = {"u1": 128.0, "i2": 2.0**15, "i4": 2.0**31, "f4": 1.0, "f8": 1.0}


def read_sound(path: Path, rate: int) -> np.ndarray:
    """Mono float32 (samples,) in [-1, 1] at `rate` Hz: the mean of the channels, resampled.

    Sound inside a video starts with the picture: what is earlier is cut, what is missing is zero.
    Raises MediaError.
    """
    whole = check(path)
    read = _by_soundfile if path.suffix.lower() in BY_SOUNDFILE else _by_pyav
    signal, source = read(path, whole)
    if not len(signal):
        raise MediaError(Reason.no_sound, f"{path.name} has no samples")
    if not np.isfinite(signal).all():
        bad = int((~np.isfinite(signal)).sum())
        raise MediaError(
            Reason.not_finite, f"{bad} of {len(signal)} samples of {path.name} are not finite"
        )
    if not signal.any():
        raise MediaError(Reason.silent, f"all {len(signal)} samples of {path.name} are zero")
    return np.clip(resample(signal, source, rate), -1.0, 1.0)


def read_spans(
    path: Path, spans: list[tuple[float, float]], rate: int
) -> list[np.ndarray | MediaError]:
    """For each span of seconds its piece of `read_sound`, (samples,) float32.

    NaN stands for the sound's start or end. A span outside the sound, or without any, gives a
    MediaError in its place. Raises MediaError for a bad file.
    """
    sound = read_sound(path, rate)  # (samples,)
    seconds = len(sound) / rate
    result: list[np.ndarray | MediaError] = []
    for start, end in spans:
        error = span_error(start, end, seconds, SPAN_SLACK)
        if error is not None:
            result.append(error)
            continue
        first = 0 if math.isnan(start) else round(start * rate)
        last = len(sound) if math.isnan(end) else round(end * rate)
        piece = sound[first:last]
        if piece.any():
            result.append(piece)
            continue
        place = f"{first / rate:.3f} to {last / rate:.3f} s"
        result.append(MediaError(Reason.silent, f"{path.name} has no sound from {place}"))
    return result


def duration(path: Path) -> float | None:
    """Seconds of sound by the header, None if it does not tell. Raises MediaError."""
    check(path)
    try:
        if path.suffix.lower() in BY_SOUNDFILE:
            info = soundfile.info(str(path))
            return info.frames / info.samplerate
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.audio:
                raise MediaError(Reason.no_sound, f"{path.name} holds no sound")
            stream = container.streams.audio[0]
            return None if stream.duration is None else float(stream.duration * stream.time_base)
    except (soundfile.LibsndfileError, av.error.FFmpegError) as error:
        raise MediaError(Reason.corrupt, f"{path.name} cannot be opened: {error}") from error


def resample(signal: np.ndarray, source: int, target: int) -> np.ndarray:
    """(samples,) float32 at `source` Hz -> (round(samples * target / source),) at `target` Hz.

    By the Fourier transform: no delay, and everything above 0.95 of the lower Nyquist frequency
    fades out by a cosine, which keeps ringing short.
    """
    if source == target:
        return signal
    divisor = math.gcd(source, target)
    up, down = target // divisor, source // divisor
    length = round(len(signal) * target / source)
    # Zeros between end and start, so that ringing does not wrap around; a whole number of `down`.
    blocks = scipy.fft.next_fast_len(math.ceil((len(signal) + 2048) / down), real=True)
    spectrum = scipy.fft.rfft(signal, blocks * down)
    bins = blocks * min(up, down) // 2 + 1
    fade = 0.5 + 0.5 * np.cos(np.linspace(0.0, np.pi, bins - int(0.95 * bins)))
    spectrum = spectrum[:bins]
    spectrum[bins - len(fade) :] *= fade.astype(np.float32)
    spectrum *= np.float32(up / down)
    return scipy.fft.irfft(spectrum, blocks * up)[:length]


def _by_soundfile(path: Path, whole: bool) -> tuple[np.ndarray, int]:
    """(samples,) float32 and their rate."""
    try:
        with soundfile.SoundFile(str(path)) as file:
            declared, rate = file.frames, file.samplerate
            signal = file.read(dtype="float32", always_2d=True).mean(axis=1)
    except soundfile.LibsndfileError:
        return _by_pyav(path, whole)  # a second opinion, and it can tell cut from corrupt
    if len(signal) < declared:
        raise MediaError(
            damage(path, Reason.corrupt if whole else Reason.truncated, whole),
            f"{len(signal)} of {declared} samples of {path.name} can be read",
        )
    return signal, rate


def _by_pyav(path: Path, whole: bool) -> tuple[np.ndarray, int]:
    """(samples,) float32 from the start of the picture, if there is one, and their rate."""
    try:
        with strict.opened(path) as (container, complaints):
            if not container.streams.audio:
                reason = (
                    Reason.no_sound if container.streams else damage(path, Reason.corrupt, whole)
                )
                raise MediaError(reason, f"{path.name} holds no sound")
            return _decode(container, complaints, path, whole)
    except av.error.FFmpegError as error:
        raise MediaError(
            unopened(path, whole), f"{path.name} cannot be opened as sound: {error.strerror}"
        ) from error


def _decode(
    container: av.container.InputContainer,
    complaints: strict.Complaints,
    path: Path,
    whole: bool,
) -> tuple[np.ndarray, int]:
    name = path.name
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise MediaError(Reason.corrupt, f"the sound of {name} has no known codec")
    video = container.streams.video[0] if container.streams.video else None
    picture_end = 0  # in units of the video's time base
    chunks: list[np.ndarray] = []  # (channels, samples) each
    begin: float | None = None
    number = 0
    try:
        for packet in container.demux(stream, *([video] if video else [])):
            if packet.stream.type == "video":
                if packet.pts is not None:
                    picture_end = max(picture_end, packet.pts + (packet.duration or 0))
                continue
            number += 1
            try:
                for frame in strict.decoded(packet):
                    begin = frame.time if begin is None else begin
                    chunks.append(_channels(frame))
                complaints.listen(number)
            except av.error.FFmpegError as error:
                complaints.listen(number, error)
    except av.error.FFmpegError as error:
        complaints.listen(number, error)
    rate = stream.codec_context.sample_rate
    if len({(len(chunk), chunk.dtype) for chunk in chunks}) > 1:
        raise MediaError(Reason.corrupt, f"the channels of {name} change on the way")
    signal = _mono(np.concatenate(chunks, axis=1)) if chunks else np.zeros(0, np.float32)
    seconds = len(signal) / rate
    declared = None if stream.duration is None else float(stream.duration * stream.time_base)
    if declared is None and video is None and container.duration is not None:
        declared = container.duration / av.time_base
    # Sound that was cut out of a longer recording may have a first and last packet in want of its
    # neighbour; what fails between them is damage.
    inside = [words for packet, words in complaints.found if CUT_PACKETS < packet < number - 1]
    short = declared is not None and seconds < declared - LOST_TOLERANCE
    if inside or short:
        # Of a file of unknown size of which only the last packet fails, the end is missing.
        cut = not whole and all(packet >= number - 1 for packet, _ in complaints.found)
        found = f"{seconds:.2f} s" if declared is None else f"{seconds:.2f} of {declared:.2f} s"
        raise MediaError(
            damage(path, Reason.truncated if cut else Reason.corrupt, whole),
            f"{found} of the sound of {name} can be decoded{': ' if inside else ''}"
            + "".join(inside[:1]),
        )
    if video is None or begin is None:
        return signal, rate

    origin = float((video.start_time or 0) * video.time_base)
    picture = float(picture_end * video.time_base) - origin
    if picture > 0 and abs(begin + seconds - origin - picture) > DURATION_TOLERANCE:
        raise MediaError(
            Reason.durations_disagree,
            f"the sound of {name} ends at {begin + seconds - origin:.2f} s, its picture at "
            f"{picture:.2f} s",
        )
    shift = round((begin - origin) * rate)
    if shift >= 0:
        return np.pad(signal, (shift, 0)), rate
    return signal[-shift:], rate


def _channels(frame: av.AudioFrame) -> np.ndarray:
    """(channels, samples) of one decoded piece, in the decoder's own numbers."""
    block = frame.to_ndarray()  # (channels, samples) if planar, else (1, samples * channels)
    return block if frame.format.is_planar else block.reshape(-1, frame.layout.nb_channels).T


def _mono(block: np.ndarray) -> np.ndarray:
    """(channels, samples) integers or floats -> (samples,) float32, the mean, full scale at 1."""
    kind = block.dtype.str[1:]
    mono = block[0] if len(block) == 1 else block.mean(axis=0, dtype=np.float32)
    signal = mono.astype(np.float32)
    return (signal - 128.0 if kind == "u1" else signal) / np.float32(FULL_SCALE[kind])
