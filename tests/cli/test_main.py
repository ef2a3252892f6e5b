"""How commands end: exit codes, one line for what is foreseen, one JSON object on standard output, help for all."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tutelage import __version__
from tutelage.cli.demo import Demo
from tutelage.cli.main import execute, main
from tutelage.cli.study import StudyCommand
from tutelage.cli.train import TrainPM
from tutelage.plumbing.errors import CheckFailed, InputError

COMMANDS = [
    ["demo"],
    ["data", "stats"],
    ["data", "convert"],
    ["data", "export"],
    ["data", "import"],
    *(["feedback", name] for name in ("admin", "backup", "restore", "verify", "erase", "upgrade")),
    ["train", "distill"],
    ["train", "sft"],
    ["train", "pmp"],
    ["train", "pm"],
    ["sample"],
    ["chat"],
    ["score"],
    ["study"],
    ["rate"],
    ["judge"],
    ["doctor"],
    ["runs", "list"],
    ["runs", "show"],
    ["runs", "clean"],
    ["runs", "rl"],
    ["runs", "watch"],
    ["train", "best-of-n"],
    ["data", "generate-prompts"],
    ["study-policy"],
]


class Fake:
    """A command that does what it is told."""

    def __init__(self, act: Callable[[], dict[str, Any]], json: bool = False) -> None:
        self.act, self.json = act, json

    def run(self) -> dict[str, Any]:
        return self.act()

    def show(self, result: dict[str, Any]) -> None:
        print(f"shown: {result}")


def fake(error: BaseException, json: bool = False) -> Fake:
    def act() -> dict[str, Any]:
        raise error

    return Fake(act, json)


def python(script: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (InputError("rows.jsonl, line 3:\n  expected JSON"), 2, "rows.jsonl, line 3: expected JSON"),
        (CheckFailed("KL at step 0 is 0.1"), 1, "KL at step 0 is 0.1"),
        (KeyboardInterrupt(), 130, "stopped; nothing was kept"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "the disk is full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 2, "the disk is full"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_foreseen_failure_is_one_line_and_a_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, says: str, as_json: bool
) -> None:
    assert execute(fake(error, as_json)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"tutelage: error: {says}")
    assert err.count("\n") == 1


def test_who_stops_a_command_hears_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def stop() -> dict[str, Any]:
        raise KeyboardInterrupt

    for command, said in (
        (TrainPM, "with --resume"),
        (StudyCommand, "same command again"),
        (Demo, "same command again"),
    ):
        stopped = type("Stopped", (Fake,), {"when_stopped": command.when_stopped})(stop)
        assert execute(stopped) == 130
        assert said in capsys.readouterr().err


def test_what_is_not_foreseen_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        execute(Fake(lambda: {"a": 1 // 0}))
    with pytest.raises(PermissionError):
        execute(fake(PermissionError(errno.EACCES, "Permission denied")))


def test_json_is_one_object_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(Fake(lambda: {"a": ["ü", 1.5, None]}, json=True)) == 0
    out = capsys.readouterr().out
    assert json.loads(out) == {"a": ["ü", 1.5, None]}
    assert out.count("\n") == 1


def test_a_result_is_shown_to_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(Fake(lambda: {"a": 1})) == 0
    assert capsys.readouterr().out == "shown: {'a': 1}\n"


def test_a_reader_that_leaves_is_no_error() -> None:
    script = "import sys; from tutelage.cli.main import main; sys.exit(main(['runs', 'list']))"
    writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stderr is not None
    writer.stdout.close()
    assert writer.wait(timeout=60) == 0
    assert writer.stderr.read() == b""
    writer.stderr.close()


@pytest.mark.parametrize("arguments", [["bogus"], ["doctor", "--bogus"], ["runs", "show"], []])
def test_wrong_usage_exits_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "full helptext" in err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"tutelage {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_defaults(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert text.startswith(f"usage: tutelage {' '.join(command)} ")
    assert "--json Print one JSON object on standard output. (default: False)" in text
    assert "--no-" not in text.replace("--no-deps", "")


def test_the_top_level_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for name in dict.fromkeys(command[0] for command in COMMANDS):
        assert f"• {name} " in text
    assert "Exit codes: 0 done, 1 a check did not hold, 2 bad input" in text


def test_help_is_quick() -> None:
    done = python(
        "import sys, time\n"
        "from tutelage.cli.main import main\n"
        "try:\n    main(['--help'])\n"
        "finally:\n"
        "    heavy = {'torch', 'transformers', 'matplotlib', 'scipy', 'numpy'} & set(sys.modules)\n"
        "    print(sorted(heavy), time.process_time() < 1, file=sys.stderr)\n"
    )
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "[] True"
