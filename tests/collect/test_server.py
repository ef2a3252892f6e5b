"""What is done once at the start of a collection."""

import socket

import pytest
import uvicorn

from tutelage.collect.caps import RedTeamTime
from tutelage.collect.handoff import arrival_from
from tutelage.collect.server import deploy, first_admin, listening_socket
from tutelage.collect.settings import RedTeamCaps, Settings
from tutelage.dialogue import SamplingParameters
from tutelage.feedback.database.access import Access
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.deployment import Deployment
from tutelage.feedback.database.principal import SYSTEM
from tutelage.feedback.database.tables import Snapshot
from tutelage.plumbing.errors import InputError

from .conftest import CANARIES


def statuses(database: Database) -> dict[str, str]:
    with database.reading() as session:
        return {row.name: row.status for row in Deployment(session, SYSTEM).table()}


def test_a_start_deploys_what_it_is_given_and_stops_the_rest(database: Database) -> None:
    deploy(database, {CANARIES[0]: None, "new": None}, SamplingParameters())
    assert statuses(database) == {CANARIES[0]: "active", CANARIES[1]: "stopped", "new": "active"}


def test_what_was_left_out_once_answers_when_it_is_given_again(database: Database) -> None:
    deploy(database, {CANARIES[0]: None}, SamplingParameters())
    deploy(database, dict.fromkeys(CANARIES), SamplingParameters())
    assert statuses(database) == dict.fromkeys(CANARIES, "active")


def test_what_an_admin_stopped_stays_stopped_over_a_start(database: Database) -> None:
    with database.writing() as session:
        Deployment(session, SYSTEM).set_status(CANARIES[0], "stopped", "it is rude")
    deploy(database, dict.fromkeys(CANARIES), SamplingParameters())
    assert statuses(database) == {CANARIES[0]: "stopped", CANARIES[1]: "active"}


def test_two_bases_of_one_name_are_not_taken_for_one(database: Database) -> None:
    deploy(database, {"mine": None}, SamplingParameters(), base="/a/mine")
    deploy(database, {"mine": None}, SamplingParameters(), base="/a/mine")
    with pytest.raises(InputError, match="another mine, /a/mine, has answered"):
        deploy(database, {"mine": None}, SamplingParameters(), base="/b/mine")
    with database.reading() as session:
        assert session.get_one(Snapshot, "mine").place == "/a/mine"


@pytest.mark.parametrize(
    ("stretch", "day", "due", "full"), [(44, 44, False, False), (45, 45, True, False), (10, 120, True, True)]
)
def test_when_red_team_work_must_rest(stretch: float, day: float, due: bool, full: bool) -> None:
    done, caps = RedTeamTime(stretch, day), RedTeamCaps()
    assert (done.rest_due(caps), done.day_is_full(caps)) == (due, full)


def test_who_comes_from_which_platform() -> None:
    arrival = arrival_from({"PROLIFIC_PID": " p1 ", "STUDY_ID": "s", "key": "k"})
    assert arrival
    assert (arrival.platform, arrival.participant, arrival.study, arrival.submission) == ("prolific", "p1", "s", "")
    assert arrival_from({"PROLIFIC_PID": " "}) is None
    for unfilled in ("{{%PROLIFIC_PID%}}", "…"):
        assert arrival_from({"PROLIFIC_PID": unfilled}) is None
    assert arrival_from({"assignmentId": "ASSIGNMENT_ID_NOT_AVAILABLE", "hitId": "h"}) is None, "a preview of a HIT"


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="exchanges"):
        Settings("x", exchanges=0)
    with pytest.raises(ValueError, match="pause_minutes"):
        RedTeamCaps(pause_minutes=0)


def test_who_answers_is_who_was_given_at_this_start_but_for_what_an_admin_has_stopped(database: Database) -> None:
    def answering(*names: str) -> set[str]:
        deploy(database, dict.fromkeys(names), SamplingParameters())
        with database.reading() as session:
            return {row.name for row in Deployment(session, SYSTEM).table() if row.status == "active"}

    assert answering("stub") == {"stub"}
    assert answering("base", "better") == {"base", "better"}
    assert answering("stub") == {"stub"}
    assert answering("base", "better") == {"base", "better"}
    with database.writing() as session:
        Deployment(session, SYSTEM).set_status("better", "stopped", "it swears")
    assert answering("stub") == {"stub"}
    assert answering("base", "better") == {"base"}


def test_of_the_first_admins_links_the_last_alone_opens(database: Database) -> None:
    links = [first_admin(database) or "" for _ in range(2)]
    with database.reading() as session:
        assert [Access(session).is_open(link.removeprefix("/join/")) for link in links] == [False, True]


def test_what_is_sent_goes_out_at_once() -> None:
    with listening_socket(uvicorn.Config(lambda: None, host="127.0.0.1", port=0, log_level="warning")) as listening:
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        with pytest.raises(InputError, match="is it taken"):
            listening_socket(uvicorn.Config(lambda: None, host="127.0.0.1", port=listening.getsockname()[1]))
