"""The page: everything that was measured, in one file that needs nothing else."""

import json
import shutil
import subprocess
from dataclasses import replace

import pytest

from subnet.arena.cell import VERSION
from subnet.arena.choices import read
from subnet.arena.measures import MEASURES
from subnet.arena.page import page
from subnet.arena.table import ranking, rows
from tests.endtoend.conftest import BLOBS
from tests.subnet.arena.conftest import CELL, result

CHROMIUM = shutil.which("chromium")


def page_of(found):
    """The page of some results."""
    choices = read(
        BLOBS,
        strategies="mean,krum",
        attacks="none,nan",
        partitions="iid",
        stated="1,auto",
        n_clients=6,
        n_byzantine=2,
        n_rounds=4,
        n_seeds=1,
    )
    table = rows(found)
    return page(choices.facts(), table=table, ranked=ranking(table))


RESULTS = [
    (replace(CELL, strategy="<b>'&"), result(0.4321, loss=None)),
    (replace(CELL, strategy="<b>'&", attack="backdoor"), result(0.2, attack_success=0.777)),
    *(
        (replace(CELL, strategy="told", stated=number, attack=attack), result(accuracy, distance=0.1234, wall_s=2.5))
        for number, accuracy in ((1, 0.9), ("auto", 0.3))
        for attack in ("none", "backdoor")
    ),
]


def test_the_page_needs_nothing_else_and_names_what_was_played():
    """No address of anything, names escaped, the facts in front."""
    text = page_of(RESULTS)
    assert "http" not in text
    assert "src=" not in text
    assert "<b>'&" not in text
    assert "&lt;b&gt;&#x27;&amp;" in text
    for fact in ("blobs.task:Blobs", "6, 2 of them attack", "flower-subnet", f"arena {VERSION}"):
        assert fact in text


def test_every_measurement_of_every_cell_is_on_it():
    """Each cell carries all five, the accuracy is what is seen first; what isn't finite or isn't measured is marked."""
    text = page_of(RESULTS)
    assert "data-m='43.2||0;∞||0;–||;0.500||3;1.00||6'>43.2</td>" in text
    assert "data-m='20.0||0;1.00||6;77.7||0;0.500||3;1.00||6'>20.0</td>" in text
    assert "data-m='90.0||6;1.00||6;–||;0.123||5;2.50||4'>90.0</td>" in text


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_colours_are_in_order_and_the_legend_has_them_all(measure):
    """What is worse never has a better colour, and every colour is explained."""
    values = [0.0, 0.05, 0.2, 0.4, 0.9, 1.2, 1.6, 3, 7, 12, 30, 60, 99]
    reference = 99 if measure.name == "accuracy" else 1.0
    levels = [measure.level(value, reference) for value in values]
    assert levels == sorted(levels, reverse=measure.name != "accuracy")
    assert set(levels) <= set(range(7))
    assert len(measure.legend()) == 7


SCRIPT = """
<script>
const seen = {};
const look = (name) => { seen[name] = {
  rules: [...document.querySelectorAll(".ranking tbody tr")].map((row) => row.dataset.rule),
  maps: [...document.querySelectorAll(".map")].filter((map) => !map.hidden).map((map) => map.dataset.stated),
  cells: [...document.querySelectorAll(".map:not([hidden]) tbody tr")].map((row) =>
    [...row.cells].filter((cell) => !cell.hidden).map((cell) => cell.textContent)),
}; };
const choose = (name, value) => document.querySelector(`input[name=${name}][value="${value}"]`).click();
look("first"); choose("measure", 2); look("success"); choose("stated", "auto"); choose("measure", 0); look("auto");
document.querySelector(".ranking button").click(); look("sorted");
document.body.textContent = "SEEN" + JSON.stringify(seen) + "SEEN";
</script>
"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser")
def test_a_browser_switches_and_sorts(tmp_path):
    """Measurement, stated number and order change what is seen; columns without a value go."""
    file = tmp_path / "page.html"
    file.write_text(page_of(RESULTS).replace("</body>", f"{SCRIPT}</body>"))
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path}/user",
            "--dump-dom",
            file,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    seen = json.loads(done.stdout.split("SEEN")[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    odd = "<b>'&"
    assert seen["first"]["rules"] == ["told", odd]
    assert seen["first"]["maps"] == ["1"]
    assert seen["first"]["cells"] == [["told", "90.0", "90.0"], [odd, "43.2", "20.0"]]
    assert seen["success"]["cells"] == [["told", "–"], [odd, "77.7"]]
    assert seen["auto"]["maps"] == ["auto"]
    assert seen["auto"]["cells"] == [["told", "30.0", "30.0"], [odd, "43.2", "20.0"]]
    assert seen["sorted"]["rules"] == [odd, "told"]
    assert [row[0] for row in seen["sorted"]["cells"]] == [odd, "told"]
