"""Secrets at rest: sealed for one place, openable while their key is held."""

import stat
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.db.secrets import SecretBox, SecretUnreadable, load_keys, parse_keys

OLD, NEW = b"o" * 32, b"n" * 32


@given(st.binary(max_size=500), st.text(max_size=20))
def test_what_is_sealed_opens(secret, place):
    box = SecretBox(NEW)
    assert box.decrypt(box.encrypt(secret, place), place) == secret


def test_the_same_secret_is_sealed_differently_each_time():
    box = SecretBox(NEW)
    first, second = box.encrypt(b"token"), box.encrypt(b"token")
    assert first != second and b"token" not in first


@given(st.integers(min_value=0, max_value=200), st.integers(min_value=1, max_value=255))
def test_no_byte_may_change(index, flip):
    box = SecretBox(NEW)
    sealed = bytearray(box.encrypt(b"a secret", "here"))
    sealed[index % len(sealed)] ^= flip
    with pytest.raises(SecretUnreadable):
        box.decrypt(bytes(sealed), "here")


@pytest.mark.parametrize("size", range(0, 34))
def test_a_shortened_one_is_refused(size):
    box = SecretBox(NEW)
    with pytest.raises(SecretUnreadable):
        box.decrypt(box.encrypt(b"")[: min(size, 32)], "")


def test_elsewhere_it_does_not_open():
    box = SecretBox(NEW)
    with pytest.raises(SecretUnreadable):
        box.decrypt(box.encrypt(b"x", "acme/wa/token"), "other/wa/token")


def test_rotation():
    sealed = SecretBox(OLD).encrypt(b"x")
    both = SecretBox(NEW, OLD)
    assert both.decrypt(sealed) == b"x"
    assert not both.is_current(sealed) and both.is_current(both.encrypt(b"x"))
    with pytest.raises(SecretUnreadable):
        SecretBox(NEW).decrypt(sealed)


def test_keys_as_text():
    text = ",".join(urlsafe_b64encode(key).decode().rstrip("=") for key in (NEW, OLD))
    assert parse_keys(text) == [NEW, OLD]


@pytest.mark.parametrize("text", ["short", "ü" * 43, "A" * 44 + "!", ","])
def test_bad_keys_are_refused_without_being_repeated(text):
    with pytest.raises(ValueError) as refused:
        parse_keys(text)
    assert text not in str(refused.value) or text == ","


def test_a_generated_key_is_kept_private(tmp_path):
    folder = tmp_path / "data"
    keys = load_keys(folder, None)
    assert load_keys(folder, "") == keys and len(keys[0]) == 32
    assert stat.S_IMODE((folder / "secret.key").stat().st_mode) == 0o600
    configured = urlsafe_b64encode(NEW).decode()
    assert load_keys(folder, configured) == [NEW]


def test_a_box_shows_nothing():
    assert repr(SecretBox(NEW)) == "SecretBox(1 keys)"
    with pytest.raises(ValueError):
        SecretBox(b"short")
