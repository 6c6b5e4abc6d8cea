"""Settings: defaults, the file, the environment, and one helpful line for whatever is wrong."""

import os
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from daemon.config import Settings, load
from daemon.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.upper().startswith("MODELDROP_")]:
        monkeypatch.delenv(variable)


def loaded(folder: Path, text: str) -> Settings:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def refused(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_empty_file_gives_the_defaults_that_outsiders_rely_on(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "")
    server, watch = settings.server, settings.watch
    assert (server.host, server.port, server.threads, server.drain_seconds) == ("127.0.0.1", 5000, 8, 10)
    assert (server.max_body_mb, server.max_upload_mb, server.welcome) == (64, 2048, "欢迎参加蓝桥杯")
    assert (watch.drop_dir, watch.rescan_seconds, watch.settle_ms, watch.incomplete_seconds) == (
        "model_drop",
        2,
        200,
        60,
    )
    assert (settings.state_dir, settings.default_model, settings.deploy.allowed_dirs) == ("state", "default", ())
    assert (settings.log.level, settings.log.format, settings.log.file) == ("info", "text", "logs/daemon.log")
    assert (settings.auth.admin_token, settings.auth.predict_token) == ("", "")
    assert (settings.history.keep, settings.runtime.providers) == (5, "auto")


def test_shipped_file_shows_every_key_with_its_default() -> None:
    shipped = load(ROOT / "config.yaml")
    values = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    written = {
        f"{name}.{key}" if isinstance(value, dict) else name
        for name, value in values.items()
        for key in (value if isinstance(value, dict) else [name])
    }
    default = Settings().model_dump()
    known = {
        f"{name}.{key}" if isinstance(value, dict) else name
        for name, value in default.items()
        for key in (value if isinstance(value, dict) else [name])
    }
    assert written == known
    assert shipped.deploy.allowed_dirs == ("examples/models",)  # for the classroom's load test
    assert shipped.model_dump() | {"deploy": default["deploy"]} == default


def test_file_overrides_only_what_it_names(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "server: {port: 8080}\ndeploy:\n  allowed_dirs: [models, /srv/models]\n")
    assert (settings.server.port, settings.server.threads) == (8080, 8)
    assert settings.deploy.allowed_dirs == ("models", "/srv/models")


def test_section_without_keys_is_an_empty_section(tmp_path: Path) -> None:
    assert loaded(tmp_path, "watch:\nauth: {}\n").watch.settle_ms == 200


def test_relative_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner" / "config.yaml").write_text("")
    settings = load(Path("inner/config.yaml"))
    assert settings.folder == tmp_path / "inner"
    assert settings.place("model_drop") == tmp_path / "inner" / "model_drop"
    assert settings.place("/srv/drop") == Path("/srv/drop")


def test_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELDROP_SERVER__PORT", "8080")
    settings = loaded(tmp_path, "server: {port: 1, threads: 3}")
    assert (settings.server.port, settings.server.threads) == (8080, 3)


@pytest.mark.parametrize(
    ("variable", "value", "key", "expected"),
    [
        ("MODELDROP_STATE_DIR", "/var/lib/modeldrop", "state_dir", "/var/lib/modeldrop"),
        ("modeldrop_default_model", "digits", "default_model", "digits"),
        ("MODELDROP_DEPLOY__ALLOWED_DIRS", '["a", "b"]', "deploy.allowed_dirs", ("a", "b")),
        ("MODELDROP_SERVER__DRAIN_SECONDS", "0", "server.drain_seconds", 0),
        ("MODELDROP_AUTH__ADMIN_TOKEN", "12345", "auth.admin_token", "12345"),
        ("MODELDROP_AUTH__ADMIN_TOKEN", "true", "auth.admin_token", "true"),
        ("MODELDROP_RUNTIME__PROVIDERS", "auto", "runtime.providers", "auto"),
        ("MODELDROP_RUNTIME__PROVIDERS", '["CPUExecutionProvider"]', "runtime.providers", ("CPUExecutionProvider",)),
        ("MODELDROP_RUNTIME__THREADS", "2", "runtime.threads", 2),
        ("MODELDROP_LOG__FILE", "", "log.file", ""),
        ("MODELDROP_LOG", '{"level": "debug"}', "log.level", "debug"),
    ],
)
def test_environment_sets_every_kind_of_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, key: str, expected: object
) -> None:
    monkeypatch.setenv(variable, value)
    found: object = loaded(tmp_path, "")
    for name in key.split("."):
        found = getattr(found, name)
    assert found == expected


@pytest.mark.parametrize(
    ("text", "key", "found", "expected"),
    [
        ("server: {port: 70000}", "server.port", "70000", "less than or equal to 65535"),
        ("server: {port: -1}", "server.port", "-1", "greater than or equal to 0"),
        ("server: {port: http}", "server.port", "'http'", "a valid integer"),
        ("server: {port: 80.5}", "server.port", "80.5", "a valid integer"),
        ("server: {threads: 0}", "server.threads", "0", "greater than or equal to 1"),
        ("server: {threads: true}", "server.threads", "True", "a number or text, not a boolean"),
        ("server: {max_body_mb: 0}", "server.max_body_mb", "0", "greater than 0"),
        ("server: {max_upload_mb: .inf}", "server.max_upload_mb", "inf", "a finite number"),
        ("server: {drain_seconds: .nan}", "server.drain_seconds", "nan", "a finite number"),
        ("server: {welcome: 5}", "server.welcome", "5", "a valid string"),
        ("server: {listen: 127.0.0.1:5000}", "server.listen", "'127.0.0.1:5000'", "a list"),
        ("server: 5", "server", "5", "a mapping of settings"),
        ("watch: {rescan_seconds: 0}", "watch.rescan_seconds", "0", "greater than 0"),
        ("watch: {settle_ms: -1}", "watch.settle_ms", "-1", "greater than or equal to 0"),
        ("watch: {incomplete_seconds: 0}", "watch.incomplete_seconds", "0", "greater than 0"),
        ("watch: {drop_dir: ''}", "watch.drop_dir", "''", "text with at least 1 character"),
        ("deploy: {allowed_dirs: models}", "deploy.allowed_dirs", "'models'", "a list"),
        ("default_model: a b", "default_model", "'a b'", "text that matches"),
        ("history: {keep: 0}", "history.keep", "0", "greater than or equal to 1"),
        ("runtime: {threads: many}", "runtime.threads", "'many'", "'auto'; or a valid integer"),
        ("log: {level: loud}", "log.level", "'loud'", "'debug', 'info', 'warning' or 'error'"),
        ("log: {format: xml}", "log.format", "'xml'", "'text' or 'json'"),
    ],
)
def test_wrong_value_is_told_with_file_key_found_and_allowed(
    tmp_path: Path, text: str, key: str, found: str, expected: str
) -> None:
    sentence = refused(tmp_path, text)
    assert sentence.startswith(f"{tmp_path / 'config.yaml'}: {key}: found {found}, expected ")
    assert expected in sentence


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("server: {prot: 1}", "server.prot", "server.port"),
        ("watch: {rescan_second: 1}", "watch.rescan_second", "watch.rescan_seconds"),
        ("sever: {port: 1}", "sever", "server"),
        ("port: 5000", "port", "server.port"),
        ("server: {drop_dir: x}", "server.drop_dir", "watch.drop_dir"),
        ("statedir: x", "statedir", "state_dir"),
    ],
)
def test_unknown_key_is_told_with_the_nearest(tmp_path: Path, text: str, key: str, nearest: str) -> None:
    assert refused(tmp_path, text) == f"{tmp_path / 'config.yaml'}: {key}: no such setting; did you mean {nearest}?"


def test_unknown_key_like_no_other_is_told_with_all(tmp_path: Path) -> None:
    sentence = refused(tmp_path, "qqqqqqqq: 1")
    assert "; allowed: " in sentence
    assert "server.port" in sentence


def test_unknown_variable_is_told_with_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELDROP_SERVER__PROT", "1")
    expected = "environment: MODELDROP_SERVER__PROT: no such setting; did you mean server.port?"
    assert refused(tmp_path, "") == expected


def test_wrong_variable_is_told_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELDROP_SERVER__PORT", "http")
    assert refused(tmp_path, "server: {port: 1}").startswith(
        "environment: MODELDROP_SERVER__PORT: server.port: found 'http'"
    )


def test_list_variable_that_is_no_json_is_told_with_an_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELDROP_DEPLOY__ALLOWED_DIRS", "a,b")
    sentence = refused(tmp_path, "")
    assert sentence.startswith("environment: ")
    assert '["a", "b"]' in sentence


def test_token_is_never_shown(tmp_path: Path) -> None:
    sentence = refused(tmp_path, "auth: {admin_token: [s3cret]}")
    assert sentence == f"{tmp_path / 'config.yaml'}: auth.admin_token: found (hidden), expected a valid string"


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"server: [", "not valid YAML"),
        (b"- a\n- b", "found list, expected a mapping of section to settings"),
        (b"just text", "found str, expected a mapping"),
        (b"1: 2", "expected a mapping"),
        (b"welcome: \xff", "cannot be read"),
    ],
)
def test_file_that_holds_no_settings_is_refused(tmp_path: Path, content: bytes, wrong: str) -> None:
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=wrong) as caught:
        load(tmp_path / "config.yaml")
    assert str(caught.value).startswith(f"{tmp_path / 'config.yaml'}: ")
    assert "\n" not in str(caught.value)


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "nothing.yaml")


def test_folder_instead_of_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "")
    with pytest.raises(ValidationError):
        settings.server.port = 1


def test_key_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    assert "'port' is given twice" in refused(tmp_path, "server:\n  port: 1\n  port: 2\n")


def test_variables_that_kubernetes_sets_for_a_service_of_this_name_are_no_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PORT", "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT_5000_TCP", "PORT_5000_TCP_ADDR"):
        monkeypatch.setenv(f"MODELDROP_{name}", "tcp://10.0.0.1:5000")
    assert loaded(tmp_path, "").server.port == 5000


def test_wrong_value_in_a_section_from_the_environment_is_blamed_on_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELDROP_SERVER", '{"port": "x"}')
    assert refused(tmp_path, "").startswith("environment: MODELDROP_SERVER: server.port: found 'x'")


def test_folder_without_a_name_is_not_allowed(tmp_path: Path) -> None:
    assert "deploy.allowed_dirs" in refused(tmp_path, "deploy:\n  allowed_dirs: ['']\n")


def test_tilde_is_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert loaded(tmp_path, "").place("~/models") == tmp_path / "home" / "models"
