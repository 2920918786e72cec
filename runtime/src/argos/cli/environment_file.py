"""The syntax of systemd's EnvironmentFile=, as far as Argos writes it (systemd.exec(5))."""

from __future__ import annotations


def parse(text: str) -> dict[str, str]:
    r"""Return the assignments in ``text``.

    Blank lines and lines that begin with ``#`` or ``;`` are skipped; a value may
    stand in single or double quotes, and within double quotes or none a backslash
    takes the next character literally. A line without ``=`` is skipped, as
    systemd does.

    >>> parse('A=1\n# no\nB="two \\"2\\""\nC=\'$x\'\n')
    {'A': '1', 'B': 'two "2"', 'C': '$x'}
    """
    found: dict[str, str] = {}
    for line in text.replace("\\\n", "").splitlines():
        stripped = line.strip()
        if not stripped or stripped[0] in "#;" or "=" not in stripped:
            continue
        name, _unused, value = stripped.partition("=")
        found[name.strip()] = _unquote(value.strip())
    return found


def _unquote(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == "'":
        return value[1:-1]
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    characters = iter(value)
    return "".join(next(characters, "") if character == "\\" else character for character in characters)
