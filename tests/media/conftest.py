"""Films that many tests read, each made once."""

import av
import pytest

from tests.media.films import COLOURS, FILMS, SOUNDS

MAKERS = FILMS | SOUNDS | COLOURS


class Shelf:
    """films["name"] is what is true of that film, which is made when it is first asked for."""

    def __init__(self, folder):
        self.folder, self.made = folder, {}

    def __getitem__(self, name):
        if name not in self.made:
            level = av.logging.get_level()
            av.logging.set_level(av.logging.PANIC)
            try:
                self.made[name] = MAKERS[name](self.folder / name)
            finally:
                av.logging.set_level(level)
        return self.made[name]


@pytest.fixture(scope="session")
def films(tmp_path_factory) -> Shelf:
    """All films of tests/media/films.py by their names; they are not to be changed."""
    return Shelf(tmp_path_factory.mktemp("films"))
