"""Settings: each unusable value is named, and docs/settings.md lists each setting."""

import re
from pathlib import Path
from typing import Any

import pytest

from orders_service.settings import OrdersSettings
from service_common.settings import Settings

COMMON = pytest.mark.parametrize("settings", [Settings, OrdersSettings])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("MAX_BODY_BYTES", ["0", "-1", "1.5", "many", "1e6", "0x10", " "]), ("WRITE_QUEUE_LIMIT", ["0", "x"]), ("WRITE_BATCH_ROWS", ["0", "x"]),
        ("WRITE_TIMEOUT", ["0", "-1", "ten", "inf", "nan", "3601"]), ("DRAIN_TIMEOUT", ["0", "x"]), ("STOP_DELAY", ["-1", "61", "nan", "5.1"]), ("LOOKUP_TIMEOUT", ["0", "x"]),
        ("LOOKUP_ATTEMPT_TIMEOUT", ["0", "x"]), ("BREAKER_FAILURES", ["0", "x"]), ("BREAKER_COOLDOWN", ["0", "x"]), ("ACCESS_LOG", ["perhaps", "2"]),
        ("TRACES", ["perhaps"]), ("OTEL_TRACES_SAMPLER_ARG", ["-0.1", "1.1", "all", "nan"]), ("OTEL_RESOURCE_ATTRIBUTES", ["a", "a=1,b", "=1", "a b=1"]),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", ["jaeger:4318", "grpc://jaeger:4317", "http://", "http://a b", "http://a:x", "http://a?b"]),
        ("USERS_URL", ["users:8000", "ftp://users", "http://", "http://users:0", "http://users:x", "http://users/?a=1", "http://users/?", "http://users/#", "http://us ers", "https://users", "http://me@users", "/"]),
        ("PRODUCTS_URL", ["products"]),
        ("MAX_CONNECTIONS", ["0", "-1", "x"]), ("MAX_CONNECTIONS_PER_CLIENT", ["-1", "x"]), ("MAX_HELD_BYTES", ["0", "x", "1048575"]),
        ("RATE_LIMIT_EXEMPT", ["orders.inside", "localhost", "10.0.0.0/8 example.com", "10.0.0.1/8", "10.0.0.0/33", "1.2.3", "10.0.0.1,10.0.0.2", "::1/", "*"]), ("KEEPALIVE_TIMEOUT", ["0", "x"]), ("HEADER_TIMEOUT", ["0", "x"]), ("BODY_TIMEOUT", ["0", "inf"]), ("ANSWER_TIMEOUT", ["0", "x"]),
    ],
)  # fmt: skip
def test_names_an_unusable_setting_and_says_what_is_wrong(name: str, values: list[str]) -> None:
    for value in values:
        with pytest.raises(SystemExit, match=rf"Unusable setting\. {name}: .+ Correct the environment") as refused:
            OrdersSettings.from_env({name: value})
        assert "\n" not in str(refused.value)


def test_names_every_unusable_setting_at_once() -> None:
    with pytest.raises(SystemExit, match=r"MAX_BODY_BYTES.*WRITE_TIMEOUT"):
        Settings.from_env({"WRITE_TIMEOUT": "x", "MAX_BODY_BYTES": "x"})


def test_rejects_a_body_limit_above_the_limit_of_held_bytes() -> None:
    with pytest.raises(SystemExit, match="MAX_HELD_BYTES: must be at least MAX_BODY_BYTES"):
        Settings.from_env({"MAX_BODY_BYTES": "20971520"})
    assert Settings.from_env({"MAX_BODY_BYTES": "20971520", "MAX_HELD_BYTES": "20971520"}).max_body_bytes == 20 << 20


@COMMON
def test_reads_every_setting_by_its_name_in_capitals(settings: type[Settings], tmp_path: Path) -> None:
    values: dict[str, Any] = {"access_log": False, "data_dir": tmp_path, "api_token_file": tmp_path}
    values |= {
        "users_url": "http://users:1",
        "products_url": "http://products:2",
        "rate_limit_exempt": "10.0.0.0/8 ::1",
        "database_url_file": tmp_path,
        "traces": True,
        "otel_exporter_otlp_endpoint": "http://receiver:4318",
        "otel_traces_sampler_arg": 0.5,
        "otel_resource_attributes": "host.name=a",
    }
    values = {name: value for name, value in values.items() if name in settings.model_fields}
    for name, field in settings.model_fields.items():
        if name not in values:
            values[name] = f"{field.default}x" if isinstance(field.default, str) else field.default + 1
    given = settings.from_env({name.upper(): str(value) for name, value in values.items()})
    assert given == settings(**values)
    assert not [name for name in settings.model_fields if getattr(given, name) == getattr(settings(), name)]


def test_reads_only_the_settings_of_its_own_service() -> None:
    """A service must not fail on, or know of, a setting that another one has."""
    assert Settings.from_env({"USERS_URL": "nonsense", "BREAKER_FAILURES": "x"}) == Settings()
    assert not [name for name in Settings.model_fields if name.startswith(("lookup", "breaker", "users", "products"))]


def test_ignores_small_letters_and_empty_values() -> None:
    assert Settings.from_env({"write_timeout": "7", "WRITE_TIMEOUT": "", "API_TOKEN_FILE": ""}) == Settings()


@pytest.mark.parametrize(
    ("given", "networks"),
    [
        ("", []), (" \n", []), ("10.0.0.7", ["10.0.0.7/32"]), ("10.1.0.0/16\t192.168.0.0/24 ::1", ["10.1.0.0/16", "192.168.0.0/24", "::1/128"]),
        ("fd00::/8", ["fd00::/8"]),
    ],
)  # fmt: skip
def test_reads_networks_and_addresses_that_are_exempt_from_the_rate(given: str, networks: list[str]) -> None:
    assert [str(network) for network in Settings.from_env({"RATE_LIMIT_EXEMPT": given}).rate_limit_exempt] == networks


def test_the_documentation_has_a_row_for_every_setting_and_no_other() -> None:
    """A row shows the default and the description in the code, and a reason."""
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    own = OrdersSettings.model_fields.keys() - Settings.model_fields.keys()
    for title, names in (("Every service", list(Settings.model_fields)), ("Orders only", own)):
        section = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
        rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.*) \|$", section, re.MULTILINE))
        assert rows.keys() == {name.upper() for name in names}
        for name in names:
            field = OrdersSettings.model_fields[name]
            written = str(field.default).lower() if field.annotation is bool else str(field.default)
            default, described, reason = rows[name.upper()].split(" | ")
            assert default.strip() == ("" if field.default in ("", None, ()) else f"`{written}`")
            assert described == field.description
            assert len(reason) > 10


@pytest.mark.parametrize("content", [b"", b" \n\t", b"\xff\xfe"])
def test_rejects_a_token_file_without_a_token(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokens").write_bytes(content)
    with pytest.raises(SystemExit, match="API_TOKEN_FILE"):
        Settings(api_token_file=tmp_path / "tokens").tokens()


@pytest.mark.parametrize("name", ["missing", "."])
def test_rejects_a_token_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(SystemExit, match="API_TOKEN_FILE cannot be read"):
        Settings(api_token_file=tmp_path / name).tokens()


def test_shows_a_token_in_no_message() -> None:
    with pytest.raises(SystemExit) as refused:
        Settings.from_env({"API_TOKEN": "secret", "WRITE_TIMEOUT": "x"})
    assert "secret" not in str(refused.value)
    assert "secret" not in str(Settings(api_token="secret"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]"])
def test_needs_no_token_on_loopback(host: str) -> None:
    assert Settings.from_env({"BIND_ADDRESS": host}).tokens() == ()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", "127.0.0.1.example.com"])
def test_needs_a_token_where_others_can_reach_the_service(host: str) -> None:
    with pytest.raises(SystemExit, match=r"BIND_ADDRESS is .* set API_TOKEN or API_TOKEN_FILE"):
        Settings.from_env({"BIND_ADDRESS": host}).tokens()
    assert Settings.from_env({"BIND_ADDRESS": host, "API_TOKEN": "secret"}).tokens() == ("secret",)


def test_counts_an_address_in_a_container_as_public_unless_told_where_it_is_published() -> None:
    with pytest.raises(SystemExit, match=r"BIND_ADDRESS is '0\.0\.0\.0'"):
        Settings.from_env({"LISTEN_ADDRESS": "0.0.0.0"}).tokens()
    assert Settings.from_env({"LISTEN_ADDRESS": "0.0.0.0", "BIND_ADDRESS": "127.0.0.1"}).tokens() == ()


def test_rejects_a_token_that_no_header_can_carry_without_showing_it(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("plain p\u00e4ss")
    for settings in (Settings(api_token="plain p\u00e4ss"), Settings(api_token_file=tmp_path / "tokens")):
        with pytest.raises(SystemExit, match="visible ASCII") as refused:
            settings.tokens()
        assert "plain" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "urls"),
    [
        ({}, ("http://127.0.0.1:8001", "http://127.0.0.1:8002")),
        ({"BIND_ADDRESS": "127.0.0.2", "USERS_PORT": "9001"}, ("http://127.0.0.2:9001", "http://127.0.0.2:8002")),
        ({"BIND_ADDRESS": "::1", "PRODUCTS_URL": "http://p:1"}, ("http://[::1]:8001", "http://p:1")),
        ({"BIND_ADDRESS": "0.0.0.0"}, ("http://127.0.0.1:8001", "http://127.0.0.1:8002")),
    ],
)
def test_orders_finds_the_services_where_they_listen(given: dict[str, str], urls: tuple[str, str]) -> None:
    settings = OrdersSettings.from_env(given)
    assert (settings.users_url, settings.products_url) == urls
