"""A talking mouth, drawn with OpenCV from the times of a word's sounds.

`visemes` turns sounds into gestures, `articulate` gestures into the mouth's shape over time,
`draw_face` draws a speaker's traits, `paint` the frames and `expose` what a camera makes of them;
each is a pure function of its arguments.

Sounds made alike look alike: p, b and m are one viseme, f and v another, t, d and n a third, as in
lip-readers' tables (Fisher, 1968). Neighbours run into one another by Cohen and Massaro's
dominance functions (1993): at each moment the shape is the mean of all sounds' targets, weighted
by how much each sound cares about it and how far away in time it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from amid.datasets.avlips.speech import Phoneme
from amid.errors import AmidError

SUPERSAMPLING = 2  # frames are painted this many times larger, then averaged down


class Viseme(NamedTuple):
    """What the mouth aims at during a sound, and how firmly.

    opening: 0 closed, 1 as wide as speech goes, below 0 lips pressed together; width: -1 rounded,
    0 relaxed, 1 spread; teeth, tongue: how much of each is seen, 0 to 1; tuck: how far the lower
    lip is drawn under the upper teeth, 0 to 1; firmness: weight against its neighbours.
    """

    opening: float
    width: float
    teeth: float
    tongue: float
    tuck: float
    firmness: float


SHAPE = 5  # the first five fields make the shape; the sixth weighs it

# fmt: off
VISEMES: dict[str, Viseme] = {
    #                     opening width  teeth tongue tuck firmness
    "rest":        Viseme(+0.04, +0.00, 0.00, 0.00, 0.0, 1.0),
    "bilabial":    Viseme(-0.25, +0.00, 0.00, 0.00, 0.0, 3.0),
    "labiodental": Viseme(+0.08, +0.10, 1.00, 0.00, 1.0, 2.5),
    "dental":      Viseme(+0.26, +0.10, 0.60, 0.90, 0.0, 1.2),
    "alveolar":    Viseme(+0.20, +0.15, 0.60, 0.25, 0.0, 0.8),
    "lateral":     Viseme(+0.32, +0.05, 0.35, 0.70, 0.0, 0.8),
    "sibilant":    Viseme(+0.10, +0.45, 1.00, 0.00, 0.0, 1.3),
    "palatal":     Viseme(+0.12, -0.40, 0.90, 0.00, 0.0, 1.3),
    "rhotic":      Viseme(+0.22, -0.50, 0.30, 0.10, 0.0, 1.0),
    "glide":       Viseme(+0.08, -1.00, 0.00, 0.00, 0.0, 2.0),
    "velar":       Viseme(+0.30, +0.05, 0.20, 0.20, 0.0, 0.3),
    "high_front":  Viseme(+0.30, +0.85, 0.60, 0.15, 0.0, 1.2),
    "near_front":  Viseme(+0.38, +0.50, 0.50, 0.15, 0.0, 1.0),
    "mid_front":   Viseme(+0.58, +0.40, 0.40, 0.20, 0.0, 1.0),
    "low_front":   Viseme(+0.85, +0.30, 0.35, 0.30, 0.0, 1.1),
    "low_back":    Viseme(+0.90, -0.05, 0.20, 0.25, 0.0, 1.1),
    "open_round":  Viseme(+0.72, -0.45, 0.10, 0.15, 0.0, 1.1),
    "mid_round":   Viseme(+0.50, -0.70, 0.05, 0.10, 0.0, 1.2),
    "high_round":  Viseme(+0.20, -0.90, 0.00, 0.05, 0.0, 1.2),
    "neutral":     Viseme(+0.38, +0.00, 0.30, 0.15, 0.0, 0.6),
}

# espeak-ng's English mnemonics that each viseme stands for ...
_LOOK_ALIKE = {
    "bilabial": "p b m",  "labiodental": "f v",   "dental": "T D",     "alveolar": "t t[ t# d n",
    "lateral": "l",       "sibilant": "s z",      "rhotic": "r r-",    "glide": "w w#",
    "velar": "k g",       "high_front": "i i: j", "near_front": "I ;", "mid_front": "E",
    "low_front": "a",     "low_back": "V",        "open_round": "0",   "high_round": "u u: U",
    "neutral": "@ a#",    "palatal": "tS dZ",
}
# ... and the diphthongs, two visemes in turn.
_DIPHTHONGS = {
    "eI": ("mid_front", "high_front"),  "aI": ("low_front", "high_front"),
    "aU": ("low_front", "high_round"),  "aI2": ("low_back", "high_front"),
    "oU": ("mid_round", "high_round"),  "i@": ("high_front", "neutral"),
    "o@": ("mid_round", "neutral"),     "O@": ("open_round", "mid_round"),
    "A@": ("low_back", "neutral"),
}
# fmt: on
PHONEMES: dict[str, tuple[str, ...]] = _DIPHTHONGS | {
    name: (viseme,) for viseme, names in _LOOK_ALIKE.items() for name in names.split()
}


class Gesture(NamedTuple):
    """One viseme of a word with its span in seconds."""

    viseme: str
    start: float
    end: float


def visemes(phonemes: list[Phoneme]) -> list[Gesture]:
    """The visemes of a word in time; the two of a diphthong share its span. Raises AmidError for an
    unknown sound."""
    gestures = []
    for name, start, end in phonemes:
        if name not in PHONEMES:
            raise AmidError(
                f"the viseme table has no entry for espeak-ng's sound {name!r};"
                " add it in amid/datasets/avlips/lips.py."
            )
        names = PHONEMES[name]
        edges = np.linspace(start, end, len(names) + 1)
        gestures += [Gesture(*one) for one in zip(names, edges[:-1], edges[1:], strict=True)]
    return gestures


def articulate(
    gestures: list[Gesture], times: np.ndarray, *, reach: float, effort: float, spread: np.ndarray
) -> np.ndarray:
    """The mouth's shape at each time, (F, 5): opening, width, teeth, tongue, tuck.

    times (F,): seconds on the gestures' clock; reach: seconds over which a sound's influence falls
    to 1/e outside its own middle half; effort: scales opening and width; spread (gestures, 5):
    added to the targets, how this utterance departs from the table.
    """
    first, last = gestures[0].start, gestures[-1].end
    rest = VISEMES["rest"]
    targets = np.array([VISEMES[one.viseme][:SHAPE] for one in gestures])  # (G, 5)
    targets = targets + spread
    targets[:, :2] *= effort
    firmness = np.array([VISEMES[one.viseme].firmness for one in gestures])  # (G,)
    start = np.array([one.start for one in gestures])
    end = np.array([one.end for one in gestures])
    # A sound holds its target over the middle half of its span.
    distance = np.abs(times[:, None] - (start + end) / 2) - (end - start) / 4  # (F, G)
    # Silence before and after the word is one more gesture on either side.
    before = times - (first - reach)
    after = (last + reach) - times
    distance = np.column_stack([distance, before, after])  # (F, G + 2)
    targets = np.vstack([targets, rest[:SHAPE], rest[:SHAPE]])
    firmness = np.append(firmness, [rest.firmness, rest.firmness])
    weights = firmness * np.exp(-np.square(np.maximum(distance, 0) / reach)) + 1e-9
    # einsum, as a matrix product would start threads.
    return np.einsum("fg,gs->fs", weights, targets) / weights.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Face:
    """Traits of a speaker and of one recording. Lengths are in units of the frame's width."""

    centre: tuple[float, float]  # of the mouth, x and y
    tilt: float  # radians
    half_width: float  # of the relaxed mouth
    upper_lip: float  # thickness
    lower_lip: float
    jaw: float  # how far the mouth opens at opening 1
    skew: float  # one corner higher than the other
    skin: tuple[float, float, float]  # BGR, 0 to 255
    lip: tuple[float, float, float]
    light: tuple[float, float]  # how much brighter right and bottom are than left and top
    exposure: float  # gain


def draw_face(
    speaker: np.random.Generator,
    clip: np.random.Generator,
    *,
    speaker_spread: float,
    clip_spread: float,
) -> Face:
    """A face: the speaker's lasting traits from one generator, the recording's from the other.

    Both spreads scale standard deviations: 0 gives everyone the same face.
    """

    def trait(mean: float, lasting: float, passing: float) -> float:
        mine = speaker_spread * lasting * speaker.standard_normal()
        return mean + mine + clip_spread * passing * clip.standard_normal()

    tone = float(np.clip(trait(0.62, 0.17, 0.0), 0.25, 0.95))
    redness = trait(1.0, 0.12, 0.0)
    skin = (160 * tone + 18, 182 * tone + 20, 226 * tone + 26)
    lip = (skin[0] * 0.74, skin[1] * 0.60, skin[2] * (0.80 + 0.06 * redness))
    return Face(
        centre=(trait(0.50, 0.015, 0.020), trait(0.36, 0.012, 0.016)),
        tilt=trait(0.0, 0.03, 0.05),
        half_width=max(trait(0.27, 0.022, 0.008), 0.19),
        upper_lip=max(trait(0.052, 0.011, 0.002), 0.025),
        lower_lip=max(trait(0.070, 0.013, 0.002), 0.035),
        jaw=max(trait(0.27, 0.025, 0.012), 0.14),
        skew=trait(0.0, 0.008, 0.003),
        skin=skin,
        lip=lip,
        light=(trait(0.0, 0.10, 0.15), trait(-0.10, 0.08, 0.10)),
        exposure=float(np.clip(trait(1.0, 0.06, 0.08), 0.6, 1.35)),
    )


def paint(
    shapes: np.ndarray, face: Face, sway: np.ndarray, *, width: int, height: int
) -> np.ndarray:
    """Frames (F, height, width, 3) uint8 BGR, without noise.

    shapes (F, 5): of `articulate`; sway (F, 2): the head's offset from its place in units of the
    frame's width.
    """
    size = width * SUPERSAMPLING
    curves = _curves(shapes, face, sway)
    skin = _skin(face, width * SUPERSAMPLING, height * SUPERSAMPLING)
    lower, upper = _shade(face.lip, 1.0), _shade(face.lip, 0.84)
    gloss, gum = _shade(face.lip, 1.13), _shade(face.lip, 0.55)
    frames = np.empty((len(shapes), height, width, 3), dtype=np.uint8)
    for index in range(len(shapes)):
        canvas = skin.copy()
        outline = {name: curve[index] * size for name, curve in curves.items()}  # (P, 2) pixels
        _band(canvas, outline["chin"], outline["chin_end"], _shade(face.skin, 0.90))
        _band(canvas, outline["upper_outer"], outline["upper_inner"], upper)
        _band(canvas, outline["lower_inner"], outline["lower_outer"], lower)
        _band(canvas, outline["gloss"], outline["gloss_end"], gloss)
        _band(canvas, outline["upper_inner"], outline["lower_inner"], (38, 26, 52))
        _band(canvas, outline["tongue"], outline["lower_inner"], (88, 84, 170))
        _band(canvas, outline["upper_inner"], outline["teeth"], (205, 218, 226))
        cv2.polylines(canvas, [_fixed(outline["upper_inner"])], False, gum, 1, cv2.LINE_AA, 4)
        canvas = cv2.GaussianBlur(canvas, (3, 3), 0)
        frames[index] = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return frames


def expose(
    frames: np.ndarray, face: Face, generator: np.random.Generator, *, noise: float, flicker: float
) -> np.ndarray:
    """What the camera makes of painted frames: light that is uneven and flickers, and sensor noise.

    noise: standard deviation in grey levels; flicker: of each frame's gain.
    """
    count, height, width, _ = frames.shape
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)
    light = 1 + face.light[0] * x[None, :] + face.light[1] * y[:, None]  # (H, W)
    gain = face.exposure * (1 + flicker * generator.standard_normal(count))  # (F,)
    grain = noise * generator.standard_normal((count, height, width), dtype=np.float32)
    gains = np.clip(light, 0.4, 1.6) * gain.astype(np.float32)[:, None, None]  # (F, H, W)
    lit = np.multiply(frames, gains[..., None], dtype=np.float32)
    lit += grain[..., None]
    lit += 0.5  # the cast below rounds down
    return np.clip(lit, 0, 255, out=lit).astype(np.uint8)


def head_sway(generator: np.random.Generator, count: int, amount: float) -> np.ndarray:
    """A slow random walk (count, 2) of the head, of standard deviation `amount` over the clip."""
    steps = generator.standard_normal((count + 8, 2))
    walk = np.cumsum(np.cumsum(steps, axis=0) * 0.1, axis=0)[8:]
    walk = walk - walk.mean(axis=0)
    return amount * walk / (np.sqrt(np.square(walk).mean(axis=0)) + 1e-9)


def _curves(shapes: np.ndarray, face: Face, sway: np.ndarray) -> dict[str, np.ndarray]:
    """The outlines to paint between, each (F, P, 2) in frame widths, from left to right."""
    opening, spread, teeth, tongue, tuck = (shapes[:, k, None] for k in range(SHAPE))  # (F, 1)
    press = np.clip(-opening / 0.25, 0, 1)
    gap = np.clip(opening, 0, 1.3) * face.jaw
    rounding = np.clip(-spread, 0, 1.2)
    half = face.half_width * (1 + 0.16 * np.clip(spread, -2, 1.4) - 0.26 * rounding)
    half = half * (1 - 0.06 * np.clip(opening, 0, 1))
    thicker = (1 + 0.28 * rounding - 0.10 * np.clip(spread, 0, 1)) * (1 - 0.38 * press)
    upper_lip, lower_lip = face.upper_lip * thicker, face.lower_lip * thicker

    u = np.linspace(-1, 1, 21)  # (P,)
    arch = (1 - u**2) ** 0.75
    bow = (1 - np.abs(u) ** 1.8) ** 0.9 * (1 - 0.20 * np.exp(-np.square(u / 0.16)))
    inner_x = half * 0.86 * u  # (F, P)
    outer_x = half * u
    lift = -0.022 * tuck
    upper_inner = -0.28 * gap * arch
    lower_inner = (0.72 * gap + lift) * arch
    lower_inner = np.maximum(lower_inner, upper_inner)
    upper_outer = upper_inner - upper_lip * bow
    lower_outer = (0.72 * gap + 0.4 * lift) * arch + lower_lip * (1 - 0.35 * tuck) * arch
    lower_outer = np.maximum(lower_outer, lower_inner)
    room = lower_inner - upper_inner
    # Under the tuck the teeth lie over the lower lip, so they show even with no gap.
    teeth_edge = upper_inner + np.minimum(room, teeth * 0.045 * arch)
    teeth_edge = np.maximum(teeth_edge, upper_inner + tuck * 0.032 * arch)
    tongue_edge = lower_inner - np.minimum(room, tongue * (0.03 + 0.45 * gap) * arch)
    gloss_x = half * 0.45 * u
    gloss = lower_inner[:, 10:11] + (lower_outer - lower_inner)[:, 10:11] * (0.42 - 0.12 * arch)
    chin_x = half * 0.75 * u
    chin = lower_outer[:, 10:11] + 0.085 + 0.35 * gap * 0.3 - 0.015 * arch

    def place(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        x, y = np.broadcast_arrays(x, y)
        y = y + face.skew * x / face.half_width
        cos, sin = np.cos(face.tilt), np.sin(face.tilt)
        points = np.stack([x * cos - y * sin, x * sin + y * cos], axis=-1)
        return points + np.array(face.centre) + sway[:, None, :]

    return {
        "upper_outer": place(outer_x, upper_outer),
        "upper_inner": place(inner_x, upper_inner),
        "lower_inner": place(inner_x, lower_inner),
        "lower_outer": place(outer_x, lower_outer),
        "teeth": place(inner_x, teeth_edge),
        "tongue": place(inner_x, tongue_edge),
        "gloss": place(gloss_x, gloss),
        "gloss_end": place(gloss_x, gloss + lower_lip * 0.16 * arch),
        "chin": place(chin_x, chin),
        "chin_end": place(chin_x, chin + 0.030 * arch),
    }


def _skin(face: Face, width: int, height: int) -> np.ndarray:
    """The skin around the mouth: rounded shading, the groove under the nose, the nose's shadow."""
    x = (np.arange(width) + 0.5) / width
    y = (np.arange(height) + 0.5) / width
    dx = (x - face.centre[0])[None, :]
    dy = (y - face.centre[1])[:, None]
    shade = 1.05 - 0.55 * dx**2 - 0.25 * dy**2
    shade = shade - 0.07 * np.exp(-np.square(dx / 0.035)) * np.exp(-np.square((dy + 0.19) / 0.09))
    shade = shade - 0.30 * np.exp(-np.square(dx / 0.15)) * np.exp(-np.square((dy + 0.36) / 0.07))
    shade = shade - 0.06 * np.exp(-np.square((np.abs(dx) - 0.38 - 0.30 * dy) / 0.05))
    return np.clip(shade[..., None] * np.array(face.skin), 0, 255).astype(np.uint8)


def _shade(colour: tuple[float, float, float], factor: float) -> tuple[int, int, int]:
    return tuple(int(np.clip(factor * one, 0, 255)) for one in colour)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Pixels as OpenCV's fixed-point numbers with 4 bits below the point."""
    return np.rint(points * 16).astype(np.int32)


def _band(
    canvas: np.ndarray, top: np.ndarray, bottom: np.ndarray, colour: tuple[int, int, int]
) -> None:
    """Paint between two curves (P, 2) that both run from left to right."""
    cv2.fillPoly(canvas, [_fixed(np.concatenate([top, bottom[::-1]]))], colour, cv2.LINE_AA, 4)
