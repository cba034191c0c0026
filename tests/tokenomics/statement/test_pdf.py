"""The PDF, opened by another library: all of it is there, on the page, on numbered pages with repeated heads."""

import re
from pathlib import Path

import pypdfium2
import pytest

from tests.tokenomics.ledger.conftest import digest
from tests.tokenomics.statement.conftest import made_up
from tokenomics import Token
from tokenomics.ledger import Ledger
from tokenomics.statement import Balance, Statement, read_statement
from tokenomics.statement.pdf import to_pdf


def pages(data: bytes) -> list[str]:
    """The text of each page; every character of it must lie within the margins."""
    document = pypdfium2.PdfDocument(data)
    texts = []
    for page in document:
        width, height = page.get_size()
        text = page.get_textpage()
        for index in range(text.count_chars()):
            left, bottom, right, top = text.get_charbox(index)
            assert 36 <= left <= right <= width - 36, text.get_text_range(index, 1)
            assert 36 <= bottom <= top <= height - 36, text.get_text_range(index, 1)
        texts.append(text.get_text_range())
    return texts


@pytest.mark.parametrize(("n_lines", "n_pages"), [(0, 1), (1, 1), (300, range(7, 12))])
def test_every_line_is_on_a_numbered_page_below_a_head(n_lines: int, n_pages: int | range) -> None:
    changes = [(0, 10**9 + number) if number % 3 else (10**9, -(10**9)) for number in range(1, n_lines + 1)]
    found = pages(to_pdf(made_up(changes, opening=Balance(vested=1, pending=2))))
    assert len(found) in (n_pages if isinstance(n_pages, range) else {n_pages})
    receipts = [receipt for text in found for receipt in re.findall(r"\b[0-9a-f]{64}\b", text)]
    assert [one for one in receipts if one not in {digest("alice"), digest("root")}] == [
        digest(number) for number in range(1, n_lines + 1)
    ]
    for number, text in enumerate(found, start=1):
        assert f"page {number} of {len(found)}" in text
        if re.search(r"^\d{4}-\d\d-\d\d", text, re.MULTILINE):
            assert "vested after" in text
    assert ("Nothing was moved in this period." in found[0]) == (n_lines == 0)


def test_it_says_whose_it_is_and_how_to_check_it() -> None:
    statement = made_up([(0, 5), (5, -5)])
    text = " ".join(" ".join(pages(to_pdf(statement))).split())
    base64_root = statement.tree.text.splitlines()[2]
    for words in (
        *("digits", "DIG, 9 decimals", statement.whose, "rounds 1 to 2", "0.000000005", "Closing balance"),
        *(statement.tree.origin, statement.tree.root, base64_root, f"{statement.tree.size} leaves"),
        *("subnet ledger prove", f"subnet verify proof.json --key {statement.key}"),
    ):
        assert words in text, words


@pytest.mark.parametrize("decimals", [0, 9, 18])
def test_the_widest_of_everything_stays_on_the_page(decimals: int) -> None:
    """The largest amount that a ledger holds, the longest symbol, a long name, a round in the millions of millions."""
    largest = 2**63 - 1
    statement = made_up(
        [(0, largest), (largest, -largest)], token=Token("W" * 16, decimals), subnet="<b>W & " + "W" * 121
    )
    long = Statement(
        **{name: getattr(statement, name) for name in Statement.__slots__}
        | {"key": f"{'w' * 128}/0123456789abcdef+0d9724b2+{'W' * 44}", "first": 10**12, "last": 10**12 + 1}
    )
    [text] = pages(to_pdf(long))
    digits = str(largest)
    shown = f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits
    assert shown in text
    assert "<b>W & W" in text


def test_the_same_statement_gives_the_same_bytes(ledger_file: Path) -> None:
    """Also one that was read again; another one doesn't."""
    with Ledger.open(ledger_file, read_only=True) as ledger:
        one, again, other = (to_pdf(read_statement(ledger, digest(name))) for name in ("bob", "bob", "alice"))
    assert one == again != other


def test_letters_that_the_fonts_lack_become_question_marks() -> None:
    assert "é 数字".encode("cp1252", "replace").decode("cp1252") == "é ??"
    assert "é ??" in pages(to_pdf(made_up([], subnet="é 数字")))[0]
