"""The users service with little patience for requests in flight when it stops: for a test that would else wait 12 s."""

from service_common import worker
from service_common.app import Service
from users_service.app import create_app as create_patient

GRACE_S = 2.0


def create_app() -> Service:
    worker.GRACE_S = GRACE_S
    return create_patient()
