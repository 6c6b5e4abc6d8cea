"""Settings: defaults, the file, the environment, and one helpful line for whatever is wrong."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


def keys_of(values: Mapping[str, Any], prefix: str = "") -> set[str]:
    """Every key by its whole name, with what is nested."""
    inner = [keys_of(value, f"{prefix}{name}.") for name, value in values.items() if isinstance(value, Mapping)]
    return {prefix + name for name, value in values.items() if not isinstance(value, Mapping)}.union(*inner)


def test_shipped_file_shows_every_key_with_its_default() -> None:
    shipped = load(ROOT / "config.yaml")
    written = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    default = Settings().model_dump()
    assert keys_of(written) == keys_of(default)
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
        ("MODELDROP_BATCHING", "off", "batching.mode", "off"),
        ("MODELDROP_BATCHING", '{"mode": "off"}', "batching.mode", "off"),
        ("MODELDROP_BATCHING__MODE", "off", "batching.mode", "off"),
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


def test_word_for_a_section_leaves_its_other_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELDROP_BATCHING", "off")
    monkeypatch.setenv("MODELDROP_BATCHING__MAX_BATCH", "4")
    (tmp_path / "config.yaml").write_text("", encoding="utf-8")
    batching = load(tmp_path / "config.yaml").batching
    assert (batching.mode, batching.max_batch) == ("off", 4)


def test_word_for_batching_that_is_none_is_told_what_is_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELDROP_BATCHING", "of")
    expected = "environment: MODELDROP_BATCHING: batching.mode: found 'of', expected 'auto' or 'off'"
    assert refused(tmp_path, "") == expected


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


def test_gate_and_probation_have_the_defaults_that_outsiders_rely_on(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "")
    gate, probation = settings.gate, settings.probation
    assert (gate.integrity.required, gate.signature, gate.trial.timeout_seconds) == (False, "warn", 30)
    assert (gate.trial.compile, gate.trial.memory_mb, gate.golden.dir) == ("auto", "auto", "golden")
    limits = {name: value for name, value in gate.replay.model_dump().items() if name.startswith("max_")}
    assert limits.pop("max_mb") == 64
    assert set(limits.values()) == {None}
    assert (probation.seconds, probation.max_error_rate, probation.min_requests) == (60, 0.05, 20)
    assert (probation.non_finite, probation.keep_previous) == ("warn", True)


def test_nested_section_is_overridden_only_where_the_file_names_it(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "gate:\n  trial: {nice: 3}\n  signature: compatible\n")
    assert (settings.gate.trial.nice, settings.gate.trial.threads) == (3, 1)
    assert (settings.gate.signature, settings.gate.golden.dir) == ("compatible", "golden")


@pytest.mark.parametrize("text", ["gate:", "gate: {}", "gate:\n  trial:\n  replay: {}", "gate: {trial: null}"])
def test_nested_section_without_keys_is_an_empty_section(tmp_path: Path, text: str) -> None:
    assert loaded(tmp_path, text).gate == Settings().gate


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("gate: {trial: {nic: 1}}", "gate.trial.nic", "gate.trial.nice"),
        ("gate: {trail: {nice: 1}}", "gate.trail", "gate.trial"),
        ("gate: {nice: 1}", "gate.nice", "gate.trial.nice"),
        ("gate: {trial: {signature: warn}}", "gate.trial.signature", "gate.signature"),
        ("nice: 1", "nice", "gate.trial.nice"),
        ("gate: {replay: {max_error: 0}}", "gate.replay.max_error", "gate.replay.max_errors"),
        ("probation: {min_request: 1}", "probation.min_request", "probation.min_requests"),
        ("golden: {dir: x}", "golden", "gate.golden"),
    ],
)
def test_unknown_key_below_a_nested_section_is_told_with_the_nearest(
    tmp_path: Path, text: str, key: str, nearest: str
) -> None:
    assert refused(tmp_path, text) == f"{tmp_path / 'config.yaml'}: {key}: no such setting; did you mean {nearest}?"


@pytest.mark.parametrize(
    ("variable", "value", "key", "expected"),
    [
        ("MODELDROP_GATE__TRIAL__NICE", "5", "gate.trial.nice", 5),
        ("modeldrop_gate__trial__memory_mb", "512", "gate.trial.memory_mb", 512),
        ("MODELDROP_GATE__TRIAL__MEMORY_MB", "auto", "gate.trial.memory_mb", "auto"),
        ("MODELDROP_GATE__TRIAL__COMPILE", "off", "gate.trial.compile", "off"),
        ("MODELDROP_GATE__SIGNATURE", "off", "gate.signature", "off"),
        ("MODELDROP_GATE__GOLDEN__DIR", "", "gate.golden.dir", ""),
        ("MODELDROP_GATE__INTEGRITY__REQUIRED", "true", "gate.integrity.required", True),
        ("MODELDROP_GATE__REPLAY__MAX_ABS", "0.25", "gate.replay.max_abs", 0.25),
        ("MODELDROP_GATE__TRIAL", '{"nice": 7}', "gate.trial.nice", 7),
        ("MODELDROP_GATE", '{"trial": {"nice": 8}}', "gate.trial.nice", 8),
        ("MODELDROP_PROBATION__KEEP_PREVIOUS", "0", "probation.keep_previous", False),
    ],
)
def test_environment_sets_what_is_nested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, key: str, expected: object
) -> None:
    monkeypatch.setenv(variable, value)
    found: object = loaded(tmp_path, "gate: {trial: {threads: 2}}")
    assert isinstance(found, Settings)
    assert found.gate.trial.threads == 2
    for name in key.split("."):
        found = getattr(found, name)
    assert found == expected


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("gate: {signature: off}", "gate.signature", "off"),
        ("gate: {signature: false}", "gate.signature", "off"),
        ("gate: {signature: 'off'}", "gate.signature", "off"),
        ("gate: {signature: No}", "gate.signature", "off"),
        ("gate: {trial: {compile: off}}", "gate.trial.compile", "off"),
        ("gate: {trial: {compile: on}}", "gate.trial.compile", "on"),
        ("gate: {trial: {compile: yes}}", "gate.trial.compile", "on"),
        ("gate: {trial: {compile: true}}", "gate.trial.compile", "on"),
        ("gate: {integrity: {required: on}}", "gate.integrity.required", True),
        ("gate: {integrity: {required: 'off'}}", "gate.integrity.required", False),
        ("probation: {keep_previous: no}", "probation.keep_previous", False),
    ],
)
def test_words_that_yaml_takes_for_booleans_mean_what_they_say(
    tmp_path: Path, text: str, key: str, expected: object
) -> None:
    found: object = loaded(tmp_path, text)
    for name in key.split("."):
        found = getattr(found, name)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("text", "key", "found"),
    [
        ("gate: {signature: on}", "gate.signature", "True"),
        ("gate: {trial: {nice: true}}", "gate.trial.nice", "True"),
        ("gate: {trial: {memory_mb: on}}", "gate.trial.memory_mb", "True"),
        ("gate: {golden: {dir: off}}", "gate.golden.dir", "False"),
        ("gate: {golden: {atol: false}}", "gate.golden.atol", "False"),
        ("gate: {replay: {max_abs: true}}", "gate.replay.max_abs", "True"),
        ("gate: {replay: {requests: off}}", "gate.replay.requests", "False"),
        ("probation: {non_finite: off}", "probation.non_finite", "False"),
        ("probation: {seconds: on}", "probation.seconds", "True"),
    ],
)
def test_boolean_where_none_is_meant_is_refused(tmp_path: Path, text: str, key: str, found: str) -> None:
    path = tmp_path / "config.yaml"
    assert refused(tmp_path, text) == f"{path}: {key}: found {found}, expected a number or text, not a boolean"


@pytest.mark.parametrize(
    ("text", "key", "found", "expected"),
    [
        ("gate: {integrity: {required: maybe}}", "gate.integrity.required", "'maybe'", "a valid boolean"),
        ("gate: {structure: {max_model_mb: 0}}", "gate.structure.max_model_mb", "0", "greater than 0"),
        ("gate: {memory: {factor: -1}}", "gate.memory.factor", "-1", "greater than or equal to 0"),
        ("gate: {trial: {timeout_seconds: 0}}", "gate.trial.timeout_seconds", "0", "greater than 0"),
        ("gate: {trial: {nice: 20}}", "gate.trial.nice", "20", "less than or equal to 19"),
        ("gate: {trial: {memory_mb: 0}}", "gate.trial.memory_mb", "0", "'auto'; or greater than 0"),
        ("gate: {trial: {compile: maybe}}", "gate.trial.compile", "'maybe'", "'auto', 'on' or 'off'"),
        ("gate: {signature: strict}", "gate.signature", "'strict'", "'warn', 'compatible', 'exact' or 'off'"),
        ("gate: {golden: {rtol: .inf}}", "gate.golden.rtol", "inf", "a finite number"),
        ("gate: {replay: {max_errors: 1.5}}", "gate.replay.max_errors", "1.5", "less than or equal to 1"),
        ("gate: {replay: {per_second: 0}}", "gate.replay.per_second", "0", "greater than 0"),
        ("gate: {replay: {max_speed_ratio: fast}}", "gate.replay.max_speed_ratio", "'fast'", "a valid number"),
        ("gate: {trial: 5}", "gate.trial", "5", "a mapping of settings"),
        ("gate: [1]", "gate", "[1]", "a mapping of settings"),
        ("probation: {max_error_rate: 5}", "probation.max_error_rate", "5", "less than or equal to 1"),
        ("probation: {non_finite: refuse}", "probation.non_finite", "'refuse'", "'warn' or 'rollback'"),
        ("probation: {min_requests: 0}", "probation.min_requests", "0", "greater than or equal to 1"),
    ],
)
def test_wrong_value_in_a_nested_section_is_told_with_file_key_found_and_allowed(
    tmp_path: Path, text: str, key: str, found: str, expected: str
) -> None:
    sentence = refused(tmp_path, text)
    assert sentence.startswith(f"{tmp_path / 'config.yaml'}: {key}: found {found}, expected ")
    assert expected in sentence


def test_limit_that_is_null_is_none(tmp_path: Path) -> None:
    replay = loaded(tmp_path, "gate: {replay: {max_abs: null, max_errors: 0, max_speed_ratio: }}").gate.replay
    assert (replay.max_abs, replay.max_errors, replay.max_speed_ratio) == (None, 0, None)


@pytest.mark.parametrize(
    ("variable", "value", "key", "found"),
    [
        ("MODELDROP_GATE__TRIAL__NICE", "many", "gate.trial.nice", "'many'"),
        ("MODELDROP_GATE__TRIAL", '{"nice": "many"}', "gate.trial.nice", "'many'"),
        ("MODELDROP_GATE", '{"trial": {"nice": "many"}}', "gate.trial.nice", "'many'"),
        ("MODELDROP_GATE__SIGNATURE", "strict", "gate.signature", "'strict'"),
        ("MODELDROP_GATE__INTEGRITY__REQUIRED", "maybe", "gate.integrity.required", "'maybe'"),
    ],
)
def test_wrong_nested_value_from_the_environment_is_blamed_on_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, key: str, found: str
) -> None:
    monkeypatch.setenv(variable, value)
    sentence = refused(tmp_path, "gate: {trial: {nice: 1}}")
    assert sentence.startswith(f"environment: {variable}: {key}: found {found}, expected ")


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("MODELDROP_GATE__TRIAL__NIC", "gate.trial.nice"),
        ("MODELDROP_GATE__NICE", "gate.trial.nice"),
        ("MODELDROP_TRIAL__NICE", "gate.trial.nice"),
        ("MODELDROP_GATE_TRIAL__NICE", "gate.trial.nice"),
    ],
)
def test_unknown_nested_variable_is_told_with_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, nearest: str
) -> None:
    monkeypatch.setenv(variable, "1")
    assert refused(tmp_path, "") == f"environment: {variable}: no such setting; did you mean {nearest}?"
