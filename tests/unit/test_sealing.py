"""What is sealed opens in its own place, with the key or its fallback, and nowhere else."""

import base64

import pytest
from cryptography.fernet import Fernet

from orchestrator.security.sealing import Sealer, Unsealable, callback_secrets

OLD, NEW = "the secret key of last year", "the secret key of this year"


def unbound(secret: str, text: str) -> str:
    """What releases before there were places sealed."""
    return Fernet(base64.urlsafe_b64encode(Sealer(secret).derived("seal"))).encrypt(text.encode()).decode()


def test_what_was_copied_to_another_row_does_not_open():
    sealer = Sealer(OLD)
    sealed = sealer.seal("whsec_ü", "webhooks/wh_1")
    assert sealer.unseal(sealed, "webhooks/wh_1") == "whsec_ü"
    assert sealer.seal("whsec_ü", "webhooks/wh_1") != sealed
    for place in ("webhooks/wh_2", "webhooks/wh_", "users/wh_1", ""):
        with pytest.raises(Unsealable):
            sealer.unseal(sealed, place)


def test_what_was_tampered_with_does_not_open():
    sealer = Sealer(OLD)
    sealed = sealer.seal("whsec_1", "here")
    head, _, body = sealed.rpartition(".")
    data = bytearray(base64.urlsafe_b64decode(body))
    for index in range(len(data)):
        data[index] ^= 1
        with pytest.raises(Unsealable):
            sealer.unseal(f"{head}.{base64.urlsafe_b64encode(data).decode()}", "here")
        data[index] ^= 1
    for broken in ("", "v2.", sealed[:-9], head, "v2.x.ü", f"{head}.AAAA", body, "gAAAAA"):
        with pytest.raises(Unsealable):
            sealer.unseal(broken, "here")


def test_the_fallback_opens_and_does_not_seal():
    before, during, after = Sealer(OLD), Sealer(NEW, OLD), Sealer(NEW)
    sealed = before.seal("whsec_1", "here")
    assert during.unseal(sealed, "here") == "whsec_1"
    assert (during.key_of(sealed, "here"), during.is_current(sealed)) == (before.check_value(), False)
    resealed = during.seal("whsec_1", "here")
    assert after.unseal(resealed, "here") == "whsec_1"
    assert after.is_current(resealed)
    for sealer, text in ((after, sealed), (before, resealed)):
        with pytest.raises(Unsealable):
            sealer.unseal(text, "here")


def test_what_earlier_releases_sealed_opens_and_is_not_current():
    sealed = unbound(OLD, "whsec_1")
    for sealer in (Sealer(OLD), Sealer(NEW, OLD)):
        assert sealer.unseal(sealed, "anywhere") == "whsec_1"
        assert not sealer.is_current(sealed)
    with pytest.raises(Unsealable):
        Sealer(NEW).unseal(sealed, "anywhere")


def test_digests_of_either_key_match_and_new_ones_are_of_the_first():
    during = Sealer(NEW, OLD)
    assert during.matches("token", Sealer(OLD).digest("token"))
    assert during.matches("token", Sealer(NEW).digest("token"))
    assert during.digest("token") == Sealer(NEW).digest("token")
    assert not during.matches("token", Sealer("another secret").digest("token"))
    assert not during.matches("other", Sealer(OLD).digest("token"))
    assert not during.matches("token", "ä")


def test_callbacks_are_signed_with_both_secrets_the_new_one_first():
    (old,), (new,) = callback_secrets(Sealer(OLD), "alice"), callback_secrets(Sealer(NEW), "alice")
    assert callback_secrets(Sealer(NEW, OLD), "alice") == [new, old]
    assert callback_secrets(Sealer(OLD, NEW), "alice") == [old, new]


def test_a_fallback_that_is_the_key_itself_is_none():
    assert Sealer(OLD, OLD).key_ids == Sealer(OLD).key_ids == [Sealer(OLD).check_value()]
    assert Sealer(NEW, OLD).key_ids == [Sealer(NEW).check_value(), Sealer(OLD).check_value()]
