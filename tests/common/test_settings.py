"""Settings: every wrong one is named, none is guessed."""

from pathlib import Path
from typing import Any

import pytest

from service_common.settings import Settings


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("MAX_BODY_BYTES", ["0", "-1", "1.5", "many", "1e6", "0x10", " "]), ("WRITE_QUEUE_LIMIT", ["0", "x"]), ("WRITE_BATCH_ROWS", ["0", "x"]),
        ("WRITE_TIMEOUT", ["0", "-1", "ten", "inf", "nan", "3601"]), ("DRAIN_TIMEOUT", ["0", "x"]), ("LOOKUP_TIMEOUT", ["0", "x"]),
        ("LOOKUP_ATTEMPT_TIMEOUT", ["0", "x"]), ("BREAKER_FAILURES", ["0", "x"]), ("BREAKER_COOLDOWN", ["0", "x"]), ("ACCESS_LOG", ["perhaps", "2"]),
        ("USERS_URL", ["users:8000", "ftp://users", "http://", "http://users:0", "http://users:x", "http://users/?a=1", "http://users/?", "http://users/#", "http://us ers", "https://users", "http://me@users", "/"]),
        ("PRODUCTS_URL", ["products"]),
        ("MAX_CONNECTIONS", ["0", "-1", "x"]), ("MAX_CONNECTIONS_PER_CLIENT", ["-1", "x"]), ("MAX_HELD_BYTES", ["0", "x", "1048575"]),
        ("KEEPALIVE_TIMEOUT", ["0", "x"]), ("HEADER_TIMEOUT", ["0", "x"]), ("BODY_TIMEOUT", ["0", "inf"]), ("ANSWER_TIMEOUT", ["0", "x"]),
    ],
)  # fmt: skip
def test_an_unusable_setting_is_named_and_says_what_is_wrong(name: str, values: list[str]) -> None:
    for value in values:
        with pytest.raises(SystemExit, match=rf"Unusable setting\. {name}: .+ Correct the environment") as refused:
            Settings.from_env({name: value})
        assert "\n" not in str(refused.value)


def test_every_unusable_setting_is_named_at_once() -> None:
    with pytest.raises(SystemExit, match=r"MAX_BODY_BYTES.*WRITE_TIMEOUT"):
        Settings.from_env({"WRITE_TIMEOUT": "x", "MAX_BODY_BYTES": "x"})


def test_a_body_that_could_never_be_held_is_not_allowed() -> None:
    with pytest.raises(SystemExit, match="MAX_HELD_BYTES: must be at least MAX_BODY_BYTES"):
        Settings.from_env({"MAX_BODY_BYTES": "20971520"})
    assert Settings.from_env({"MAX_BODY_BYTES": "20971520", "MAX_HELD_BYTES": "20971520"}).max_body_bytes == 20 << 20


def test_every_setting_can_be_set_by_its_name_in_capitals(tmp_path: Path) -> None:
    values: dict[str, Any] = {"access_log": False, "data_dir": tmp_path, "api_token_file": tmp_path}
    for name, field in Settings.model_fields.items():
        if name not in values:
            text = f"{field.default}x" if isinstance(field.default, str) else None
            values[name] = text if text is not None else field.default + 1
    values |= {"users_url": "http://users:1", "products_url": "http://products:2"}
    given = Settings.from_env({name.upper(): str(value) for name, value in values.items()})
    assert given == Settings(**values)
    assert not [name for name in Settings.model_fields if getattr(given, name) == getattr(Settings(), name)]


def test_small_letters_and_empty_values_do_not_count() -> None:
    assert Settings.from_env({"write_timeout": "7", "WRITE_TIMEOUT": "", "API_TOKEN_FILE": ""}) == Settings()


def test_the_readme_tells_of_every_setting_with_its_default() -> None:
    table = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        default = (
            ""
            if field.default in ("", None)
            else str(field.default).lower()
            if field.annotation is bool
            else str(field.default)
        )
        shown = f"`{default}`" if default else ""
        assert f"| `{name.upper()}` | {shown} | {field.description} |" in table


@pytest.mark.parametrize("content", [b"", b" \n\t", b"\xff\xfe"])
def test_a_token_file_without_a_token_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokens").write_bytes(content)
    with pytest.raises(SystemExit, match="API_TOKEN_FILE"):
        Settings(api_token_file=tmp_path / "tokens").tokens()


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_token_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SystemExit, match="API_TOKEN_FILE cannot be read"):
        Settings(api_token_file=tmp_path / name).tokens()


def test_a_token_is_in_no_message(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as refused:
        Settings.from_env({"API_TOKEN": "secret", "WRITE_TIMEOUT": "x"})
    assert "secret" not in str(refused.value)
    assert "secret" not in str(Settings(api_token="secret"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]"])
def test_on_loopback_no_token_is_needed(host: str) -> None:
    assert Settings.from_env({"BIND_ADDRESS": host}).tokens() == ()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", "127.0.0.1.example.com"])
def test_where_others_can_reach_it_a_service_does_not_start_without_a_token(host: str) -> None:
    with pytest.raises(SystemExit, match=r"BIND_ADDRESS is .* set API_TOKEN or API_TOKEN_FILE"):
        Settings.from_env({"BIND_ADDRESS": host}).tokens()
    assert Settings.from_env({"BIND_ADDRESS": host, "API_TOKEN": "secret"}).tokens() == ("secret",)


def test_what_listens_everywhere_in_a_container_needs_to_be_told_where_it_is_published() -> None:
    with pytest.raises(SystemExit, match=r"BIND_ADDRESS is '0\.0\.0\.0'"):
        Settings.from_env({"LISTEN_ADDRESS": "0.0.0.0"}).tokens()
    assert Settings.from_env({"LISTEN_ADDRESS": "0.0.0.0", "BIND_ADDRESS": "127.0.0.1"}).tokens() == ()


def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("plain p\u00e4ss")
    for settings in (Settings(api_token="plain p\u00e4ss"), Settings(api_token_file=tmp_path / "tokens")):
        with pytest.raises(SystemExit, match="visible ASCII") as refused:
            settings.tokens()
        assert "plain" not in str(refused.value)
