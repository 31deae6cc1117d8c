from pathlib import Path

import pytest

from loadgen.settings import BadSetting, Settings


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"REPORT_DIR": str(tmp_path / "reports")}


def test_expects_the_services_on_this_machine_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings.from_env({})
    assert settings.urls == {
        "users": "http://127.0.0.1:8001",
        "products": "http://127.0.0.1:8002",
        "orders": "http://127.0.0.1:8003",
    }
    assert (settings.report_dir, settings.token, settings.ready_timeout) == (Path("reports"), "", 30.0)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({"BIND_ADDRESS": "127.0.0.2", "USERS_PORT": "9001"}, "http://127.0.0.2:9001"),
        ({"BIND_ADDRESS": "::1"}, "http://[::1]:8001"),
        ({"BIND_ADDRESS": "0.0.0.0"}, "http://127.0.0.1:8001"),
        ({"BIND_ADDRESS": "127.0.0.2", "USERS_URL": "http://users:1"}, "http://users:1"),
    ],
)
def test_finds_the_services_where_they_listen(env: dict[str, str], given: dict[str, str], url: str) -> None:
    assert Settings.from_env(env | given).urls["users"] == url


def test_reads_every_setting(env: dict[str, str], tmp_path: Path) -> None:
    given = env | {"USERS_URL": "https://shop.example/users-api/", "API_TOKEN": "new old", "READY_TIMEOUT": "2.5"}
    settings = Settings.from_env(given)
    assert settings.urls["users"] == "https://shop.example/users-api"
    assert (settings.tokens, settings.token, settings.ready_timeout) == (("new", "old"), "new", 2.5)
    assert settings.report_dir.is_dir()


@pytest.mark.parametrize(
    ("given", "share"),
    [
        ({}, 0.0),
        ({"TRACES": "false"}, 0.0),
        ({"TRACES": "true"}, 0.01),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://jaeger:4318"}, 0.01),
        ({"TRACES": "true", "LOADGEN_TRACES": "0"}, 0.0),
        ({"LOADGEN_TRACES": "0.5"}, 0.5),
    ],
)
def test_begins_traces_where_the_services_record_them(env: dict[str, str], given: dict[str, str], share: float) -> None:
    assert Settings.from_env(env | given).traces == share


def test_reads_the_token_from_a_file(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret\n")
    settings = Settings.from_env(env | {"API_TOKEN_FILE": str(file)})
    assert settings.token == "secret"
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOADGEN_TRACES", "1.5"),
        ("LOADGEN_TRACES", "some"),
        ("USERS_URL", "users:8001"),
        ("PRODUCTS_URL", "ftp://127.0.0.1"),
        ("PRODUCTS_URL", "http://127.0.0.1:99999"),
        ("ORDERS_URL", "http://"),
        ("ORDERS_URL", "http://127.0.0.1:8003/?a=b"),
        ("REPORT_DIR", "/proc/nothing/here"),
        ("API_TOKEN", "päss"),
        ("API_TOKEN_FILE", "/nowhere/token"),
        ("READY_TIMEOUT", "0"),
        ("READY_TIMEOUT", "soon"),
        ("READY_TIMEOUT", "nan"),
    ],
)
def test_names_a_bad_setting_in_one_line(env: dict[str, str], name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=name) as raised:
        Settings.from_env(env | {name: value})
    assert "\n" not in str(raised.value)


def test_rejects_an_empty_token_file(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch()
    with pytest.raises(BadSetting, match="holds no token"):
        Settings.from_env(env | {"API_TOKEN_FILE": str(file)})
