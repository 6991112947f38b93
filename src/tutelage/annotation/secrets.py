"""API keys: read from the environment, sent to the server, and nowhere else.

A recipe names the variable. The key itself must not come into a recipe, a store, a log or the text of an error, where
it would be copied and sent on.
"""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import urlsplit

from tutelage.errors import RecipeError

OFFICIAL = "https://api.openai.com/v1"
NO_KEY = "none"
"""What a server that asks for no key is sent; the SDK insists on something."""


def check_address(base_url: str | None, api_key_env: str | None) -> None:
    """Raise RecipeError where a call could not be made, or would show the key to others. Says nothing of the key."""
    if api_key_env is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", api_key_env):
        raise RecipeError(
            "teacher.api_key_env: expected the NAME of an environment variable, in capitals, e.g. OPENAI_API_KEY. "
            "If the key itself stands there, take it out of the recipe, and replace it: it may have been seen."
        )
    if base_url is not None:
        _check_url(base_url, has_key=api_key_env is not None)
    variable = variable_of(base_url, api_key_env)
    if variable is not None and not os.environ.get(variable, "").strip():
        raise RecipeError(
            f"teacher.api_key_env: the environment variable {variable} is not set. `export {variable}=...`"
        )
    if variable is not None and not re.fullmatch(r"[!-~]+", os.environ[variable].strip()):
        raise RecipeError(
            f"teacher.api_key_env: {variable} holds white space or letters that no key has. Was something else copied "
            "with the key?"
        )


def variable_of(base_url: str | None, api_key_env: str | None) -> str | None:
    """The variable that holds the key. A server of the user's own needs none unless one is named."""
    return api_key_env or ("OPENAI_API_KEY" if base_url is None or base_url.rstrip("/") == OFFICIAL else None)


def read_key(base_url: str | None, api_key_env: str | None) -> str | None:
    """The key for a server; None where it asks for none."""
    variable = variable_of(base_url, api_key_env)
    return os.environ.get(variable, "").strip() or None if variable else None


def without(text: str, key: str | None) -> str:
    """A text in which the key, or a good part of it, is blotted out: servers repeat it in what they say of it."""
    if not key:
        return text
    text = text.replace(key, "***")
    return text if len(key) < 16 else text.replace(key[:12], "***").replace(key[-12:], "***")


def _check_url(url: str, *, has_key: bool) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise RecipeError(f"teacher.base_url: {error}. Expected an address such as http://localhost:8000/v1") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RecipeError("teacher.base_url: expected an address such as http://localhost:8000/v1")
    if parts.username or parts.password or parts.query:
        raise RecipeError(
            "teacher.base_url: holds a name, a password or a query, which would be copied with the recipe. Give the "
            "address alone, and the key by `api_key_env`."
        )
    if has_key and parts.scheme == "http" and not _is_near(parts.hostname):
        raise RecipeError(
            f"teacher.base_url: a key would go to {parts.hostname} unencrypted. Use https, or drop `api_key_env`."
        )


def _is_near(host: str) -> bool:
    """This machine or one on a private network."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost" or "." not in host or host.endswith((".local", ".localhost", ".internal"))
