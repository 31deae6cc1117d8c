"""The patches of gunicorn and the use of gevent's private names are written against these versions.

After an upgrade, read both modules beside the new sources, then change the versions here and there.
"""

import gevent
import gunicorn
import pytest
from gunicorn.config import Config

from service_common.server import connections, gunicorn_patches, parser_limits
from service_common.server.parser_limits import members


def test_the_versions_that_are_patched_are_those_that_are_installed() -> None:
    assert gunicorn.__version__ == "27.0.1"
    assert gevent.__version__ == "26.9.0"
    for module, version in (
        (gunicorn_patches, "gunicorn 27.0.1"),
        (parser_limits, "gunicorn 27.0.1"),
        (connections, "gevent 26.9.0"),
    ):
        assert version in (module.__doc__ or "")


@pytest.mark.parametrize(
    ("application", "service"),
    [("users_service.app:create_app()", "users"), ("orders_service.app", "orders"), ("elsewhere:app", "elsewhere")],
)
def test_the_service_is_known_before_it_is_built(application: str, service: str) -> None:
    assert gunicorn_patches.service_of(application) == service


def test_a_list_of_members_may_stand_in_several_lines_with_empty_members() -> None:
    fields = [("A", "x, Y ,,"), ("B", "z"), ("A", "\tw\t"), ("A", "")]
    assert members(fields, "A") == {"x", "y", "w"}
    assert members(fields, "C") == set()


def test_settings_stay_what_they_are_and_become_plain_attributes() -> None:
    cfg = Config()
    cfg.set("keepalive", 7)
    before = {name: getattr(cfg, name) for name in cfg.settings}
    assert "keepalive" not in vars(cfg)
    gunicorn_patches.settle_settings(cfg)
    assert {name: getattr(cfg, name) for name in cfg.settings} == before
    assert vars(cfg)["keepalive"] == 7
