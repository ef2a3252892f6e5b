"""The app as processes: several web processes on one socket, and the model process beside them."""

import gc
import logging
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from tutelage.collect.app import make_app
from tutelage.collect.engines import EngineSettings
from tutelage.collect.handoff import handoff_key
from tutelage.collect.model_client import ModelClient
from tutelage.collect.security import LOG
from tutelage.collect.settings import Settings
from tutelage.collect.supervisor import ModelSupervisor
from tutelage.dialogue import SamplingParameters
from tutelage.feedback.database.access import HOUR, Access
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.deployment import Deployment
from tutelage.feedback.database.principal import SYSTEM
from tutelage.feedback.database.tables import Role
from tutelage.feedback.database.workers import Workers
from tutelage.plumbing.errors import InputError

EVERYTHING: tuple[Role, ...] = ("worker", "red_team_worker", "reviewer", "admin")
GIVEN, NOT_GIVEN = "given at the start", "not given at the start"
FIRST_ADMIN = "first admin"  # the note of that invite
COLLECT_AFTER = (20_000, 20, 20)  # a request makes some thousand objects, hardly any of them garbage in cycles
GRACE = 5  # seconds that open streams are given when the app stops
KEPT_ALIVE = 75  # seconds that a connection may rest: longer than a proxy keeps it, and than people think
SLOW = 60  # seconds in which a web process must come up, or show that it lives, before it is replaced


def web_app(settings: Settings, model_socket: str, secret: str) -> FastAPI:
    """The app of one web process, before a model process that runs already. As a service it logs every request."""
    if settings.tls:
        logging.basicConfig(format="%(levelname)s %(message)s")
        LOG.setLevel(logging.INFO)
    app = make_app(settings, Database(settings.database), ModelClient(Path(model_socket), secret))
    # What was loaded stays: no collection of garbage is to look through it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    return app


def serve(
    settings: Settings, engine: EngineSettings, host: str, port: int, processes: int, on_ready: Callable[[], None]
) -> None:
    """Serve until the process is told to stop. Web and model processes that die are replaced.

    Raises:
        InputError: the port is taken, or the model cannot be used.
    """
    with ModelSupervisor(engine) as model:
        model.wait_until_ready()
        config = uvicorn.Config(
            partial(web_app, settings, str(model.socket), model.secret), factory=True, host=host, port=port,
            workers=processes, log_level="warning", access_log=False, server_header=False,
            proxy_headers=settings.tls, timeout_graceful_shutdown=GRACE, timeout_worker_healthcheck=SLOW,
            timeout_keep_alive=KEPT_ALIVE,
        )  # fmt: skip
        listening = listening_socket(config)
        on_ready()
        with suppress(KeyboardInterrupt):
            if processes == 1:
                uvicorn.Server(config).run(sockets=[listening])
            else:
                Multiprocess(config, sockets=[listening]).run()


def listening_socket(config: uvicorn.Config) -> socket.socket:
    """The socket that all web processes take connections from.

    Raises:
        InputError: the port is taken.
    """
    try:
        listening = config.bind_socket()
    except SystemExit as error:
        where = f"{config.host}:{config.port}"
        raise InputError(f"--port {config.port}: cannot listen on {where}; is it taken? Choose another") from error
    # A page goes out as its head and its body. Without this the body waits until the browser has acknowledged the head,
    # which it puts off for 40 ms. Connections inherit it; asyncio sets it only where a socket names its protocol.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.listen(config.backlog)  # who comes before the web processes are up waits, and is not refused
    return listening


def require_private(host: str, tls: bool) -> None:
    """Without TLS the app is for this machine alone: cookies and passwords would cross the network in clear.

    Raises:
        InputError: another host than this machine, without TLS.
    """
    private = host == "localhost"
    with suppress(ValueError):
        private = private or ip_address(host).is_loopback
    if not (private or tls):
        raise InputError(
            f"--host {host}: reaches beyond this machine. Put a proxy that speaks HTTPS in front and say --behind-tls"
        )


def deploy(
    database: Database, snapshots: Mapping[str, str | None], sampling: SamplingParameters, base: str = "base"
) -> None:
    """Enter the snapshots of this start in the table of deployment: new ones answer, and so do those that come back;
    those that are not there any more are stopped; what an admin has decided about the others stands.

    Args:
        base: where the base itself lies, whose entry in `snapshots` is None.

    Raises:
        InputError: another base of the same name has answered before.
    """
    with database.writing() as session:
        deployment = Deployment(session, SYSTEM)
        known = {row.name: row for row in deployment.table()}
        for name, place in snapshots.items():
            if name not in known:
                deployment.deploy(name, place or base, GIVEN, sampling=sampling)
                continue
            if place is None and Path(known[name].place).is_absolute() and known[name].place != base:
                raise InputError(
                    f"--model {base}: another {name}, {known[name].place}, has answered; rename one of them"
                )
            if known[name].status == "stopped" and deployment.last_reason(name) == NOT_GIVEN:
                deployment.set_status(name, "active", GIVEN)
        for name, row in known.items():
            if name not in snapshots and row.status == "active":
                deployment.set_status(name, "stopped", NOT_GIVEN)


def first_admin(database: Database) -> str | None:
    """The path of a one-time link that makes the first admin, valid for a day; None where there is one.

    An earlier such link is worth nothing from then on.
    """
    with database.writing() as session:
        access = Access(session)
        access.revoke(FIRST_ADMIN)
        if Workers(session, SYSTEM).has_admin():
            return None
        return f"/join/{access.invite(EVERYTHING, lifetime=24 * HOUR, note=FIRST_ADMIN)}"


def platform_key(database: Database) -> str:
    """What the links of platforms must carry."""
    with database.writing() as session:
        return handoff_key(session)
