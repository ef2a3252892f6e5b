"""Policies by name: bases, snapshots, snapshots of a smaller depth, and what is refused."""

from pathlib import Path

import pytest
import torch

from tutelage.modeling.base import load_base
from tutelage.modeling.encoding import DialogueFormat
from tutelage.modeling.heads import ScoreHead
from tutelage.modeling.hub import TINY
from tutelage.modeling.passes import branch_logprobs
from tutelage.modeling.policy import load_policy
from tutelage.modeling.rows import Group
from tutelage.modeling.snapshot import save_snapshot
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError

from .toys import add_random_adapter

GROUPS = [Group((20, 21, 22), ((30, 31), (32,)))]


def saved(place: Path, trunk: Trunk, layers: int | None = None) -> Path:
    add_random_adapter(trunk, "mine")
    save_snapshot(place, trunk, "mine", 4, None, {"dtype": "float32"}, layers)
    return place


def test_a_base_is_a_policy_without_an_adapter() -> None:
    policy = load_policy(TINY, DialogueFormat(template="hh"))
    assert (policy.name, policy.adapter) == (TINY, None)
    assert (policy.trunk.dtype, policy.trunk.encoder.format.template) == (torch.bfloat16, "hh")


def test_a_snapshot_is_loaded_as_it_was_trained(tmp_path: Path) -> None:
    trunk = load_base(TINY, DialogueFormat(system="Be kind."), torch.float32)
    policy = load_policy(str(saved(tmp_path / "policy", trunk)))
    assert (policy.trunk.dtype, policy.trunk.encoder.format.system) == (torch.float32, "Be kind.")
    assert len(policy.name) == 12
    ours, theirs = (branch_logprobs(*pair, GROUPS, 1.0) for pair in ((policy.trunk, policy.adapter), (trunk, "mine")))
    assert [part.tolist() for part in ours[0]] == [part.tolist() for part in theirs[0]]


def test_a_policy_of_the_first_layers_is_cut(tmp_path: Path, tiny: Trunk) -> None:
    policy = load_policy(str(saved(tmp_path / "student", tiny, layers=1)))
    ours = branch_logprobs(policy.trunk, policy.adapter, GROUPS, 1.0)
    theirs = branch_logprobs(tiny, "mine", GROUPS, 1.0, layers=1)
    assert [part.tolist() for part in ours[0]] == [part.tolist() for part in theirs[0]]


def test_what_is_no_policy_is_refused(tmp_path: Path, tiny: Trunk) -> None:
    place = saved(tmp_path / "policy", tiny)
    with pytest.raises(InputError, match="a snapshot has the format that it was trained in"):
        load_policy(str(place), DialogueFormat(template="hh"))
    head = ScoreHead(tiny.width, "last")
    save_snapshot(tmp_path / "pm", tiny, "mine", 4, head, {})
    with pytest.raises(InputError, match="expected a policy, found a preference model"):
        load_policy(str(tmp_path / "pm"))
    with pytest.raises(InputError, match="not found or not permitted"):
        load_policy(str(tmp_path / "nothing"))
