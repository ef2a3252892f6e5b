"""The command `tutelage`: which subcommands there are, and how each ends.

Exit codes: 0 done, 1 a check did not hold, 2 bad input, 130 stopped by Ctrl-C.
"""

import errno
import json
import sys
from collections.abc import Sequence
from typing import Any, Protocol

import tyro
from tyro.extras import SubcommandApp

from tutelage import __version__
from tutelage.cli.best_of_n import TrainBestOfN
from tutelage.cli.chat import Chat
from tutelage.cli.collect import Collect
from tutelage.cli.data import DataConvert, DataList, DataOverlap, DataStats
from tutelage.cli.demo import Demo
from tutelage.cli.distill import TrainDistill
from tutelage.cli.doctor import Doctor
from tutelage.cli.exchange import DataExport, DataImport
from tutelage.cli.feedback import (
    FeedbackAdmin,
    FeedbackBackup,
    FeedbackDeploy,
    FeedbackErase,
    FeedbackRestore,
    FeedbackUpgrade,
    FeedbackVerify,
)
from tutelage.cli.generate import DataGeneratePrompts
from tutelage.cli.judge import Judge
from tutelage.cli.options import named_as_options
from tutelage.cli.ppo import TrainGRPO, TrainPPO, TrainRLOO
from tutelage.cli.rate import Rate
from tutelage.cli.runs import RunsClean, RunsList, RunsShow
from tutelage.cli.sample import SampleCommand
from tutelage.cli.score import Score
from tutelage.cli.sft import TrainSFT
from tutelage.cli.study import StudyCommand
from tutelage.cli.study_policy import StudyPolicy
from tutelage.cli.train import TrainPM, TrainPMP
from tutelage.cli.watch import RunsRL, RunsWatch
from tutelage.feedback.database.refusals import Unavailable
from tutelage.plumbing.errors import CheckFailed, InputError

DESCRIPTION = """Raise an assistant by the feedback of people, after arXiv:2204.05862. Start with `tutelage demo`.

`tutelage COMMAND --help` gives every setting with its default and unit, `tutelage --version` the version.

Every command takes --json: one JSON object on standard output; messages go to standard error.

Exit codes: 0 done, 1 a check did not hold, 2 bad input, 130 stopped by Ctrl-C."""


class Command(Protocol):
    """What a subcommand is: settings, the work, and its result shown to a person."""

    @property
    def json(self) -> bool: ...

    def run(self) -> dict[str, Any]: ...

    def show(self, result: dict[str, Any]) -> None: ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (`sys.argv` by default) and return its exit code; wrong usage leaves by `SystemExit(2)`."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if list(arguments) == ["--version"]:
        print(f"tutelage {__version__}")
        return 0
    # Pairs off: a flag has one form, `--json`, without a `--no-json` beside it.
    config = (tyro.conf.FlagCreatePairsOff,)
    try:
        with named_as_options():
            command = _commands().cli(prog="tutelage", description=DESCRIPTION, args=arguments, config=config)
    except InputError as error:
        return _complain(str(error), 2)
    except BrokenPipeError:
        return 0  # the reader has seen enough of the help
    return execute(command)


def _commands() -> SubcommandApp:
    app = _group(demo=Demo)
    data = _group(
        list=DataList, stats=DataStats, convert=DataConvert, overlap=DataOverlap, export=DataExport,
        generate_prompts=DataGeneratePrompts,
    )  # fmt: skip
    data.command(name="import")(DataImport)
    app.command(data, name="data", help="Sources of comparisons: list them, look into them, convert them.")
    feedback = _group(
        admin=FeedbackAdmin, backup=FeedbackBackup, restore=FeedbackRestore, verify=FeedbackVerify,
        erase=FeedbackErase, upgrade=FeedbackUpgrade, deploy=FeedbackDeploy,
    )  # fmt: skip
    app.command(feedback, name="feedback", help="The database of what people judged: back it up, check it.")
    trainers = _group(
        distill=TrainDistill, sft=TrainSFT, pmp=TrainPMP, pm=TrainPM, ppo=TrainPPO, rloo=TrainRLOO, grpo=TrainGRPO,
        best_of_n=TrainBestOfN,
    )  # fmt: skip
    app.command(trainers, name="train", help="Train one model.")
    single = {
        "collect": Collect, "sample": SampleCommand, "chat": Chat, "score": Score, "study": StudyCommand,
        "study-policy": StudyPolicy, "rate": Rate, "judge": Judge, "doctor": Doctor,
    }  # fmt: skip
    for name, command in single.items():
        app.command(name=name)(command)
    runs = _group(list=RunsList, show=RunsShow, rl=RunsRL, watch=RunsWatch, clean=RunsClean)
    app.command(runs, name="runs", help="List, show, watch, remove runs.")
    return app


def _group(**commands: type) -> SubcommandApp:
    group = SubcommandApp()
    for name, command in commands.items():
        group.command(name=name.replace("_", "-"))(command)
    return group


def execute(command: Command) -> int:
    """Run a parsed command; a failure that is foreseen becomes one line on standard error and an exit code."""
    try:
        result = command.run()
        if command.json:
            print(json.dumps(result, ensure_ascii=False, allow_nan=False))
        else:
            command.show(result)
        sys.stdout.flush()
    except InputError as error:
        return _complain(str(error), 2)
    except CheckFailed as error:
        return _complain(str(error), 1)
    except Unavailable as error:
        return _complain(str(error), 2)
    except KeyboardInterrupt as stop:
        return _complain(f"stopped; {str(stop) or getattr(command, 'when_stopped', 'nothing was kept')}", 130)
    except (BrokenPipeError, SystemExit):  # what rich makes of a broken pipe
        return 0  # the reader has seen enough (`| head`)
    except Exception as error:
        if not _is_full_disk(error):
            raise
        return _complain(f"the disk is full ({error}); free some space (`tutelage runs clean` helps), run it again", 2)
    return 0


def _complain(message: str, code: int) -> int:
    print("tutelage: error: " + " ".join(message.split()), file=sys.stderr)
    return code


def _is_full_disk(error: Exception) -> bool:
    """Whether the disk ran full; safetensors says so in an exception of its own, in words only."""
    return getattr(error, "errno", None) == errno.ENOSPC or "No space left on device" in str(error)


if __name__ == "__main__":
    sys.exit(main())
