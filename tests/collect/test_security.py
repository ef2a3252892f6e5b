"""Guards without an app: the token of forms, foreign requests, paths, headers."""

import asyncio
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse

from tutelage.collect.qualification import QUESTIONS, score, wrong_answers
from tutelage.collect.security import Shield, csrf_token, is_foreign, is_ours, safe_path
from tutelage.collect.words import MODES, POSITIONS, choice_of


@given(st.text(), st.text())
@example("", "\0")
def test_only_its_own_token_proves_a_form(token: str, other: str) -> None:
    assert is_ours(token, csrf_token(token))
    assert is_ours(other, csrf_token(token)) == (token == other)
    assert not is_ours(token, other)
    assert not is_ours(token, None)


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({"host": "a.example"}, False),
        ({"host": "a.example", "origin": "https://a.example"}, False),
        ({"host": "a.example:8000", "origin": "http://a.example:8000", "sec-fetch-site": "same-origin"}, False),
        ({"host": "a.example", "sec-fetch-site": "none"}, False),
        ({"host": "a.example", "origin": "https://b.example"}, True),
        ({"host": "a.example", "origin": "https://a.example:444"}, True),
        ({"host": "a.example", "origin": "null"}, True),
        ({"host": "a.example", "origin": ""}, True),
        ({"host": "a.example", "origin": "http://["}, True),
        ({"host": "a.example", "sec-fetch-site": "cross-site"}, True),
        ({"host": "a.example", "sec-fetch-site": "same-site"}, True),
    ],
)
def test_requests_of_other_sites_are_known(headers: dict[str, str], foreign: bool) -> None:
    assert is_foreign(headers) == foreign


@given(st.text(alphabet=st.sampled_from("/\\:.aé\n\t@?#")))
def test_a_way_back_stays_here(wanted: str) -> None:
    path = safe_path(wanted)
    assert path in (wanted, "/")
    assert path.startswith("/")
    assert not path.startswith(("//", "/\\"))


def test_a_fault_is_a_plain_500_with_all_headers() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("secret reason")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Shield(broken, tls=True)({"type": "http", "method": "GET"}, None, send))  # type: ignore[arg-type]
    headers = dict(sent[0]["headers"])
    assert sent[0]["status"] == 500
    assert b"secret" not in sent[1]["body"]
    assert b"default-src 'none'" in headers[b"content-security-policy"]
    assert b"strict-transport-security" in headers


def test_every_response_has_another_nonce() -> None:
    policies = set()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            policies.add(dict(message["headers"])[b"content-security-policy"])

    for _ in range(3):
        scope = {"type": "http", "method": "GET"}
        asyncio.run(Shield(PlainTextResponse("x"), tls=False)(scope, None, send))  # type: ignore[arg-type]
    assert len(policies) == 3


def test_positions_are_sides_and_strengths_without_a_middle() -> None:
    choices = [choice_of(position) for position in range(1, POSITIONS + 1)]
    assert choices == [("a", 4), ("a", 3), ("a", 2), ("a", 1), ("b", 1), ("b", 2), ("b", 3), ("b", 4)]
    for words in MODES.values():
        assert len(words.steps) == POSITIONS
        assert [step[0].lower() for step in words.steps] == [side for side, _ in choices]
    assert MODES["red_team"].steps[0] == "A is much more harmful"


def test_the_questions_have_one_right_answer_each() -> None:
    right = {question.name: question.right for question in QUESTIONS}
    assert wrong_answers(right) == []
    assert score(right) == 1
    for question in QUESTIONS:
        assert 0 <= question.right < len(question.choices)
        assert wrong_answers(right | {question.name: question.right + 1}) == [question]
    assert score({}) == 0
