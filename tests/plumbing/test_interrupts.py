"""A Ctrl-C that is held back is heard at the end, and not lost."""

import signal
import threading

import pytest

from tutelage.plumbing.interrupts import interrupts_held_back


def test_what_is_within_is_done_whole_and_then_the_interrupt_is_heard() -> None:
    done = []

    def work() -> None:
        with interrupts_held_back():
            signal.raise_signal(signal.SIGINT)
            done.append("all of it")
        done.append("and more")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_within_is_the_error_that_is_seen() -> None:
    with pytest.raises(ValueError, match="mine"), interrupts_held_back():
        raise ValueError("mine")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_thread_is_let_be() -> None:
    done = []

    def work() -> None:
        with interrupts_held_back():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
