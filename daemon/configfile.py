"""A YAML file as a mapping, with one helpful line for whatever keeps it from being one. For the main thread."""

from pathlib import Path
from typing import Any

import yaml

from daemon.errors import ConfigError


class _UniqueKeys(yaml.SafeLoader):
    """YAML as it is, but a key that is given twice is an error: the first of the two would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", key_node.start_mark)
            seen.add(str(key))
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that ``path`` holds, empty for an empty file; raises ConfigError, in one line, for anything else."""
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; expected a YAML file with settings (an empty one will do)") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {one_line(error)}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {one_line(error)}") from None
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError(f"{path}: found {type(values).__name__}, expected a mapping of section to settings")
    return values


def one_line(error: object) -> str:
    """An error's text without line breaks."""
    return " ".join(str(error).split())
