"""The real server for tests that kill it, on this database and port: two web processes and a stub of a model."""

import sys

from tutelage.collect.engines import EngineSettings
from tutelage.collect.server import serve
from tutelage.collect.settings import Settings

PROCESSES = 2

if __name__ == "__main__":
    url, port, words_per_second = sys.argv[1:]
    engine = EngineSettings(stub_words_per_second=float(words_per_second))
    serve(Settings(url), engine, "127.0.0.1", int(port), PROCESSES, lambda: print("ready", flush=True))
