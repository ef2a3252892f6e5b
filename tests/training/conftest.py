import pytest

from tutelage.modeling.trunk import Trunk


@pytest.fixture
def talker(tiny: Trunk) -> Trunk:
    """The tiny base with a louder output layer: as made, its tokens can have but nearly the same chances."""
    tiny.model.get_output_embeddings().weight.data.mul_(4)
    return tiny
