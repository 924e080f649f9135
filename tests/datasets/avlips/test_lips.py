"""The drawn mouth: what sounds alike to the eye looks alike, and closed lips are closed."""

from __future__ import annotations

import numpy as np
import pytest

from amid.datasets.avlips import ACCENTS, WORDS, lips
from amid.datasets.avlips.speech import Phoneme, speak
from amid.errors import AmidError

OPENING, WIDTH, TEETH, TONGUE, TUCK = range(lips.SHAPE)
SIZE = {"width": 64, "height": 48}


def some_face(speaker: int = 0, clip: int = 0, spread: float = 1.0) -> lips.Face:
    return lips.draw_face(
        np.random.default_rng(speaker),
        np.random.default_rng(clip),
        speaker_spread=spread,
        clip_spread=spread,
    )


def move(phonemes: list[Phoneme], times: np.ndarray, *, effort: float = 1.0) -> np.ndarray:
    gestures = lips.visemes(phonemes)
    spread = np.zeros((len(gestures), lips.SHAPE))
    return lips.articulate(gestures, times, reach=0.06, effort=effort, spread=spread)


def say(*names: str) -> list[Phoneme]:
    """Sounds of 0.2 s each, from 0 s."""
    return [Phoneme(name, 0.2 * n, 0.2 * (n + 1)) for n, name in enumerate(names)]


def at_middle(phonemes: list[Phoneme], number: int) -> np.ndarray:
    one = phonemes[number]
    return move(phonemes, np.array([(one.start + one.end) / 2]))[0]


@pytest.mark.parametrize("alike", ["pbm", "fv", "tdn", "sz", "kg", "TD"])
def test_sounds_made_alike_give_equal_frames(alike: str) -> None:
    times = np.arange(12) / 25
    still = np.zeros((len(times), 2))
    films = [
        lips.paint(move(say(name, "I", "n"), times), some_face(), still, **SIZE) for name in alike
    ]
    assert all(np.array_equal(films[0], film) for film in films[1:])


def test_different_places_of_articulation_give_different_frames() -> None:
    times, still = np.array([0.1]), np.zeros((1, 2))
    films = {
        names[0]: lips.paint(move(say(names, "I"), times), some_face(), still, **SIZE)
        for names in ("p", "f", "T", "t", "l", "s", "r", "w")
    }
    differences = [
        np.abs(one.astype(int) - other).max()
        for name, one in films.items()
        for key, other in films.items()
        if name != key
    ]
    assert min(differences) > 10


@pytest.mark.parametrize("accent", ACCENTS)
def test_every_sound_of_the_vocabulary_has_a_viseme(accent: str) -> None:
    for word in WORDS:
        phonemes = speak(
            word, accent=accent, variant="m1", rate=140, pitch=50, span=50, seed=0
        ).phonemes
        gestures = lips.visemes(phonemes)
        assert gestures[0].start == phonemes[0].start
        assert gestures[-1].end == phonemes[-1].end
        assert len(gestures) >= len(phonemes)


@pytest.mark.parametrize("word", ["bin", "place", "blue", "by", "please"])
def test_words_that_begin_with_a_bilabial_begin_with_closed_lips(word: str) -> None:
    phonemes = speak(word, accent="en", variant="f2", rate=140, pitch=50, span=50, seed=0).phonemes
    assert lips.visemes(phonemes)[0].viseme == "bilabial"
    assert at_middle(phonemes, 0)[OPENING] <= 0
    later = move(phonemes, np.arange(0, phonemes[-1].end, 0.01))
    assert later[:, OPENING].max() > 0.15


def test_shapes_reach_what_the_sounds_ask_for() -> None:
    assert at_middle(say("n", "a", "n"), 1)[OPENING] > 0.8
    assert at_middle(say("t", "u:"), 1)[WIDTH] < -0.7
    assert at_middle(say("T", "r", "i:"), 2)[WIDTH] > 0.6
    assert at_middle(say("f", "aI"), 0)[TUCK] > 0.8
    assert at_middle(say("s", "E"), 0)[TEETH] > 0.9
    assert at_middle(say("T", "r"), 0)[TONGUE] > 0.6


def test_a_sound_takes_on_the_look_of_its_neighbours() -> None:
    assert at_middle(say("g", "u:"), 0)[WIDTH] < at_middle(say("g", "i:"), 0)[WIDTH]
    # The firm closes whoever stands beside it; the loose gives way.
    brief = [Phoneme("I", 0.0, 0.1), Phoneme("b", 0.1, 0.15), Phoneme("I", 0.15, 0.25)]
    assert at_middle(brief, 1)[OPENING] < 0


def test_shapes_are_means_of_targets_and_rest_far_away() -> None:
    phonemes = say("w", "aI", "t")
    shapes = move(phonemes, np.linspace(-5, 5, 400))
    targets = np.array([viseme[: lips.SHAPE] for viseme in lips.VISEMES.values()])
    assert (shapes >= targets.min(axis=0) - 1e-9).all()
    assert (shapes <= targets.max(axis=0) + 1e-9).all()
    rest = lips.VISEMES["rest"][: lips.SHAPE]
    assert np.allclose(shapes[[0, -1]], [rest, rest])


def test_effort_opens_the_mouth_wider() -> None:
    times = np.array([0.3])
    quiet, loud = (move(say("n", "a", "n"), times, effort=effort)[0] for effort in (0.7, 1.3))
    assert quiet[OPENING] < loud[OPENING]
    assert quiet[TEETH] == pytest.approx(loud[TEETH])


def test_an_open_mouth_is_dark_inside_and_a_closed_one_is_not() -> None:
    face = some_face(spread=0.0)
    shapes = np.array([[0.9, 0, 0, 0, 0], [-0.25, 0, 0, 0, 0], [0.5, 0, 1, 0, 0]])
    frames = lips.paint(shapes, face, np.zeros((3, 2)), **SIZE)
    x = round(face.centre[0] * SIZE["width"])
    dark = [(frame[:, x - 2 : x + 3].max(axis=2) < 80).mean() for frame in frames]
    bright = [(frame[:, x - 2 : x + 3].min(axis=2) > 160).mean() for frame in frames]
    assert dark[0] > 0.1
    assert dark[1] == 0
    assert bright[2] > bright[1]


def test_without_spread_everyone_has_the_same_face() -> None:
    assert some_face(1, 2, spread=0.0) == some_face(3, 4, spread=0.0)
    assert some_face(1, 2) != some_face(3, 2)
    assert some_face(1, 2) != some_face(1, 3)


def test_the_camera_adds_noise_of_the_strength_asked_for() -> None:
    frames = np.full((10, 48, 64, 3), 120, dtype=np.uint8)
    face = some_face(spread=0.0)
    clean, noisy = (
        lips.expose(frames, face, np.random.default_rng(0), noise=noise, flicker=0.0).astype(float)
        for noise in (0.0, 6.0)
    )
    assert np.array_equal(clean[0], clean[9])
    assert (noisy - clean).std() == pytest.approx(6.0, rel=0.05)


def test_the_head_sways_by_the_amount_asked_for() -> None:
    walk = lips.head_sway(np.random.default_rng(0), 25, 0.01)
    assert walk.shape == (25, 2)
    assert np.allclose(walk.std(axis=0), 0.01)
    assert np.abs(np.diff(walk, axis=0)).max() < 0.01  # slow


def test_an_unknown_sound_is_named() -> None:
    with pytest.raises(AmidError, match="no entry for espeak-ng's sound 'x'"):
        lips.visemes([Phoneme("x", 0.0, 0.1)])
