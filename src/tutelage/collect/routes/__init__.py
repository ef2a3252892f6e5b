"""The app's routes: thin handlers, one file for each part of a worker's way."""

from tutelage.collect.routes import arrival

ROUTERS = (arrival.router,)
