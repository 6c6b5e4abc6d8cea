"""How any text is shown within one line: what cannot be printed is escaped; pure, any thread."""

import re

_NEEDS_QUOTES = re.compile(r'[\s"\'=\\]')
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    r"""The text with every character that cannot be printed escaped, so that it is one line of valid Unicode.

    Line breaks become ``\n``, bytes of a file name that are not UTF-8 ``\xff``, others (terminal escapes, marks that
    turn the direction of writing) ``\x1b`` or ``\u202e``. A backslash stays as it is.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def quoted(text: str, *, always: bool = False) -> str:
    """The text as one value of a log line: as it is, or between double quotes where it needs them."""
    if not always and text and text.isprintable() and not _NEEDS_QUOTES.search(text):
        return text
    return '"' + visible(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8 (PEP 383)
        code -= 0xDC00
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return _NAMED.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
