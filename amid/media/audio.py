"""Sound as one mono signal, its pieces put where their time stamps say."""

from __future__ import annotations

import math
from itertools import groupby
from pathlib import Path

import av
import numpy as np
import scipy.fft

from amid.media import MediaError, Reason, Sound, clamp_span, strict
from amid.media.container import BACKWARDS, damage, run_backwards

# Containers round their time stamps and recorders jitter: what strays by less stays joined. A lost
# packet of Opus or AAC is 20 ms or more, and shorter ones add up.
STRAY = 0.010  # seconds
# Of stereo whose sides cancel: where the mean has less than this share of the louder side's power.
CANCELLED = 1e-3
TOGETHER = 256  # pieces that are made mono at once: each by itself costs ten times as much
CLAMPED = 0.05  # seconds from which on a span that ends after the sound is counted
LOST_TOLERANCE = 0.1  # seconds that decoders may lose at the ends of a whole file
CUT_PACKETS = 2  # at the start, that may need one before them
# Samples of silence with which FFmpeg's own coders begin, LAME's with what a decoder of MP3 adds.
CODER_DELAYS = {"mp3": 1105, "aac": 1024}
NUMBERS = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
FULL_SCALE = {"u1": 128.0, "i2": 2.0**15, "i4": 2.0**31, "i8": 2.0**63, "f4": 1.0, "f8": 1.0}


class Signal:
    """One mono signal that grows by decoded pieces. `channel`: only that one, None = their mean.

    stamped: whether the container has times of its own. One that has none (.avi) only tells where
    the sound begins.
    """

    def __init__(self, rate: int, *, stamped: bool, channel: int | None = None) -> None:
        self.rate, self.stamped, self.channel = rate, stamped, channel
        self.jitter = STRAY * rate  # samples
        self.begin: float | None = None  # seconds, on the file's clock
        self.pieces: list[np.ndarray] = []  # (samples,) float32 each
        self.raw: list[av.AudioFrame] = []  # what comes behind them, still to be made mono
        self.length = 0  # samples, of all of these
        self.gaps: list[float] = []  # where silence fills them up to, seconds of the file's clock
        self.overlaps = 0
        self.backwards = 0.0  # by how many seconds stamps run backwards, at most
        self.waiting: tuple[av.AudioFrame, float, int] | None = None  # with its stamp and stray
        self.power = np.zeros(1)  # (channels,) sum of squares, of several channels
        self.form = ""  # the decoder's number format
        self.changed = False  # whether that, or the rate, is another one on the way

    @property
    def end(self) -> float:
        """Seconds, on the file's clock."""
        return (self.begin or 0.0) + self.length / self.rate

    def add(self, frame: av.AudioFrame) -> None:
        """A decoded piece. It goes where its time stamp says: after silence where there is a gap,
        without its beginning where it overlaps what is there; unless the next piece's stamp takes
        that back, as those of some writers do."""
        time = frame.time
        if self.begin is None:
            self.begin = 0.0 if time is None else time
            self.form = frame.format.name
        if frame.sample_rate != self.rate:
            self.changed = True
            return
        if not self.stamped or time is None:
            self.flush()
            self._append(frame)
            return
        if self.waiting is not None:
            held, _, stray = self.waiting
            next_stray = self._stray(time, held.samples)
            if stray * next_stray > 0 and abs(next_stray) >= abs(stray) - self.jitter:
                self.flush()
            else:
                self._append(held)
                self.waiting = None
        stray = self._stray(time)
        if abs(stray) > self.jitter:
            self.waiting = frame, time, stray
        else:
            self._append(frame)

    def flush(self) -> None:
        """Puts a piece that waits where its stamp says."""
        if self.waiting is None:
            return
        frame, time, stray = self.waiting
        self.waiting = None
        if stray > 0:
            self._convert()
            self.gaps.append(time)
            self.pieces.append(np.zeros(stray, np.float32))
            self.length += stray
            self._append(frame)
        else:
            self._convert()
            self.overlaps += 1
            self.backwards = max(self.backwards, -stray / self.rate)
            piece = self._mono([frame])[-stray:]
            self.pieces.append(piece)
            self.length += len(piece)

    def _append(self, frame: av.AudioFrame) -> None:
        self.raw.append(frame)
        self.length += frame.samples
        if len(self.raw) == TOGETHER:
            self._convert()

    def _convert(self) -> None:
        """Makes the raw pieces mono, those that are alike together."""
        for (form, _), frames in groupby(self.raw, _kind):
            self.changed = self.changed or form.removesuffix("p") != self.form.removesuffix("p")
            self.pieces.append(self._mono(list(frames)))
        self.raw = []

    def _mono(self, frames: list[av.AudioFrame]) -> np.ndarray:
        """(samples,) float32 of frames that are alike."""
        block = _channels(frames)  # (channels, samples)
        if len(block) > 1:
            if len(self.power) != len(block) and not self.power.any():
                self.power = np.zeros(len(block))
            if len(self.power) == len(block):  # broadcasts change between stereo and more
                self.power += np.square(block, dtype=np.float64).sum(axis=1)
        return _mono(block, self.channel)

    def _stray(self, time: float, later: int = 0) -> int:
        """Samples from what is there, and so many more, to a time stamp."""
        return round((time - self.begin) * self.rate) - self.length - later

    def samples(self, origin: float) -> np.ndarray:
        """(samples,) float32 from `origin` seconds of the file's clock on: what is earlier is cut,
        what is missing at the start is zero."""
        self._convert()
        signal = np.concatenate(self.pieces) if self.pieces else np.zeros(0, np.float32)
        shift = round(((self.begin or 0.0) - origin) * self.rate)
        return np.pad(signal, (shift, 0)) if shift >= 0 else signal[-shift:]

    def loudest(self) -> int | None:
        """The channel to take instead of the mean where the channels cancel each other, as with
        one side inverted; else None."""
        self._convert()
        if len(self.power) < 2 or not self.power.max():
            return None
        mean = sum(float(np.square(p, dtype=np.float64).sum()) for p in self.pieces)
        cancelled = mean * _full_scale(self.form) ** 2 < CANCELLED * self.power.max()
        return int(self.power.argmax()) if cancelled else None


def cut_spans(
    sound: np.ndarray, request: Sound, name: str
) -> tuple[list[np.ndarray | MediaError], int]:
    """For each span its piece (samples,) of `sound`, or an error where there is none; and how many
    spans were cut to the sound's end."""
    rate = request.rate
    seconds = len(sound) / rate
    result: list[np.ndarray | MediaError] = []
    clamped = 0
    for start, end in request.spans:
        span = clamp_span(start, end, seconds)
        if isinstance(span, MediaError):
            result.append(span)
            continue
        first, last = round(span[0] * rate), min(round(span[1] * rate), len(sound))
        clamped += end > seconds + CLAMPED
        piece = sound[first:last]
        if piece.any():
            result.append(piece)
            continue
        place = f"{first / rate:.3f} to {last / rate:.3f} s"
        result.append(MediaError(Reason.silent, f"{name} has no sound from {place}"))
    return result, clamped


def finished(signal: np.ndarray, source: int, rate: int, name: str) -> np.ndarray:
    """(samples,) float32 in [-1, 1] at `rate`. Raises MediaError for one that is no sound."""
    if not len(signal):
        raise MediaError(Reason.no_sound, f"{name} has no samples")
    if not np.isfinite(signal).all():
        bad = int((~np.isfinite(signal)).sum())
        raise MediaError(
            Reason.not_finite, f"{bad} of {len(signal)} samples of {name} are not finite"
        )
    if not signal.any():
        raise MediaError(Reason.silent, f"all {len(signal)} samples of {name} are zero")
    return np.clip(resample(signal, source, rate), -1.0, 1.0)


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


def _kind(frame: av.AudioFrame) -> tuple[str, int]:
    """Number format and channels."""
    return frame.format.name, frame.layout.nb_channels


def _channels(frames: list[av.AudioFrame]) -> np.ndarray:
    """(channels, samples) of pieces that are alike, in the decoder's own numbers."""
    form = frames[0].format.name
    dtype = NUMBERS[form.removesuffix("p")]
    if form.endswith("p"):
        planes = zip(*(frame.planes for frame in frames), strict=True)
        sizes = [frame.samples for frame in frames]
        joined = [
            np.concatenate([np.frombuffer(p, dtype, n) for p, n in zip(those, sizes, strict=True)])
            for those in planes
        ]
        return joined[0][None] if len(joined) == 1 else np.stack(joined)
    channels = frames[0].layout.nb_channels
    parts = [np.frombuffer(f.planes[0], dtype, f.samples * channels) for f in frames]
    return np.concatenate(parts).reshape(-1, channels).T


def _mono(block: np.ndarray, channel: int | None) -> np.ndarray:
    """(channels, samples) integers or floats -> (samples,) float32, the mean, full scale at 1."""
    kind = block.dtype.str[1:]
    if channel is not None and channel < len(block):
        mono = block[channel]
    else:
        mono = block[0] if len(block) == 1 else block.mean(axis=0, dtype=np.float32)
    signal = mono.astype(np.float32)
    return (signal - 128.0 if kind == "u1" else signal) / np.float32(FULL_SCALE[kind])


def _full_scale(form: str) -> float:
    return FULL_SCALE[NUMBERS[form.removesuffix("p")]]


class SoundTrack:
    """The sound of a film, packet by packet. `wanted`: whether it is decoded, else only its end is
    looked for; `by_header`: there, where it tells."""

    def __init__(
        self,
        stream: av.AudioStream,
        complaints: strict.Complaints,
        *,
        wanted: bool,
        stamped: bool,
        channel: int | None,
        by_header: bool,
    ) -> None:
        self.stream, self.complaints, self.wanted = stream, complaints, wanted
        self.decode = strict.decoder(stream)
        self.by_header = by_header and not wanted and bool(stream.duration)
        self.signal = Signal(stream.codec_context.sample_rate, stamped=stamped, channel=channel)
        self.packets = 0
        self.last: int | None = None  # where the packets end, in units of the stream's clock

    def take(self, packet: av.Packet) -> Exception | None:
        """The last packet of a stream is empty. Gives back what is wrong with a packet, beside what
        is in the log."""
        self.packets += 1
        if not self.wanted:
            pts = packet.pts
            if pts is not None:
                end = pts + (packet.duration or 0)
                if self.last is None or end > self.last:
                    self.last = end
            return None
        signal = self.signal
        try:
            for frame in self.decode(packet):
                signal.add(frame)
        except av.error.FFmpegError as error:
            return strict.damage(error, packet)
        return None

    def leaves_out(self, packet: av.Packet) -> bool:
        """Sound that is in want of what was cut off is damage at its very ends only: `check`."""
        return False

    def finish(self) -> None:
        """After the last packet."""
        self.signal.flush()

    @property
    def coder_delay(self) -> float:
        """Seconds of silence before the sound itself, if FFmpeg coded it."""
        coder = self.stream.codec_context.codec.canonical_name
        return CODER_DELAYS.get(coder, 0) / self.signal.rate

    @property
    def end(self) -> float | None:
        """Where the sound ends, in seconds of the file's clock; None where there is none."""
        if self.wanted:
            return self.signal.end if self.signal.length else None
        if self.by_header:
            stream = self.stream
            return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
        return None if self.last is None else float(self.last * self.stream.time_base)

    def check(self, path: Path, whole: bool, declared: float | None) -> None:
        """Raises MediaError for damage. declared: the seconds that the file promises."""
        signal, name = self.signal, path.name
        if signal.changed:
            raise MediaError(
                Reason.corrupt,
                f"the rate or number format of the sound of {name} changes on the way",
            )
        if signal.backwards > BACKWARDS:
            raise run_backwards(path, signal.backwards)
        seconds = signal.length / signal.rate
        # Sound that was cut out of a longer recording may have a first and last packet in want of
        # its neighbour; what fails between them is damage.
        found = self.complaints.found
        inside = [words for packet, words in found if CUT_PACKETS < packet < self.packets - 1]
        short = declared is not None and seconds < declared - LOST_TOLERANCE
        if inside or short:
            # Of a file of unknown size of which only the last packet fails, the end is missing.
            cut = not whole and all(packet >= self.packets - 1 for packet, _ in found)
            of = f"{seconds:.2f} s" if declared is None else f"{seconds:.2f} of {declared:.2f} s"
            raise MediaError(
                damage(path, Reason.truncated if cut else Reason.corrupt, whole),
                f"{of} of the sound of {name} can be decoded{': ' if inside else ''}"
                + "".join(inside[:1]),
            )
