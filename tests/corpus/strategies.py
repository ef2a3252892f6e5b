"""Texts, comparisons and judgments that hypothesis draws, nasty ones among them."""

from hypothesis import strategies as st

from tutelage.dialogue import Comparison, Judgment, Prompt, Response, SamplingParameters

NASTY = [
    "\n\nHuman:", "\n\nAssistant:", "\n\nHuman: hi", "\n", "\n\n", "\r\n", "\0", "שלום", "\u2028",
    "\u2029", "\x85", " ", "  x", '"', "\\", "\\u0041", "<b>", "🙂", "Human:", "x",
]  # fmt: skip

texts = st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=8)), max_size=6).map("".join)
turns = texts.filter(lambda text: bool(text.strip()))

samplings = st.builds(
    SamplingParameters,
    temperature=st.floats(0.1, 2),
    top_p=st.floats(0.1, 1),
    max_tokens=st.integers(1, 512),
    stop=st.lists(turns, max_size=2).map(tuple),
    top_k=st.integers(0, 100),
    min_p=st.floats(0, 1),
    stop_tokens=st.lists(st.integers(0, 1000), max_size=2).map(tuple),
)
responses = st.builds(
    Response,
    text=turns,
    finish=st.sampled_from(["stop", "length", "cancelled"]),
    snapshot=st.none() | st.sampled_from(["s1", "s2"]),
    sampling=st.none() | samplings,
    seed=st.none() | st.integers(0, 2**63),
)
prompts = st.lists(turns, min_size=1, max_size=5).filter(lambda t: len(t) % 2 == 1).map(lambda t: Prompt.from_turns(*t))


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    chosen = draw(responses)
    rejected = draw(responses.filter(lambda other: (other.text, other.finish) != (chosen.text, chosen.finish)))
    return Comparison(
        prompt=draw(prompts),
        chosen=chosen,
        rejected=rejected,
        kind=draw(st.sampled_from(["helpful", "harmless"])),
        strength=draw(st.none() | st.integers(1, 4)),
        worker=draw(st.none() | st.just("w1")),
        provenance=draw(st.dictionaries(turns, st.integers() | texts | st.none(), max_size=2)),
    )


judgments = st.builds(
    Judgment,
    prompt=prompts,
    a=responses,
    b=responses,
    question=st.sampled_from(["more_helpful", "more_harmful"]),
    side=st.sampled_from(["a", "b"]),
    strength=st.integers(1, 4),
    worker=st.sampled_from(["w1", "w2"]),
    time=st.floats(0, 2e9),
)
