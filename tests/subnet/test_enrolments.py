"""Kept enrolments: which coldkey a hotkey works for, in its own signed words."""

import pytest

from clients.contribution import Enrolment, Signed, sign_enrolment
from clients.errors import ContributionError
from subnet.enrolments import Enrolments
from subnet.errors import StoreError
from tokenomics.keys import BINDING_DOMAIN, Wallet

ADA, BEN = (Wallet.from_seed(bytes([number]) * 32) for number in range(2))


def enrolled(wallet, *, coldkey=None, challenge="c"):
    """A wallet's signed enrolment, on request for a coldkey that isn't its own but signs its hotkey."""
    owner = coldkey or wallet.coldkey
    hotkey = wallet.hotkey.keypair.public
    document = Enrolment(
        subnet="5" * 64,
        hotkey=hotkey,
        coldkey=owner.public,
        binding=owner.sign(BINDING_DOMAIN, hotkey.encode()),
        challenge=challenge,
    )
    return sign_enrolment(document, wallet.hotkey)


def test_the_first_enrolment_is_kept(tmp_path):
    """A node that comes back enrols again, and nothing changes; before anyone enrolled there is nothing."""
    enrolments = Enrolments(tmp_path)
    assert enrolments.coldkeys() == {}
    for signed in (enrolled(ADA), enrolled(ADA, challenge="again"), enrolled(BEN)):
        enrolments.keep(signed)
    assert Enrolments(tmp_path).coldkeys() == {one.hotkey.keypair.public: one.coldkey.public for one in (ADA, BEN)}
    file = tmp_path / "enrolments" / f"{ADA.hotkey.keypair.public}.json"
    assert Signed.from_bytes(file.read_bytes()) == enrolled(ADA)


def test_a_stolen_hotkey_cant_be_moved_to_another_coldkey(tmp_path):
    """The thief has the hotkey and a coldkey that signs it; the first coldkey stays."""
    enrolments = Enrolments(tmp_path)
    enrolments.keep(enrolled(ADA))
    with pytest.raises(ContributionError, match="works for coldkey"):
        enrolments.keep(enrolled(ADA, coldkey=BEN.coldkey))
    assert enrolments.coldkeys()[ADA.hotkey.keypair.public] == ADA.coldkey.public


def test_an_unsigned_enrolment_isnt_kept(tmp_path):
    """Somebody else's signature under it."""
    with pytest.raises(ContributionError, match="signature"):
        Enrolments(tmp_path).keep(Signed(document=enrolled(ADA).document, signature=enrolled(BEN).signature))
    assert not (tmp_path / "enrolments").exists()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"document":1,"signature":2}', enrolled(BEN).to_bytes()])
def test_an_altered_file_is_found(tmp_path, content):
    """When it is read and when the node enrols again: junk, and another's enrolment under this name."""
    enrolments = Enrolments(tmp_path)
    enrolments.keep(enrolled(ADA))
    (tmp_path / "enrolments" / f"{ADA.hotkey.keypair.public}.json").write_bytes(content)
    with pytest.raises(StoreError):
        enrolments.coldkeys()
    with pytest.raises(StoreError):
        enrolments.keep(enrolled(ADA))


def test_a_folder_that_cant_be_written_to_is_named(tmp_path):
    """A file where the folder should be."""
    (tmp_path / "enrolments").write_text("")
    with pytest.raises(StoreError, match="enrolments"):
        Enrolments(tmp_path).keep(enrolled(ADA))
