"""Ids that derive from several texts: no two callers, keys or sessions ever share one, and none in use changes."""

import hashlib
from itertools import combinations

import pytest

from orchestrator.domain.conversations import conversation_id, turn_job_id
from orchestrator.domain.ids import JobKind, digest, idempotent_job_id, joined
from orchestrator.domain.webhooks import delivery_id


@pytest.mark.parametrize("by", ["\0", "@"])
def test_texts_that_are_cut_elsewhere_are_other_texts(by: str):
    """Every way to give one to four texts out of a few nasty ones."""
    nasty = ("a", "b", "", by, f"a{by}b", f"{by}1:a", "1:a", f"1:a{by}", f"3:a{by}b1:c")
    entries: dict[str, tuple[str, ...]] = {}
    lists: list[tuple[str, ...]] = [(one,) for one in nasty]
    for _ in range(3):
        lists += [(*parts, one) for parts in lists if len(parts) == len(lists[-1]) for one in nasty]
    for parts in lists:
        assert entries.setdefault(joined(*parts, by=by), parts) == parts
    assert len(entries) == len(set(lists))


def test_a_session_cannot_be_named_so_that_it_joins_another():
    turns = [
        turn_job_id("owner", "a\0b", "c", "d"),
        turn_job_id("owner", "a", "b\0c", "d"),
        turn_job_id("owner", "a", "b", "c\0d"),
        idempotent_job_id(JobKind.WORKFLOW, "owner", "chat\0a\0b\0c\0d"),
        idempotent_job_id(JobKind.WORKFLOW, "owner\0workflow\0chat", "a\0b\0c\0d"),
    ]
    for one, other in combinations(turns, 2):
        assert one != other
    assert conversation_id("a", "b\0c") != conversation_id("a\0b", "c")
    assert delivery_id("a\0b", None) != delivery_id("a", "b\0")


def test_ids_that_are_in_use_stay_the_same():
    def old(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    assert conversation_id("key_1", "s é") == "conv_" + old("key_1\0s é")
    assert idempotent_job_id(JobKind.AGENT, "key_1", "k") == "job_" + old("key_1\0agent\0k")
    assert turn_job_id("key_1", "s", "r", "d") == "wf_job_" + old("key_1\0workflow\0chat\0s\0r\0d")
    assert delivery_id("job_1", "wh_1") == "whd_" + old("job_1\0wh_1")
    assert delivery_id("job_1", None) == "whd_" + old("job_1\0")
    assert joined("job_1", "2026-11-26T00:00:00+00:00", by="@") == "job_1@2026-11-26T00:00:00+00:00"
    assert digest("a", "b")[:32] == old("a\0b")
