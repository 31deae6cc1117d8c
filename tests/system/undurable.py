"""The users service without the sync before the answer: what the test of that sync must find."""

from service_common.app import Service
from users_service.app import create_app as create_durable


def create_app() -> Service:
    app = create_durable()
    app.store.writing.pragma("synchronous", "OFF")
    return app
