"""Make text safe to show: without secrets, without control characters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"
# Words that make a name that of a secret, "key" as in api_key and AWSAccessKeyId.
SECRET = frozenset(
    {
        *("apikey", "authorization", "cookie", "credential", "credentials", "key", "passphrase"),
        *("passwd", "password", "pwd", "secret", "sig", "signature", "token"),
    }
)
# user:password@ of an address, with a scheme or without one. A stage of DVC has the same shape,
# `dvc.yaml:amid@avlips`, and so has a container's image, `python:3.12@sha256:...`.
_USER = re.compile(
    r"(?<=://)[^\s/?#'\"]+@"
    r"|(?<![\w/])(?<!dvc\.)(?!dvc\.yaml:)[^\s/:@'\"]+:[^\s/@'\"]+@(?=\w)(?!sha256:)"
)
_PAIR = re.compile(
    r"(?P<name>[A-Za-z][\w.%-]*)(?P<between>['\"]?\s*(?:=|:(?!//))\s*|'\s+is\s+(?=['\"]))"
    r"(?=(?P<value>'[^']*'|\"[^\"]*\"|(?:(?:Basic|Bearer)\s+)?[^\s&;,'\")\]}]+))"
)


def redact(text: str) -> str:
    """Replace secrets in a text by MASK: users and passwords in addresses, and the value of every
    `name=value` or `name: value`, also in queries, whose name is that of a secret."""
    text = _USER.sub(f"{MASK}@", text)
    kept, at = [], 0
    for found in _PAIR.finditer(text):
        if is_secret(found["name"]) and found.end() >= at:
            quote = found["value"][0] if found["value"][0] in "'\"" else ""
            kept += [text[at : found.end()], quote, MASK, quote]
            at = found.end("value")
    return "".join([*kept, text[at:]])


def redact_values(values: Mapping[str, Any]) -> dict[str, str]:
    """`redact` the values of parameters or tags; the whole value where the name is a secret's."""
    return {
        name: MASK if is_secret(name) and value not in (None, "") else redact(str(value))
        for name, value in values.items()
    }


def is_secret(name: str) -> bool:
    """Whether a parameter of this name holds a secret: `api_key`, `options.token`, `X-Amz-Sig`.

    A `KeyError: 'alpha'` is an error and no key.
    """
    if name.endswith(("Error", "Exception", "Warning")):
        return False
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return not SECRET.isdisjoint(re.split(r"[^a-z0-9]+", apart))


def escape_control(text: str) -> str:
    """The text on one line, with control and other unprintable characters as escapes: a label may
    contain a line feed, or codes that move a terminal's cursor."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
