import pytest

from tutelage.modeling.trunk import Trunk


@pytest.fixture
def talker(tiny: Trunk) -> Trunk:
    """The tiny base with a louder output layer: as made, its tokens all have nearly the same chance, and must keep it."""
    tiny.model.get_output_embeddings().weight.data.mul_(3)
    return tiny
