"""Who may call what: the contract's table, line by line, as the pure functions decide it."""

from collections.abc import Mapping

import pytest

from daemon.errors import Forbidden, ModeldropError, Unauthorized, UnsupportedMediaType
from daemon.web.access import Head, Tokens, authorise, is_local

NO_TOKENS, ADMIN_ONLY, PREDICT_ONLY, BOTH = Tokens("", ""), Tokens("adm", ""), Tokens("", "pre"), Tokens("adm", "pre")
LOCAL = {"HOST": "127.0.0.1:5000"}
OPEN_PATHS = ("/", "/healthz", "/readyz", "/v2", "/v2/health/live", "/ping")
PREDICT_PATHS = ("/predict", "/models/m/predict")
READ_PATHS = ("/models", "/models/m", "/models/m/releases", "/events", "/metrics", "/v2/repository/index")
ADMIN_PATHS = ("/update_model", "/models/m/upload", "/models/m/rollback", "/v2/repository/models/m/unload")


def verdict(path: str, tokens: Tokens, headers: Mapping[str, str] = LOCAL, *, peer: str = "127.0.0.1") -> str:
    """What becomes of a request: ``ok``, or the name of the error."""
    try:
        authorise(Head(path, headers, peer), tokens)
    except ModeldropError as error:
        return type(error).__name__
    return "ok"


def bearing(token: str) -> dict[str, str]:
    return {**LOCAL, "AUTHORIZATION": f"Bearer {token}"}


def far(headers: Mapping[str, str] | None = None) -> dict[str, str]:
    return {"HOST": "models.example:5000", **(headers or {})}


@pytest.mark.parametrize("tokens", [NO_TOKENS, ADMIN_ONLY, PREDICT_ONLY, BOTH])
@pytest.mark.parametrize("path", OPEN_PATHS)
def test_open_routes_need_nothing(path: str, tokens: Tokens) -> None:
    assert verdict(path, tokens, far(), peer="203.0.113.9") == "ok"


@pytest.mark.parametrize(
    ("tokens", "sent", "expected"),
    [
        (NO_TOKENS, None, "ok"),
        (ADMIN_ONLY, None, "ok"),
        (PREDICT_ONLY, None, "Unauthorized"),
        (PREDICT_ONLY, "wrong", "Unauthorized"),
        (PREDICT_ONLY, "pre", "ok"),
        (BOTH, None, "Unauthorized"),
        (BOTH, "pre", "ok"),
        (BOTH, "adm", "ok"),
    ],
)
@pytest.mark.parametrize("path", PREDICT_PATHS)
def test_predictions_need_the_predict_token_when_it_is_set(
    path: str, tokens: Tokens, sent: str | None, expected: str
) -> None:
    headers = far({} if sent is None else {"AUTHORIZATION": f"Bearer {sent}"})
    assert verdict(path, tokens, headers, peer="203.0.113.9") == expected


@pytest.mark.parametrize(
    ("tokens", "sent", "expected"),
    [
        (NO_TOKENS, None, "ok"),
        (ADMIN_ONLY, None, "Unauthorized"),
        (ADMIN_ONLY, "adm", "ok"),
        (PREDICT_ONLY, None, "Unauthorized"),
        (PREDICT_ONLY, "pre", "ok"),
        (BOTH, "pre", "ok"),
        (BOTH, "adm", "ok"),
        (BOTH, "wrong", "Unauthorized"),
    ],
)
@pytest.mark.parametrize("path", READ_PATHS)
def test_reading_needs_any_token_when_one_is_set(path: str, tokens: Tokens, sent: str | None, expected: str) -> None:
    headers = far({} if sent is None else {"AUTHORIZATION": f"Bearer {sent}"})
    assert verdict(path, tokens, headers, peer="203.0.113.9") == expected


@pytest.mark.parametrize(
    ("tokens", "sent", "expected"),
    [
        (ADMIN_ONLY, None, "Unauthorized"),
        (ADMIN_ONLY, "adm", "ok"),
        (BOTH, "pre", "Unauthorized"),
        (BOTH, "adm", "ok"),
    ],
)
@pytest.mark.parametrize("peer", ["127.0.0.1", "203.0.113.9", "unix"])
@pytest.mark.parametrize("path", ADMIN_PATHS)
def test_admin_routes_need_the_admin_token_from_everywhere_when_it_is_set(
    path: str, peer: str, tokens: Tokens, sent: str | None, expected: str
) -> None:
    headers = far({} if sent is None else {"AUTHORIZATION": f"Bearer {sent}"})
    assert verdict(path, tokens, headers, peer=peer) == expected


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("127.0.0.1", "ok"),
        ("127.8.8.8", "ok"),
        ("::1", "ok"),
        ("::ffff:127.0.0.1", "ok"),
        ("unix", "ok"),
        ("203.0.113.9", "Forbidden"),
        ("::ffff:203.0.113.9", "Forbidden"),
        ("fe80::1%eth0", "Forbidden"),
        ("10.0.0.1", "Forbidden"),
        ("0.0.0.0", "Forbidden"),
        ("", "Forbidden"),
        ("not-an-address", "Forbidden"),
    ],
)
@pytest.mark.parametrize("tokens", [NO_TOKENS, PREDICT_ONLY])
def test_admin_routes_without_an_admin_token_answer_this_machine_alone(
    peer: str, expected: str, tokens: Tokens
) -> None:
    assert verdict("/update_model", tokens, peer=peer) == expected


def test_predict_token_is_no_admin_token() -> None:
    assert verdict("/update_model", PREDICT_ONLY, {**bearing("pre"), "HOST": "models.example"}) == "Forbidden"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "ok"),
        ("127.0.0.1:5000", "ok"),
        ("localhost:5000", "ok"),
        ("LocalHost", "ok"),
        ("[::1]", "ok"),
        ("[::1]:5000", "ok"),
        ("models.example", "Forbidden"),
        ("127.0.0.1.models.example", "Forbidden"),
        ("localhost.models.example:5000", "Forbidden"),
        ("localhost:5000:80", "Forbidden"),
        ("localhost@models.example", "Forbidden"),
        ("", "Forbidden"),
    ],
)
def test_admin_routes_without_an_admin_token_need_a_host_of_this_machine(host: str, expected: str) -> None:
    assert verdict("/update_model", NO_TOKENS, {"HOST": host}) == expected


def test_admin_routes_without_an_admin_token_need_a_host() -> None:
    assert verdict("/update_model", NO_TOKENS, {}) == "Forbidden"


@pytest.mark.parametrize("header", ["FORWARDED", "X_FORWARDED_FOR", "X_FORWARDED_HOST", "X_REAL_IP", "VIA"])
def test_proxy_on_this_machine_does_not_make_its_clients_local(header: str) -> None:
    assert verdict("/update_model", NO_TOKENS, {**LOCAL, header: "203.0.113.9"}) == "Forbidden"
    assert verdict("/update_model", ADMIN_ONLY, {**bearing("adm"), header: "203.0.113.9"}) == "ok"


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("http://127.0.0.1:5000", "127.0.0.1:5000", "ok"),
        ("http://LOCALHOST:5000", "localhost:5000", "ok"),
        ("https://evil.example", "127.0.0.1:5000", "Forbidden"),
        ("http://127.0.0.1:8080", "127.0.0.1:5000", "Forbidden"),
        ("http://localhost:5000", "127.0.0.1:5000", "Forbidden"),
        ("null", "127.0.0.1:5000", "Forbidden"),
        ("", "127.0.0.1:5000", "Forbidden"),
        ("http://[", "127.0.0.1:5000", "Forbidden"),
    ],
)
@pytest.mark.parametrize("tokens", [NO_TOKENS, ADMIN_ONLY])
def test_admin_routes_refuse_another_sites_page_with_or_without_a_token(
    origin: str, host: str, expected: str, tokens: Tokens
) -> None:
    headers = {**bearing("adm"), "HOST": host, "ORIGIN": origin}
    assert verdict("/update_model", tokens, headers) == expected


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/x-www-form-urlencoded", "UnsupportedMediaType"),
        ("multipart/form-data; boundary=x", "UnsupportedMediaType"),
        ("text/plain", "UnsupportedMediaType"),
        ("Text/Plain;charset=UTF-8", "UnsupportedMediaType"),
        (" text/plain ", "UnsupportedMediaType"),
        ("application/json", "ok"),
        ("application/octet-stream", "ok"),
        ("", "ok"),
    ],
)
@pytest.mark.parametrize("tokens", [NO_TOKENS, ADMIN_ONLY])
@pytest.mark.parametrize("path", ADMIN_PATHS)
def test_admin_routes_refuse_what_any_form_could_send(
    path: str, content_type: str, expected: str, tokens: Tokens
) -> None:
    assert verdict(path, tokens, {**bearing("adm"), "CONTENT_TYPE": content_type}) == expected


def test_admin_routes_take_a_request_without_a_content_type() -> None:
    assert verdict("/v2/repository/models/m/load", NO_TOKENS) == "ok"


def test_predictions_take_a_form_and_any_origin() -> None:
    headers = {**far(), "CONTENT_TYPE": "application/x-www-form-urlencoded", "ORIGIN": "https://page.example"}
    assert verdict("/predict", NO_TOKENS, headers) == "ok"


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        ("Bearer adm", "ok"),
        ("bearer adm", "ok"),
        ("BEARER  adm ", "ok"),
        ("Bearer admx", "Unauthorized"),
        ("Bearer ad", "Unauthorized"),
        ("Bearer ADM", "Unauthorized"),
        ("Bearer", "Unauthorized"),
        ("Bearer ", "Unauthorized"),
        ("Basic adm", "Unauthorized"),
        ("adm", "Unauthorized"),
        ("", "Unauthorized"),
    ],
)
def test_token_travels_as_bearer(authorization: str, expected: str) -> None:
    assert verdict("/update_model", ADMIN_ONLY, {**LOCAL, "AUTHORIZATION": authorization}) == expected


def test_token_that_is_not_ascii_opens_as_clients_send_it() -> None:
    sent = "密码".encode().decode("latin-1")  # as WSGI hands on UTF-8 bytes
    assert verdict("/update_model", Tokens("密码", ""), bearing(sent)) == "ok"
    assert verdict("/update_model", Tokens("密码", ""), bearing("密碼")) == "Unauthorized"


@pytest.mark.parametrize(
    ("path", "authorization", "sentence"),
    [
        ("/models", None, "found none"),
        ("/models", "Basic cHJlOnByZQ==", "found another scheme: send Authorization: Bearer TOKEN"),
        ("/models", "pre", "found another scheme"),
        ("/models", "Bearer", "found no token"),
        ("/models", "Bearer wrong", "not one that opens this route"),
        ("/update_model", "Basic cHJlOnByZQ==", "found another scheme"),
        ("/update_model", "Bearer wrong", "not one that opens this route"),
        ("/update_model", "Bearer pre", "needs the admin token (auth.admin_token), found the one for predictions"),
    ],
)
def test_401_says_what_was_found(path: str, authorization: str | None, sentence: str) -> None:
    headers = LOCAL if authorization is None else {**LOCAL, "AUTHORIZATION": authorization}
    with pytest.raises(Unauthorized) as caught:
        authorise(Head(path, headers, "127.0.0.1"), BOTH)
    assert sentence in str(caught.value)
    assert "cHJl" not in str(caught.value)


def test_empty_predict_token_is_none_that_was_sent() -> None:
    with pytest.raises(Unauthorized, match="not one that opens"):
        authorise(Head("/update_model", {**LOCAL, "AUTHORIZATION": "Bearer x"}, "127.0.0.1"), ADMIN_ONLY)


@pytest.mark.parametrize("path", ["/models/m/upload", "/v2/repository/models/m/load"])
def test_model_that_is_packed_is_refused_by_its_encoding(path: str) -> None:
    for encoding in ("identity", "", " Identity "):
        authorise(Head(path, {**LOCAL, "CONTENT_ENCODING": encoding}, "127.0.0.1"), NO_TOKENS)
    with pytest.raises(UnsupportedMediaType, match="found content encoding 'gzip', expected none: send it unpacked"):
        authorise(Head(path, {**LOCAL, "CONTENT_ENCODING": "gzip"}, "127.0.0.1"), NO_TOKENS)


def test_other_admin_bodies_may_be_packed() -> None:
    authorise(Head("/update_model", {**LOCAL, "CONTENT_ENCODING": "gzip"}, "127.0.0.1"), NO_TOKENS)


def test_empty_token_opens_nothing() -> None:
    assert verdict("/models", ADMIN_ONLY, {**LOCAL, "AUTHORIZATION": "Bearer  "}) == "Unauthorized"


@pytest.mark.parametrize(
    ("headers", "tokens", "error"),
    [
        ({**LOCAL, "AUTHORIZATION": "Bearer s3cret"}, ADMIN_ONLY, Unauthorized),
        ({"HOST": "models.example"}, NO_TOKENS, Forbidden),
        ({**LOCAL, "CONTENT_TYPE": "text/plain"}, NO_TOKENS, UnsupportedMediaType),
    ],
)
def test_refusal_says_what_was_expected_and_never_a_token(
    headers: dict[str, str], tokens: Tokens, error: type[ModeldropError]
) -> None:
    with pytest.raises(error) as caught:
        authorise(Head("/update_model", headers, "127.0.0.1"), tokens)
    assert str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "adm" not in str(caught.value).replace("admin", "")


@pytest.mark.parametrize(
    ("peer", "expected"), [("127.0.0.1", True), ("::1", True), ("unix", True), ("localhost", False), ("1.2.3.4", False)]
)
def test_local_is_loopback_or_a_unix_socket(peer: str, expected: bool) -> None:
    assert is_local(peer) is expected
