"""Requests that join and leave a running batch: none notices the others, nothing is computed that nobody needs."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tutelage.dialogue import SamplingParameters
from tutelage.modeling.encoding import DialogueFormat, Encoder
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed, InputError
from tutelage.sampling import engine as module
from tutelage.sampling.cache import GROWTH
from tutelage.sampling.engine import Engine
from tutelage.sampling.protocol import Sample, Sampler, Seed

LETTERS = ("a", "e", "i", "o", "u", "t", "n", "s", "r", "d", "E", "T", "A", "0", "1", "2", "3")
PARAMETERS = SamplingParameters(temperature=0.9, max_tokens=24, stop=LETTERS)
PROMPTS = [tuple(text.encode()) for text in ("hello", "a much longer prompt than the others", "hi", "so it is", "x")]


def finish(sampler: Sampler) -> dict[int, Sample]:
    """Step until all is done; checks that the texts told add up to each sample's."""
    texts: dict[int, str] = {}
    samples: dict[int, Sample] = {}
    while sampler.busy:
        for event in sampler.step():
            assert event.request not in samples
            assert event.text or event.sample
            texts[event.request] = texts.get(event.request, "") + event.text
            if event.sample is not None:
                assert texts[event.request] == event.sample.text
                samples[event.request] = event.sample
    assert sampler.step() == []
    return samples


def alone(trunk: Trunk, prompt: tuple[int, ...], seed: Seed, parameters: SamplingParameters = PARAMETERS) -> Sample:
    engine = Engine(trunk, "policy", slots=1, columns=100)
    request = engine.submit(prompt, parameters, seed)
    return finish(engine)[request]


def assert_same(one: Sample, other: Sample) -> None:
    assert (one.ids, one.text, one.finish) == (other.ids, other.text, other.finish)
    np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-5)


def test_requests_join_at_any_time_and_none_notices_the_others(policy: Trunk) -> None:
    engine = Engine(policy, "policy", slots=4, columns=100)
    requests: dict[int, tuple[int, int]] = {}
    samples: dict[int, Sample] = {}
    places = [(number % len(PROMPTS), number) for number in range(23)]
    for number, (prompt, seed) in enumerate(places):
        requests[engine.submit(PROMPTS[prompt], PARAMETERS, (1, seed), streamed=number % 2 == 0)] = (prompt, seed)
        for _ in range(number % 4):
            samples |= {event.request: event.sample for event in engine.step() if event.sample}
    samples |= rest(engine)
    assert len({len(sample.ids) for sample in samples.values()}) > 6  # they ended at different times
    for request, (prompt, seed) in requests.items():
        assert_same(samples[request], alone(policy, PROMPTS[prompt], (1, seed)))


def rest(engine: Engine) -> dict[int, Sample]:
    """What is still to come of requests whose first texts were told before."""
    samples = {}
    while engine.busy:
        samples |= {event.request: event.sample for event in engine.step() if event.sample}
    return samples


class Passes:
    """What passes the trunk: shapes (rows, tokens a row)."""

    def __init__(self, trunk: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shapes: list[tuple[int, int]] = []
        decode = trunk.decode_BQD

        def noted(ids_BQ: Tensor, *rest: Any) -> Tensor:
            self.shapes.append(tuple(ids_BQ.shape))
            return decode(ids_BQ, *rest)

        monkeypatch.setattr(trunk, "decode_BQD", noted)

    @property
    def prompts(self) -> list[tuple[int, int]]:
        return [shape for shape in self.shapes if shape[1] > 1]

    @property
    def steps(self) -> list[int]:
        return [rows for rows, width in self.shapes if width == 1]


@pytest.mark.parametrize("slots", [1, 3, 16, 40])
def test_no_step_computes_what_nobody_needs(policy: Trunk, slots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = Passes(policy, monkeypatch)
    engine = Engine(policy, "policy", slots, columns=100)
    for seed in range(30):
        engine.submit(PROMPTS[1], PARAMETERS, seed, streamed=False)
    samples = finish(engine).values()
    assert sum(passes.steps) == sum(len(sample.ids) - 1 for sample in samples)
    assert max(passes.steps) <= slots
    if slots > 1:  # and slots are filled again: far fewer steps than one batch after the other would take
        longest = max(len(sample.ids) for sample in samples)
        assert len(passes.steps) <= sum(len(sample.ids) for sample in samples) / slots + 2 * longest


def test_a_prompt_passes_once_for_all_its_samples(policy: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = Passes(policy, monkeypatch)
    engine = Engine(policy, "policy", slots=8, columns=100)
    for seed in range(5):
        engine.submit(PROMPTS[1], PARAMETERS, seed)
    engine.step()
    engine.submit(PROMPTS[1], PARAMETERS, 5)  # one that runs lends it its beginning
    samples = rest(engine)
    assert passes.prompts == [(1, len(PROMPTS[1]))]
    for request, sample in samples.items():
        assert_same(sample, alone(policy, PROMPTS[1], request))


def test_what_all_prompts_begin_with_passes_once(policy: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = Passes(policy, monkeypatch)
    engine = Engine(policy, "policy", slots=8, columns=100)
    prompts = [tuple(b"You are kind. " + end) for end in (b"who?", b"why", b"")]
    requests = [engine.submit(prompt, PARAMETERS, 3) for prompt in prompts]
    samples = finish(engine)
    assert passes.prompts == [(1, 13), (3, 5)]
    for request, prompt in zip(requests, prompts, strict=True):
        assert_same(samples[request], alone(policy, prompt, 3))


def test_the_cache_moves_only_when_a_text_needs_more_columns(policy: Trunk) -> None:
    engine = Engine(policy, "policy", slots=3, columns=100)
    places = []
    for seed in range(12):  # the long prompt comes fifth
        engine.submit(PROMPTS[(seed + 2) % 5], PARAMETERS, seed)
    while engine.busy:
        engine.step()
        keys, values = engine._cache._layers[0]
        width = keys.shape[2]
        assert keys.shape == values.shape == (3, 2, width, 16)
        places.append((width, keys.data_ptr(), values.data_ptr()))
    assert [width for width, *_ in dict.fromkeys(places)] == [GROWTH, 2 * GROWTH]


def test_requests_of_different_parameters_share_a_batch(policy: Trunk) -> None:
    kinds: Sequence[Mapping[str, Any]] = [{}, {"temperature": 0.2}, {"top_k": 3}, {"top_p": 0.5}, {"temperature": 0}]
    many = [SamplingParameters(**{"max_tokens": 12, **kind}) for kind in kinds]
    engine = Engine(policy, "policy", slots=8, columns=100)
    requests = [engine.submit(PROMPTS[0], parameters, 7) for parameters in many]
    samples = finish(engine)
    for request, parameters in zip(requests, many, strict=True):
        assert_same(samples[request], alone(policy, PROMPTS[0], 7, parameters))
    assert len({sample.ids for sample in samples.values()}) == len(kinds)


def test_engines_of_several_adapters_share_a_trunk(policy: Trunk) -> None:
    engines = [Engine(policy, adapter, slots=2, columns=100) for adapter in ("policy", None)]
    for engine in engines:
        engine.submit(PROMPTS[0], PARAMETERS, 7)
    samples: list[list[Sample]] = [[], []]
    while any(engine.busy for engine in engines):
        for engine, its in zip(engines, samples, strict=True):
            its += [event.sample for event in engine.step() if event.sample]
    assert_same(samples[0][0], alone(policy, PROMPTS[0], 7))
    assert samples[1][0].ids != samples[0][0].ids


def test_a_cancelled_request_ends_with_what_was_told(policy: Trunk) -> None:
    parameters = SamplingParameters(max_tokens=24)
    engine = Engine(policy, "policy", slots=2, columns=100)
    running, other, waiting = (engine.submit(prompt, parameters, 3) for prompt in PROMPTS[:3])
    told = "".join(event.text for _ in range(5) for event in engine.step() if event.request == running)
    engine.cancel(running)
    engine.cancel(waiting)
    engine.cancel(running)
    engine.cancel(999)
    events = {event.request: event for event in engine.step() if event.request != other}
    assert set(events) == {running, waiting}
    cut = events[running].sample
    assert cut is not None
    assert (cut.finish, len(cut.ids), len(cut.logprobs)) == ("cancelled", 5, 5)
    assert cut.ids == alone(policy, PROMPTS[0], 3, parameters).ids[:5]
    assert told + events[running].text == cut.text
    assert events[waiting].sample == Sample((), (), "", "cancelled")
    left = rest(engine)
    assert_same(left[other], alone(policy, PROMPTS[1], 3, parameters))
    engine.cancel(other)
    assert not engine.busy


def test_a_policy_that_gives_no_numbers_is_told(policy: Trunk) -> None:
    weight = next(iter(policy.adapter_parameters("policy").values()))
    weight.data.fill_(float("nan"))
    with policy.using("policy"):
        engine = Engine(policy, "policy", slots=2, columns=32)
    engine.submit((1, 2, 3), SamplingParameters(max_tokens=4), 0)
    with pytest.raises(CheckFailed, match="hidden states are not numbers"):
        engine.step()


@pytest.mark.parametrize(
    ("stops", "said"),
    [
        ({"stop": ("so", "<|user|>")}, r"'<\|user\|>' holds the special token .* \(--stop-tokens \d+\)"),
        ({"stop_tokens": (10**6,)}, "the stop token 1000000 is none of the"),
        ({"stop_tokens": (-5,)}, "the stop token -5 is none of the"),
    ],
)
def test_what_could_never_end_a_response_is_refused(policy: Trunk, stops: dict[str, Any], said: str) -> None:
    engine = Engine(policy, "policy", slots=1, columns=100)
    with pytest.raises(InputError, match=said):
        engine.submit((1,), SamplingParameters(max_tokens=4, **stops), 0)
    assert not engine.busy


@pytest.mark.parametrize(
    ("prompt", "said"),
    [((), "a prompt is empty"), ((1,) * 90, "prompt of 90 tokens and max_tokens = 24 exceed the 100 tokens")],
)
def test_a_prompt_that_cannot_be_answered_is_refused(policy: Trunk, prompt: tuple[int, ...], said: str) -> None:
    engine = Engine(policy, "policy", slots=1, columns=100)
    with pytest.raises(InputError, match=said):
        engine.submit(prompt, PARAMETERS, 0)
    assert not engine.busy


# How a response ends


def spoken(trunk: Trunk, text: str, monkeypatch: pytest.MonkeyPatch, then: int = 97, **parameters: Any) -> Sample:
    """What is made of a model that says these bytes, then `then` again and again."""
    said = trunk.encoder.tokenizer(text, add_special_tokens=False).input_ids
    steps = count()

    def scripted(logits: Tensor, uniforms: Tensor, given: SamplingParameters) -> tuple[Tensor, Tensor]:
        step = next(steps)
        return torch.tensor([said[step] if step < len(said) else then]), torch.tensor([-0.5 * (step + 1)])

    monkeypatch.setattr(module, "draw", scripted)
    engine = Engine(trunk, None, slots=1, columns=200)
    engine.submit(PROMPTS[0], SamplingParameters(**parameters), 0)
    (drawn,) = finish(engine).values()
    assert drawn.logprobs == tuple(-0.5 * (step + 1) for step in range(len(drawn.ids)))
    return drawn


def test_the_end_token_ends_and_is_among_the_ids(tiny: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = spoken(tiny, " hi there ", monkeypatch, then=tiny.encoder.end)
    assert (drawn.text, drawn.finish) == ("hi there", "stop")
    assert len(drawn.ids) == 11
    assert drawn.ids[-1] == tiny.encoder.end


def test_an_end_token_as_the_very_last_still_is_an_end(tiny: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert spoken(tiny, "hi", monkeypatch, then=tiny.encoder.end, max_tokens=3).finish == "stop"
    assert spoken(tiny, "hi", monkeypatch, then=tiny.encoder.end, max_tokens=2).finish == "length"


def test_a_response_is_cut_off_at_max_tokens(tiny: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = spoken(tiny, "hello", monkeypatch, max_tokens=4)
    assert (drawn.text, drawn.finish, len(drawn.ids)) == ("hell", "length", 4)


def test_a_stop_token_ends_and_is_no_text(tiny: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    (mark,) = tiny.encoder.tokenizer("!", add_special_tokens=False).input_ids
    drawn = spoken(tiny, "so it ended! And", monkeypatch, stop_tokens=(mark,))
    assert (drawn.text, drawn.finish) == ("so it ended", "stop")
    assert drawn.ids[-1] == mark


def test_a_stop_string_ends_across_token_borders_and_is_no_text(tiny: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = spoken(tiny, "so it ended, and more", monkeypatch, stop=("zzz", "ended"))
    assert (drawn.text, drawn.finish) == ("so it", "stop")
    assert len(drawn.ids) == len("so it ended")


def test_stop_strings_of_characters_of_several_tokens(tiny: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = spoken(tiny, "größer als ß und mehr", monkeypatch, stop=("ß u",))
    assert (drawn.text, drawn.finish) == ("größer als", "stop")


def test_a_response_that_is_cut_off_within_a_character_ends_before_it(
    tiny: Trunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = spoken(tiny, "so 🙂", monkeypatch, max_tokens=5)
    assert (drawn.text, drawn.finish, len(drawn.ids)) == ("so", "length", 5)


def test_in_the_plain_format_speaking_for_the_human_ends(tiny: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.encoder = Encoder(tiny.encoder.tokenizer, DialogueFormat(template="hh"))
    drawn = spoken(tiny, " Yes.\n\nHuman: no", monkeypatch)
    assert (drawn.text, drawn.finish) == ("Yes.", "stop")
