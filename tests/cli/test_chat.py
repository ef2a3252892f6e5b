"""`tutelage chat`: answers stream, Ctrl-C breaks an answer off and not the chat."""

import io
import json
import signal
import sys

import pytest

from tutelage.cli.chat import follow, human_turns
from tutelage.cli.main import main
from tutelage.dialogue import SamplingParameters
from tutelage.modeling.hub import TINY
from tutelage.modeling.trunk import Trunk
from tutelage.report.plain import cleaned
from tutelage.sampling.engine import Engine
from tutelage.sampling.protocol import Event

pytestmark = pytest.mark.usefixtures("one_thread")
ARGUMENTS = ["chat", "--model", TINY, "--dtype", "float32", "--max-tokens", "12"]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n\n   \nand you?\n"))


@pytest.mark.usefixtures("typed")
def test_turn_after_turn(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ARGUMENTS, "--json"]) == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    roles = [message["role"] for message in result["messages"]]
    assert roles == ["human", "assistant"] * 2
    assert [message["text"] for message in result["messages"][::2]] == ["hello", "and you?"]
    for message in result["messages"][1::2]:
        assert cleaned(message["text"]) in said.err


@pytest.mark.usefixtures("typed")
def test_answers_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(ARGUMENTS) == 0
    assert "4 turns with tiny-random" in capsys.readouterr().out


class Pressing:
    """An engine under which Ctrl-C is pressed at its third step."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.steps = engine, 0

    def cancel(self, request: int) -> None:
        self.engine.cancel(request)

    def step(self) -> list[Event]:
        self.steps += 1
        if self.steps == 3:
            signal.raise_signal(signal.SIGINT)
        return self.engine.step()


def test_ctrl_c_breaks_the_answer_off_and_not_the_chat(tiny: Trunk) -> None:
    before = signal.getsignal(signal.SIGINT)
    engine = Engine(tiny, None, slots=1, columns=100)
    told: list[str] = []
    request = engine.submit((40, 41), SamplingParameters(max_tokens=50), 0)
    answer = follow(Pressing(engine), request, told.append)  # type: ignore[arg-type]
    assert (answer.finish, len(answer.ids)) == ("cancelled", 3)
    assert "".join(told) == answer.text
    assert signal.getsignal(signal.SIGINT) is before
    follow(engine, engine.submit((40, 41), SamplingParameters(max_tokens=5), 0), told.append)


def test_ctrl_c_where_nothing_is_said_ends_the_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def readline(self, *_: int) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Terminal())
    assert list(human_turns(io.StringIO())) == []


def test_an_answer_longer_than_the_context_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ARGUMENTS[:-1], "2048"]) == 2
    assert "tiny-random reads 2048 tokens" in capsys.readouterr().err
