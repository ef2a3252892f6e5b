"""Everything collected, as files: one pass over the database, in constant memory, whole or not at all.

The folder is ready for `datasets.load_dataset`: `helpful` and `harmless` in the format of the released HH-RLHF files
(the weakest judgments dropped, as section 2.2 does; red-team clicks inverted), `red-team-attempts` in the schema of
the released attempts. Beside them lie our own files, which lose nothing, and a manifest with counts and hashes.
"""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from sqlalchemy.orm import Session

from tutelage import __version__
from tutelage.corpus.hh import render_hh
from tutelage.corpus.records import Record, comparison_to_record, json_line
from tutelage.corpus.rules import DropReason
from tutelage.corpus.splits import bucket
from tutelage.dialogue import Comparison, Message, Prompt
from tutelage.feedback.database.attempts import attempt_of
from tutelage.feedback.database.collected import Collected, collected
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.files import freeze, frozen
from tutelage.feedback.database.lossless import conversation_to_record
from tutelage.feedback.database.source import (
    Excluded,
    LeftOut,
    comparisons_of,
    exclusions,
    left_out_whole,
    without_excluded_workers,
)
from tutelage.plumbing.files import line_writer, read_json, replacing, sha256, write_json, write_text
from tutelage.plumbing.progress import Advance, unwatched

SPLIT_SALT = "feedback export"  # the same always: a first human turn never changes its split
WEAKEST = 1
MANIFEST = "manifest.json"
_PARTS = ("train", "test")

Writers = dict[str, Callable[[str], None]]
COMPARISONS, CONVERSATIONS = "comparisons.jsonl.gz", "conversations.jsonl.gz"
ATTEMPTS = "red-team-attempts/red_team_attempts.jsonl.gz"


@dataclass(slots=True)
class Counts:
    """What became of the rows.

    `conversations`: all that there are; those that are nobody's to read are counted in `conversations_left_out`.
    `said_left_out`: judgments (all revisions), ratings and flags that the other conversations are written without.
    `judgments`: turns, judgments and edits that were looked at; each is in `comparisons` or in `left_out`. Of the
    comparisons, each is in `hh` or in `not_in_hh`; of ended red-team conversations, each is in `attempts` or counted
    in `attempts_left_out`.
    """

    conversations: int = 0
    conversations_left_out: Counter[str] = field(default_factory=Counter)
    said_left_out: Counter[str] = field(default_factory=Counter)
    judgments: int = 0
    comparisons: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    hh: Counter[str] = field(default_factory=Counter)
    not_in_hh: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    attempts_left_out: Counter[str] = field(default_factory=Counter)

    def to_record(self) -> Record:
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in values.items()}


def export(
    database: Database, out: Path, test_share: float = 0.05, name: str | None = None, advance: Advance = unwatched
) -> dict[str, Any]:
    """Write an export to the folder `out`; returns its manifest.

    Args:
        test_share: share of first human turns whose comparisons lie in the test split, 0 to 1.
        name: freeze the export under this name: its hashes are kept in the database, its files cannot be written.
        advance: called after each conversation.

    Raises:
        InputError: the folder is there, cannot be written, or the name is taken; nothing is left behind.
    """
    with replacing(out) as beside:
        beside.mkdir()
        with database.reading() as session:
            counts = _write(session, beside, test_share, advance)
        write_text(beside / "README.md", _card(counts))
        manifest = _manifest(beside, counts, test_share, name)
        write_json(beside / MANIFEST, manifest)
        if name is not None:
            for path in beside.rglob("*"):
                if path.is_file():
                    path.chmod(0o444)
            # Behind all that can fail here: the name is taken for good.
            freeze(database, name, manifest, sha256(beside / MANIFEST))
    return manifest


def _write(session: Session, folder: Path, test_share: float, advance: Advance) -> Counts:
    counts = Counts()
    excluded = exclusions(session)
    with ExitStack() as stack:
        write = _open(folder, stack)
        for one in collected(session):
            counts.conversations += 1
            if reason := left_out_whole(one, excluded):
                counts.conversations_left_out[reason.key] += 1
            else:
                kept, dropped = without_excluded_workers(one, excluded)
                write[CONVERSATIONS](json_line(conversation_to_record(kept)))
                counts.said_left_out += Counter({LeftOut.WORKER_EXCLUDED.key: dropped})
            _write_comparisons(one, excluded, write, counts, test_share)
            _write_attempt(one, excluded, write, counts)
            advance(1)
    return counts


def _open(folder: Path, stack: ExitStack) -> Writers:
    names = [COMPARISONS, CONVERSATIONS, ATTEMPTS, *(hh_file(k, p) for k in ("helpful", "harmless") for p in _PARTS)]
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
    return {name: stack.enter_context(line_writer(folder / name, zipped=True)) for name in names}


def hh_file(kind: str, part: str) -> str:
    return f"{kind}/{part}.jsonl.gz"


def _write_comparisons(one: Collected, excluded: Excluded, write: Writers, counts: Counts, test_share: float) -> None:
    for item in comparisons_of(one, excluded):
        counts.judgments += 1
        if not isinstance(item, Comparison):
            counts.left_out[item.key] += 1
            continue
        counts.comparisons += 1
        write[COMPARISONS](json_line(comparison_to_record(item)))
        line = _hh_line(item)
        if isinstance(line, str):
            part = _PARTS[_bucket(item.prompt.messages[:1]) < test_share]
            counts.hh[f"{item.kind}/{part}"] += 1
            write[hh_file(item.kind, part)](line)
        else:
            counts.not_in_hh[line.key if isinstance(line, DropReason) else "weakest"] += 1


@lru_cache(maxsize=1)
def _bucket(beginning: tuple[Message, ...]) -> float:
    """The same for all comparisons of a conversation, one after the other."""
    return bucket(Prompt(beginning), SPLIT_SALT)


def _hh_line(comparison: Comparison) -> str | DropReason | None:
    """The line in the HH-RLHF format, or why there is none; None: the strength is the weakest."""
    return None if comparison.strength == WEAKEST else render_hh(comparison)


def _write_attempt(one: Collected, excluded: Excluded, write: Writers, counts: Counts) -> None:
    attempt = attempt_of(one, excluded)
    if isinstance(attempt, LeftOut | DropReason):
        counts.attempts_left_out[attempt.key] += 1
    elif attempt is not None:
        counts.attempts += 1
        write[ATTEMPTS](json_line(attempt))


def _manifest(folder: Path, counts: Counts, test_share: float, name: str | None) -> Record:
    written = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "name": name,
        "created": time.time(),
        "software": __version__,
        "test_share": test_share,
        "counts": counts.to_record(),
        "reasons": _reasons(counts),
        "files": {path.relative_to(folder).as_posix(): sha256(path) for path in written},
    }


def _reasons(counts: Counts) -> dict[str, str]:
    """The rule behind each reason that occurs, in a sentence."""
    rules = {reason.key: reason.value for reasons in (LeftOut, DropReason) for reason in reasons}
    rules["weakest"] = "The judgment is of the weakest strength."
    return {key: rules[key] for part in _LEFT_OUT for key in sorted(getattr(counts, part))}


_LEFT_OUT = {
    "left_out": "judgments",
    "not_in_hh": "comparisons, from the HH files",
    "attempts_left_out": "red-team attempts",
    "conversations_left_out": "conversations",
    "said_left_out": "judgments, ratings and reports, from the conversations",
}


def told(manifest: Record) -> list[str]:
    """What was left out and why, in sentences."""
    counts, reasons = manifest["counts"], manifest["reasons"]
    return [
        f"{count} {what}: {reasons[key]}" for part, what in _LEFT_OUT.items() for key, count in counts[part].items()
    ]


def _card(counts: Counts) -> str:
    record = {"counts": counts.to_record(), "reasons": _reasons(counts)}
    template = files("tutelage.feedback.database").joinpath("data_card.md").read_text(encoding="utf-8")
    return Template(template).substitute(
        conversations=counts.conversations - counts.conversations_left_out.total(),
        comparisons=counts.comparisons,
        helpful=counts.hh["helpful/train"] + counts.hh["helpful/test"],
        harmless=counts.hh["harmless/train"] + counts.hh["harmless/test"],
        attempts=counts.attempts,
        software=__version__,
        left_out="\n".join(f"- {line}" for line in told(record)) or "- none",
    )


def faults_of(folder: Path, database: Database | None = None) -> list[str]:
    """What of an exported folder is not as its manifest says; nothing where it holds.

    Args:
        database: where the export was frozen: the manifest must be the one that is kept there. Without it, whoever can
            write the files can write a manifest that fits them.

    Raises:
        InputError: no manifest, or none that can be read.
    """
    manifest = read_json(folder / MANIFEST)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    missing = [f"{name}: missing" for name in manifest["files"] if name not in there]
    changed = [
        f"{name}: changed"
        for name, hash in manifest["files"].items()
        if name in there and sha256(folder / name) != hash
    ]
    extra = [f"{name}: not in the manifest" for name in sorted(there - manifest["files"].keys() - {MANIFEST})]
    return missing + changed + extra + (_faults_of_manifest(folder, manifest["name"], database) if database else [])


def _faults_of_manifest(folder: Path, name: str | None, database: Database) -> list[str]:
    with database.reading() as session:
        kept = {row.name: row.hash for row in frozen(session)}
    if name not in kept:
        return [f"{MANIFEST}: {database.name} holds no frozen export {name!r}"]
    return [] if kept[name] == sha256(folder / MANIFEST) else [f"{MANIFEST}: not the one that was frozen as {name!r}"]
