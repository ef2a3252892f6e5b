"""The app's routes: thin handlers, one file for each part of the app."""

from tutelage.collect.routes import (
    account,
    admin,
    answers,
    arrival,
    exports,
    home,
    imports,
    overlap,
    passwords,
    review,
    talk,
)

ROUTERS = (
    arrival.router, passwords.router, account.router, home.router, talk.router, answers.router, overlap.router,
    review.router, admin.router, exports.router, imports.router,
)  # fmt: skip
