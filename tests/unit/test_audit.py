"""`make audit`: what counts as a finding."""

from datetime import date

import pytest

from tests.audit import Excepted, exceptions, verdict

TODAY = date(2026, 11, 26)
SOUND = {"name": "anyio", "version": "4", "vulns": []}
FAULT = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["5"]}
BROKEN = {"name": "h11", "version": "1", "vulns": [FAULT]}


def test_a_vulnerability_is_a_finding_unless_it_is_excepted_by_any_of_its_names() -> None:
    lines, sound = verdict([SOUND, BROKEN], [], TODAY)
    assert (lines[0], sound) == ("h11 1: PYSEC-1, fixed in 5", False)
    known = Excepted("CVE-1", "only servers are concerned", date(2026, 12, 1))
    lines, sound = verdict([SOUND, BROKEN], [known], TODAY)
    assert lines[0].endswith("is excepted until 2026-12-01: only servers are concerned")
    assert sound


def test_an_exception_ends() -> None:
    known = Excepted("CVE-1", "only servers are concerned", date(2026, 11, 25))
    assert not verdict([SOUND, BROKEN], [known], TODAY)[1]
    assert not verdict([SOUND], [known], TODAY)[1]


def test_what_could_not_be_looked_up_is_not_sound() -> None:
    lines, sound = verdict([SOUND, {"name": "x", "skip_reason": "not found"}], [], TODAY)
    assert lines == ["1 of 2 packages are not known to the package index: x", "1 of 2 packages were looked up"]
    assert not sound


def test_an_exception_has_a_reason_and_an_end() -> None:
    text = '[[tool.audit.exceptions]]\nid = "CVE-1"\nreason = "r"\nuntil = 2026-12-01\n'
    assert exceptions(text) == [Excepted("CVE-1", "r", date(2026, 12, 1))]
    with pytest.raises(TypeError, match="until"):
        exceptions(text.replace("until", "#"))
