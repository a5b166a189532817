"""Secrets in texts: escaped by JSON, Python or an address, they are masked, too."""

import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from orchestrator.runtime.masking import masked, scrub

SECRETS = ('pa"ss\\wörd1', "it's/one two+50%", "both\"'kinds", "line\nand\ttab", "back\\\\slashes", "plain-key-1")
FORMS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "json": lambda secret: json.dumps({"k": secret}),
    "json_unicode": lambda secret: json.dumps({"k": secret}, ensure_ascii=False),
    "json_in_json": lambda secret: json.dumps({"k": json.dumps([secret])}),
    "repr": repr,
    "ascii": ascii,
    "key_error": lambda secret: str(KeyError(secret)),
    "repr_of_json": lambda secret: repr(json.dumps({"k": secret})),
    "repr_beside_both_quotes": lambda secret: repr(f'"it\'s" {secret}'),
    "bytes": lambda secret: repr(secret.encode()),
    "address": lambda secret: quote(secret, safe="/*"),
    "part_of_an_address": lambda secret: re.sub("%..", lambda code: code[0].lower(), quote(secret, safe="*")),
    "form": lambda secret: "key=" + quote_plus(secret, safe="*"),
    "page": html.escape,
}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_masked_in_every_form(form: str, secret: str):
    assert _bare(masked(FORMS[form](secret), [secret])) == _bare(FORMS[form]("***"))


def _bare(text: str) -> str:
    """Without quotation marks: the secret's own decide which ones Python writes around it."""
    return text.translate(str.maketrans("", "", "\\\"'"))


def test_the_longest_secret_is_masked_first_and_other_text_stays():
    assert masked("key-1-long and key-1", ["key-1", "key-1-long"]) == "*** and ***"
    assert masked("pa ss", ['pa"ss']) == "pa ss"


def test_a_providers_message_with_an_escaped_key_is_masked():
    assert scrub(json.dumps({"error": 'no pa"ss-1'}), ['pa"ss-1']) == '{"error": "no ***"}'
