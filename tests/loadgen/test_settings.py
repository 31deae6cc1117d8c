from pathlib import Path

import pytest

from loadgen.settings import BadSetting, Settings


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"REPORT_DIR": str(tmp_path / "reports")}


def test_without_an_environment_the_services_are_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings.from_env({})
    assert settings.urls == {
        "users": "http://127.0.0.1:8001",
        "products": "http://127.0.0.1:8002",
        "orders": "http://127.0.0.1:8003",
    }
    assert (settings.report_dir, settings.token, settings.ready_timeout) == (Path("reports"), "", 30.0)


def test_everything_can_be_set(env: dict[str, str], tmp_path: Path) -> None:
    given = env | {"USERS_URL": "https://shop.example/users-api/", "API_TOKEN": "new old", "READY_TIMEOUT": "2.5"}
    settings = Settings.from_env(given)
    assert settings.urls["users"] == "https://shop.example/users-api"
    assert (settings.tokens, settings.token, settings.ready_timeout) == (("new", "old"), "new", 2.5)
    assert settings.report_dir.is_dir()


def test_the_token_may_lie_in_a_file(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret\n")
    settings = Settings.from_env(env | {"API_TOKEN_FILE": str(file)})
    assert settings.token == "secret"
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
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
def test_a_bad_value_is_named_in_one_line(env: dict[str, str], name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=name) as raised:
        Settings.from_env(env | {name: value})
    assert "\n" not in str(raised.value)


def test_an_empty_token_file_is_no_token(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch()
    with pytest.raises(BadSetting, match="holds no token"):
        Settings.from_env(env | {"API_TOKEN_FILE": str(file)})
