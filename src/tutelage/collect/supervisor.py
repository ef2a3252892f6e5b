"""Keeps the model process alive: starts it, watches it, and starts another when it dies or hangs."""

import json
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tutelage.collect.engines import EngineSettings
from tutelage.collect.model_process import ProcessSettings, settings_to_line
from tutelage.collect.security import LOG
from tutelage.plumbing.errors import InputError

WATCH_SECONDS = 0.5  # between two looks
HUNG_SECONDS = 60.0  # a step of the engine, or a reply, that takes longer will not come
LONGEST_PAUSE = 30.0  # seconds before another start, after many that failed


class ModelSupervisor:
    """Runs the model process while entered. `socket` and `secret` stay the same over its restarts.

    The socket lies in a directory that nobody else can enter, the secret is made here and told over a pipe.
    """

    def __init__(self, engine: EngineSettings) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tutelage-"))
        self.socket = self._folder / "model.sock"
        self.secret = secrets.token_urlsafe(32)
        self._line = settings_to_line(ProcessSettings(str(self.socket), self.secret, engine))
        self._ending = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher = threading.Thread(target=self._watch, daemon=True, name="model supervisor")
        self.starts = 0

    def __enter__(self) -> "ModelSupervisor":
        self._start()
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._watcher.join()
        self._stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def wait_until_ready(self, timeout: float = 300.0) -> None:
        """Return when the process answers; its models are loaded then.

        Raises:
            InputError: it refused its settings (standard error says why), or the time is over.
        """
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self._health() is not None:
                return
            if self._process is not None and self._process.poll() == 2:
                raise InputError("the model process cannot use what it was given; its message stands above")
            time.sleep(0.05)
        raise InputError(f"the model process did not answer within {timeout:.0f} seconds; choose a smaller base")

    def _start(self) -> None:
        command = [sys.executable, "-m", "tutelage.collect.model_process"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE)
        assert self._process.stdin is not None
        self._process.stdin.write(self._line)
        self._process.stdin.flush()
        self.starts += 1

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()

    def _watch(self) -> None:
        ready, heard, pause = False, time.monotonic(), WATCH_SECONDS
        while not self._ending.wait(WATCH_SECONDS):
            assert self._process is not None
            health = self._health()
            now = time.monotonic()
            if health is not None:
                ready, pause = True, WATCH_SECONDS
                if health["still_s"] < HUNG_SECONDS:
                    heard = now
            # Before it is ready it loads its models, for as long as that takes.
            hung = ready and now - heard > HUNG_SECONDS
            if hung or self._process.poll() is not None:
                LOG.warning("the model process %s; it is started anew", "hangs" if hung else "has ended")
                self._stop()
                if self._ending.wait(pause):
                    return
                self._start()
                ready, heard, pause = False, time.monotonic(), min(2 * pause, LONGEST_PAUSE)

    def _health(self) -> dict[str, Any] | None:
        """What the process says of itself; None if it says nothing."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5.0)
                connection.connect(str(self.socket))
                connection.sendall(json.dumps({"secret": self.secret, "do": "health"}).encode() + b"\n")
                line = connection.makefile("rb").readline()
                record: dict[str, Any] = json.loads(line)
                return record
        except (OSError, ValueError):
            return None
