"""The file of ``argos config export`` and ``import``: YAML, read without its surprises."""

from __future__ import annotations

from typing import Any

import yaml

from argos.edge.export import documents_of, state_of
from argos.edge.plan import State
from argos.errors import FieldError, Invalid

FORMAT = 1
_HEAD = """\
# The declared state of an Argos edge: argos config import FILE brings it back.
# Secrets stand here by name; their values are in the vault, and in backups.
"""


def to_yaml(state: State) -> str:
    """The file."""
    content = {"argos": FORMAT, "declarations": documents_of(state)}
    return _HEAD + yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def from_yaml(raw: bytes) -> State:
    """Read :func:`to_yaml`'s file, which a person may have edited.

    Raises:
        Invalid: it is none, with everything that is wrong.
    """
    try:
        content = yaml.load(raw, Loader=_Loader)  # noqa: S506 - a SafeLoader with less
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise Invalid([FieldError("file", "", f"is no YAML: {reason}", "a file of argos config export")]) from None
    if not isinstance(content, dict) or content.get("argos") != FORMAT or content.keys() - {"argos", "declarations"}:
        wanted = f"argos: {FORMAT}, and declarations"
        raise Invalid([FieldError("file", "", "is no export of this format", wanted)])
    return state_of(content.get("declarations"))


class _Dumper(yaml.SafeDumper):
    """Writes every text so that it is read back as text, and repeats instead of referring."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


class _Loader(yaml.SafeLoader):
    """Knows JSON's types only, no references (they make a small file huge), and no name twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("references (*name) are not read here")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key, deep=True) for key, _value in node.value]
        for name in names:
            if not isinstance(name, str):
                raise yaml.YAMLError(f"a name is {name!r}, which is no text: put it in quotes")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise yaml.YAMLError(f"{twice[0]!r} appears twice in one place")
        return super().construct_mapping(node, deep=deep)


# A date is a text here, as in JSON.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
