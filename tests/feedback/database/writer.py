"""Judges as fast as it can in four threads, and prints each judgment's number once it is committed. To be killed."""

import os
import secrets
import sys
import threading

from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.conversations import Conversations
from tutelage.feedback.database.principal import principal_of
from tutelage.feedback.database.tables import Worker, WorkerRole
from tutelage.feedback.database.thread import Answer


def write(database: Database) -> None:
    with database.writing() as session:
        row = Worker(roles=[WorkerRole(role="worker")])
        session.add(row)
        session.flush()
        me = principal_of(session, row.id)
    while True:
        with database.writing() as session:
            chat = Conversations(session, me).start("helpful", key=secrets.token_hex(8))
        for _ in range(5):
            with database.writing() as session:
                turn = Conversations(session, me).ask(chat, "Again?", key=secrets.token_hex(8))
            with database.writing() as session:
                plan = Conversations(session, me).claim(turn)
            assert plan is not None
            with database.writing() as session:
                both = (Answer("Yes.", "stop"), Answer("No.", "stop"))
                assert Conversations(session, me).answers_finished(turn, plan.attempt, both)
            with database.writing() as session:
                judgment = Conversations(session, me).judge(turn, "a", 3, key=secrets.token_hex(8))
            os.write(1, f"{judgment}\n".encode())


opened = Database(sys.argv[1])
for _ in range(4):
    threading.Thread(target=write, args=(opened,)).start()
