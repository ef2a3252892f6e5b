"""What one process at a time may do."""

from pathlib import Path

import pytest

from tutelage.plumbing.errors import InputError
from tutelage.plumbing.locks import held


@pytest.mark.parametrize("name", ["", "file"])
def test_a_place_is_held_once_and_let_go(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / name
    with held(place, "first"):
        with pytest.raises(InputError, match="second"), held(place, "second"):
            pytest.fail("it was held twice")
        with pytest.raises(InputError, match="third"), held(place, "third"):
            pytest.fail("who was refused let go of it")
    with held(place, "fourth"):
        pass
