"""A place for a name in a path has no colon in it, so that paths with a verb behind a name are others."""

from pathlib import Path

import pytest
from flask import Flask

from daemon.web.names import NameConverter
from tests.web_rig import WebRig


@pytest.mark.parametrize(("path", "status"), [("/of/plain", 200), ("/of/plain:verb", 404), ("/of/a/b", 404)])
def test_name_is_matched_and_what_has_a_verb_is_not(path: str, status: int) -> None:
    app = Flask("bare")
    app.url_map.converters["name"] = NameConverter
    app.add_url_rule("/of/<name:model>", "of", lambda model: model)
    assert app.test_client().get(path).status_code == status


def test_path_with_a_verb_says_truly_which_methods_it_has(tmp_path: Path) -> None:
    with WebRig(tmp_path) as rig:
        for path in ("/v1/models/default:predict", "/v1/models/default/labels/stable:classify"):
            answer = rig.get(path)
            assert (answer.status_code, set(answer.headers["Allow"].split(", "))) == (405, {"POST", "OPTIONS"})
