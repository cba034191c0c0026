"""A statement for people, as PDF: balances, every movement, and how to check it. The one module that needs reportlab.

Nothing is fetched, only the fonts that every reader has are used, and the same statement gives the same bytes.
"""

import io
from collections.abc import Callable, Sequence
from typing import Any, Final
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import (
    Flowable,
    KeepTogether,
    LongTable,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
    TableStyle,
)

from tokenomics.statement.lines import MOVED, Balance
from tokenomics.statement.period import utc
from tokenomics.statement.statement import Statement

_PAGE: Final = landscape(A4)
_MARGIN: Final = 14 * mm
_WIDTH: Final = _PAGE[0] - 2 * _MARGIN

_TITLE: Final = ParagraphStyle("title", fontName="Helvetica-Bold", fontSize=16, leading=20)
_TEXT: Final = ParagraphStyle("text", fontName="Helvetica", fontSize=8.5, leading=12)
_HEAD: Final = ParagraphStyle("head", fontName="Helvetica-Bold", fontSize=10, leading=14, spaceBefore=10)
_CODE: Final = ParagraphStyle("code", fontName="Courier", fontSize=7.5, leading=10)

_RULE: Final = colors.HexColor("#b0b0b0")
_SHADE: Final = colors.HexColor("#f2f2f2")

_COLUMNS: Final = {
    "settled (UTC)": 84,
    "round": 48,
    "movement": 96,
    "amount": 94,
    "vested after": 94,
    "pending after": 94,
    "receipt": 240,
}
"""Widths in points: 64 digits in Courier 6 take 231, an amount of 20 characters in Helvetica 7.5 takes 82."""


def to_pdf(statement: Statement) -> bytes:
    """Return a statement as a PDF of landscape A4 pages, the table's head repeated and every page numbered."""
    n_pages = _build(statement, io.BytesIO(), n_pages=0)
    stream = io.BytesIO()
    _build(statement, stream, n_pages=n_pages)
    return stream.getvalue()


def _build(statement: Statement, stream: io.BytesIO, *, n_pages: int) -> int:
    """Write the file; return its number of pages, which the footer of the second time needs."""
    document = SimpleDocTemplate(
        stream,
        pagesize=_PAGE,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN + 6 * mm,
        title=_latin(f"Statement of {statement.name}, {statement.subnet}"),
        author="flower-subnet",
        invariant=1,
    )
    footer = _footer(statement, n_pages)
    document.build(_story(statement), onFirstPage=footer, onLaterPages=footer)
    return int(document.page)


def _story(statement: Statement) -> list[Flowable]:
    return [
        Paragraph("Statement", _TITLE),
        Spacer(1, 6),
        _facts(
            [
                ("Subnet", _words(statement.subnet)),
                ("Token", _words(f"{statement.token.symbol}, {statement.token.decimals} decimals")),
                ("Participant" if statement.is_participant else "Account", Paragraph(_safe(statement.whose), _CODE)),
                ("Period", _words(_period(statement))),
            ]
        ),
        Spacer(1, 8),
        _balances(statement),
        Paragraph("Movements", _HEAD),
        Spacer(1, 4),
        _movements(statement) if statement.lines else _words("Nothing was moved in this period."),
        KeepTogether([Paragraph("How to check it", _HEAD), Spacer(1, 4), *_proof(statement)]),
    ]


def _period(statement: Statement) -> str:
    return (
        f"rounds {statement.first} to {statement.last}, settled from {utc(statement.began_at)} to "
        f"{utc(statement.ended_at)}"
    )


def _facts(rows: Sequence[tuple[str, Flowable]]) -> Table:
    table = Table([[_words(name), value] for name, value in rows], colWidths=[70, _WIDTH - 70], hAlign="LEFT")
    table.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), *_tight()]))
    return table


def _balances(statement: Statement) -> Table:
    def row(name: str, balance: Balance) -> list[str]:
        return [name, _fixed(statement, balance.vested), _fixed(statement, balance.pending)]

    credited, released, voided = (statement.total(kind) for kind in ("credit", "release", "void"))
    at_once = not (statement.vesting and statement.is_participant)
    rows = [
        [f"in {statement.token.symbol}", "vested", "pending"],
        row("Opening balance", statement.opening),
        row("Credited by rounds", Balance(vested=credited) if at_once else Balance(pending=credited)),
        row("Released", Balance(vested=released, pending=-released)),
        row("Voided by strikes", Balance(pending=-voided)),
        *(row(kind.capitalize(), Balance(vested=moved)) for kind, moved in _moved(statement).items()),
        row("Closing balance", statement.closing),
    ]
    table = Table(rows, colWidths=[130, 110, 110], hAlign="LEFT")
    table.setStyle(
        TableStyle(
            [
                ("FONT", (0, 0), (-1, -1), "Helvetica", 8.5),
                ("FONT", (0, 0), (-1, 0), "Helvetica-Bold", 8.5),
                ("FONT", (0, -1), (-1, -1), "Helvetica-Bold", 8.5),
                ("ALIGN", (1, 0), (-1, -1), "RIGHT"),
                ("LINEBELOW", (0, 0), (-1, 0), 0.5, _RULE),
                ("LINEABOVE", (0, -1), (-1, -1), 0.5, _RULE),
                *_tight(),
            ]
        )
    )
    return table


def _moved(statement: Statement) -> dict[str, int]:
    """Return what the orders of each kind changed, without the kinds that there are none of."""
    kinds = dict.fromkeys(line.kind for line in statement.lines if line.kind in MOVED)
    return {kind: sum(line.vested for line in statement.lines if line.kind == kind) for kind in kinds}


def _movements(statement: Statement) -> LongTable:
    rows = [list(_COLUMNS)]
    for line, balance in zip(statement.lines, statement.balances, strict=True):
        what = f"{line.kind} of round {line.earned_in}" if line.kind == "release" else line.kind
        amounts = (_fixed(statement, units) for units in (line.amount, balance.vested, balance.pending))
        settled = utc(line.settled_at).removesuffix(" UTC")
        rows.append([settled, str(line.round), what, *amounts, line.receipt_hash])
    table = LongTable(rows, colWidths=list(_COLUMNS.values()), repeatRows=1, hAlign="LEFT")
    table.setStyle(
        TableStyle(
            [
                ("FONT", (0, 0), (-1, -1), "Helvetica", 7.5),
                ("FONT", (-1, 1), (-1, -1), "Courier", 6),
                ("FONT", (0, 0), (-1, 0), "Helvetica-Bold", 7.5),
                ("ALIGN", (1, 0), (1, -1), "RIGHT"),
                ("ALIGN", (3, 0), (5, -1), "RIGHT"),
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
                ("LINEBELOW", (0, 0), (-1, 0), 0.5, _RULE),
                ("ROWBACKGROUNDS", (0, 1), (-1, -1), (colors.white, _SHADE)),
                *_tight(),
            ]
        )
    )
    return table


def _proof(statement: Statement) -> list[Flowable]:
    command = f"subnet ledger prove RUN ROUND {statement.name} > proof.json"
    return [
        _words(_whence(statement)),
        _words(
            "Every round is a leaf of the validator's log, at the index of its number. Ask the validator, or whoever "
            "has the run's folder, for the proof of a round's lines; check it offline, with a key that you know to be "
            "the validator's:"
        ),
        Spacer(1, 3),
        Paragraph(_safe(command), _CODE),
        Paragraph(_safe(f"subnet verify proof.json --key {statement.key}"), _CODE),
        Spacer(1, 5),
        _facts(
            [
                ("Log", Paragraph(_safe(statement.tree.origin), _CODE)),
                ("Size", Paragraph(f"{statement.tree.size} leaves: the genesis and the rounds", _CODE)),
                ("Root (base64)", Paragraph(_safe(_root(statement)), _CODE)),
                ("Root (hex)", Paragraph(_safe(statement.tree.root), _CODE)),
            ]
        ),
    ]


def _whence(statement: Statement) -> str:
    """Return in words what the column of receipts shows."""
    if not statement.is_participant:
        return "The receipt of what was moved is the signed order; a round's part for owner or validator needs none."
    vests = (
        f"Pay is pending for {statement.vesting} rounds; a strike voids all that is pending. "
        if statement.vesting
        else "Pay is the participant's own at once. "
    )
    moved = ", and of what was moved it is the signed order." if _moved(statement) else "."
    return (
        f"{vests}A credit's and a release's receipt is that of the round which paid, a void's that of the strike{moved}"
    )


def _root(statement: Statement) -> str:
    """Return the root as the published checkpoint writes it: the third line of its text."""
    return statement.tree.text.splitlines()[2]


def _footer(statement: Statement, n_pages: int) -> Callable[[Any, Any], None]:
    def draw(canvas: Any, document: Any) -> None:
        canvas.saveState()
        canvas.setFont("Helvetica", 7)
        canvas.setFillColor(colors.HexColor("#606060"))
        left = f"{statement.subnet[:60]}, rounds {statement.first} to {statement.last}, {statement.name}"
        canvas.drawString(_MARGIN + 6, _MARGIN, _latin(left))
        canvas.drawRightString(_PAGE[0] - _MARGIN - 6, _MARGIN, f"page {document.page} of {n_pages}")
        canvas.restoreState()

    return draw


def _fixed(statement: Statement, units: int) -> str:
    """Return base units with all of the token's decimals, so that columns line up."""
    decimals = statement.token.decimals
    whole, fraction = divmod(abs(units), statement.token.one)
    number = f"{whole}.{fraction:0{decimals}d}" if decimals else str(whole)
    return f"-{number}" if units < 0 else number


def _words(text: str) -> Paragraph:
    return Paragraph(_safe(text), _TEXT)


def _safe(text: str) -> str:
    return escape(_latin(text))


def _latin(text: str) -> str:
    """Return text in the letters that the standard fonts have; a question mark for any other."""
    return text.encode("cp1252", errors="replace").decode("cp1252")


def _tight() -> list[tuple[Any, ...]]:
    return [
        ("LEFTPADDING", (0, 0), (-1, -1), 3),
        ("RIGHTPADDING", (0, 0), (-1, -1), 3),
        ("TOPPADDING", (0, 0), (-1, -1), 1.5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
    ]
