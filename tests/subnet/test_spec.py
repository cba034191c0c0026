"""`subnet.toml`: its hash is what participants agree to, and every mistake is told in one error."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.errors import SpecError
from subnet.spec import Spec, load_spec, parse_spec
from tokenomics import HeightSchedule, SupplySchedule

MINIMAL = """
[subnet]
name = "toy"
task = "toy_task:Toy"
[token]
symbol = "TOY"
emission = "12.5"
interval = 8
"""


def parsed(text):
    return parse_spec(tomllib.loads(text), source="subnet.toml")


def error(text):
    with pytest.raises(SpecError) as caught:
        parsed(text)
    assert caught.value.message.startswith("subnet.toml")
    assert caught.value.remedy
    return caught.value


def test_the_example_loads_from_its_folder_and_its_file(request):
    """examples/digits is a valid spec, by folder and by file."""
    folder = request.config.rootpath / "examples" / "digits"
    spec = load_spec(folder)
    assert spec.subnet.name == "digits"
    assert spec.token.build() == HeightSchedule(subsidy=100 * 10**9, interval=8)
    assert load_spec(folder / "subnet.toml").hash == spec.hash


def test_the_hash_covers_everything_but_the_simulation():
    """Other defaults for simulations are the same subnet."""
    other = parsed(MINIMAL + '[simulation]\nclients = "honest=3"\nseed = 7\n')
    assert other.simulation.seed == 7
    assert other.hash == parsed(MINIMAL).hash


def test_the_hash_is_that_of_the_meaning_not_of_the_text():
    """Order of keys and sections, whole numbers for floats and defaults written out change nothing."""
    sections = MINIMAL.strip().split("[token]")
    reordered = "[token]" + sections[1] + "\n" + sections[0]
    shuffled = MINIMAL.replace('symbol = "TOY"\nemission = "12.5"', 'emission = "12.5"\nsymbol = "TOY"')
    spelled = MINIMAL + "decimals = 9\n[split]\nowner = 18\n[training]\nmomentum = 0.9\n[validation]\nbatch_size = 64\n"
    assert {parsed(text).hash for text in (MINIMAL, reordered, shuffled, spelled)} == {parsed(MINIMAL).hash}
    whole, real = (parsed(f"{MINIMAL}[scoring]\nkappa = {value}\n").hash for value in ("1", "1.0"))
    assert whole == real


def values_of(section):
    """A valid other value for each key of each section but the simulation."""
    return {
        "subnet": {"name": "other", "description": "x", "task": "a.b:C"},
        "rounds": {"count": 5, "deadline_s": 5},
        "training": {"epochs": 5, "batch_size": 5, "learning_rate": 0.5, "momentum": 0.5},
        "validation": {"n_batches": 5, "batch_size": 5, "tolerance": 0.5},
        "strategy": {"name": "median", "settings": {"n_byzantine": 1}},
        "scoring": {
            "scorer": "individual",
            "history": 3,
            "gate_floor": 0.2,
            "gate_share": 0.2,
            "novel_share": 0.2,
            "novel_errors": 1.0,
            "copy_ceiling": 0.8,
            "copy_floor": 0.2,
            "copy_mads": 2.0,
            "copy_min_mad": 0.2,
            "window": 3,
            "kappa": 0.2,
            "share_cap": 2.0,
            "recent_share": 0.2,
            "negative_z": -1.0,
            "negative_weight": 2.0,
            "strike_norm_ratio": 7.0,
            "strike_z": -4.0,
            "turn_cosine": -0.5,
            "course_share": 0.5,
            "suspension": 4,
            "vesting": 3,
            "slices": "label",
            "slice_limit": 2.0,
            "slice_rounds": 1,
            "probes": 16,
            "probe_share": 0.2,
            "probe_rounds": 3,
            "probe_z": 2.0,
        },
        "token": {"symbol": "NEW", "decimals": 3, "emission": "7", "interval": 3},
        "split": {"owner": 1, "validator": 1, "participants": 1},
    }[section]


@pytest.mark.parametrize(
    "section", ["subnet", "rounds", "training", "validation", "strategy", "scoring", "token", "split"]
)
def test_every_key_is_in_the_hash(section):
    """Changing any one key that participants agree to gives another hash."""
    keys = set(Spec.model_fields[section].annotation.model_fields) - {"schedule", "cap"}
    assert keys == set(values_of(section)), "a new key needs a value here"
    for key, value in values_of(section).items():
        values = tomllib.loads(MINIMAL)
        values[section] = values.get(section, {}) | {key: value}
        assert parse_spec(values, source="x").hash != parsed(MINIMAL).hash, key


def test_a_changed_copy_has_a_hash_of_its_own():
    """A copy with another rule isn't the same subnet, also when the original's hash was looked at before."""
    spec = parsed(MINIMAL)
    before = spec.hash
    copied = spec.model_copy(update={"scoring": spec.scoring.model_copy(update={"kappa": 2.0})})
    assert copied.hash != before


@pytest.mark.parametrize(
    ("text", "said", "remedy"),
    [
        ("[rounds]\ncuont = 3", "unknown key 'rounds.cuont'", "did you mean 'count'? [rounds] takes count, deadline_s"),
        ("[rounds]\nzzz = 3", "unknown key 'rounds.zzz'", "[rounds] takes count, deadline_s"),
        ("[scorring]\nkappa = 1", "unknown key 'scorring'", "did you mean 'scoring'? the file takes subnet, rounds"),
        ("[rounds]\ncount = 0", "rounds.count = 0: input should be greater than or equal to 1", "'rounds.count'"),
        ("[rounds]\ncount = 2000000", "rounds.count = 2000000: input should be less than or", "'rounds.count'"),
        ('[rounds]\ncount = "3"', "rounds.count = '3': input should be a valid integer", "'rounds.count'"),
        ("[rounds]\ncount = 3.0", "rounds.count = 3.0: input should be a valid integer", "'rounds.count'"),
        ("[rounds]\ncount = true", "rounds.count = True: input should be a valid integer", "'rounds.count'"),
        (
            '[scoring]\nslices = "labels"',
            "scoring.slices = 'labels': input should be 'none' or 'label'",
            "scoring.slices",
        ),
        ("[scoring]\nslice_limit = 0.5", "scoring.slice_limit = 0.5: input should be greater than", "slice_limit"),
        ("[scoring]\nslice_rounds = 0", "scoring.slice_rounds = 0: input should be greater than", "slice_rounds"),
        ("[training]\nlearning_rate = nan", "training.learning_rate = nan", "'training.learning_rate'"),
        ("[training]\nlearning_rate = inf", "training.learning_rate = inf", "'training.learning_rate'"),
        ("[training]\nlearning_rate = 0", "training.learning_rate = 0", "'training.learning_rate'"),
        ("[training]\nmomentum = 1.0", "training.momentum = 1.0: input should be less than 1", "'training.momentum'"),
        ("[split]\nparticipants = 0", "split.participants = 0", "'split.participants'"),
        ("[scoring]\nnegative_z = 1", "scoring.negative_z = 1", "'scoring.negative_z'"),
        ("[rounds]\ncount = 0\ndeadline_s = 0", "rounds.count = 0", "'rounds.count'"),
    ],
)
def test_a_mistake_names_file_key_and_value_and_what_is_allowed(text, said, remedy):
    """Unknown keys come with the closest one and the list, values with their limit."""
    found = error(MINIMAL + text)
    assert said in found.message
    assert remedy in found.remedy


def test_several_mistakes_are_counted():
    """The first is told, and how many more there are."""
    assert error(MINIMAL + "[rounds]\ncount = 0\ndeadline_s = 0\n").message.endswith("(and 1 more)")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "toy"', 'name = "Toy"', "subnet.name = 'Toy'"),
        ('name = "toy"', 'name = "../x"', "subnet.name = '../x'"),
        ('task = "toy_task:Toy"', 'task = "toy_task"', "subnet.task = 'toy_task'"),
        ('task = "toy_task:Toy"', 'task = "os; x:Y"', "subnet.task = 'os; x:Y'"),
        ('symbol = "TOY"', 'symbol = "toy"', "token.symbol = 'toy'"),
        ('emission = "12.5"', "emission = 12.5", "token.emission = 12.5: write the amount as text"),
        ('emission = "12.5"', "emission = 12", "token.emission = 12: write the amount as text"),
        ('emission = "12.5"', 'emission = "0"', "emission '0' isn't a positive amount"),
        ('emission = "12.5"', 'emission = "-1"', "emission '-1' isn't a positive amount"),
        ('emission = "12.5"', 'emission = "0.0000000001"', "at most 9 decimals"),
        ('emission = "12.5"', 'emission = "NaN"', "emission 'NaN' isn't"),
        ('emission = "12.5"', 'emission = "much"', "emission 'much' isn't"),
        ("interval = 8", "", "schedule 'height' needs 'interval'"),
        ("interval = 8", 'interval = 8\ncap = "100"', "schedule 'height' has no 'cap'"),
        ("interval = 8", 'interval = 8\nschedule = "supply"\ncap = "100"', "schedule 'supply' has no 'interval'"),
        ("interval = 8", 'schedule = "supply"', "schedule 'supply' needs 'cap'"),
        ("interval = 8", 'interval = 8\nschedule = "linear"', "token.schedule = 'linear'"),
        ("interval = 8", "interval = 0", "token.interval = 0"),
    ],
)
def test_a_bad_value_in_a_required_section_is_named(old, new, said):
    """Names, tasks, symbols, amounts and schedules are checked in words."""
    assert said in error(MINIMAL.replace(old, new)).message


@pytest.mark.parametrize(("line", "key"), [('name = "toy"', "subnet.name"), ('symbol = "TOY"', "token.symbol")])
def test_a_missing_key_is_named_with_its_section(line, key):
    """The remedy says which key to add where."""
    found = error(MINIMAL.replace(line, ""))
    section, name = key.split(".")
    assert f"'{key}' is missing" in found.message
    assert found.remedy == f"add {name} to [{section}]"


def test_a_missing_section_is_named():
    """The remedy names the section to add, not a key of itself."""
    found = error(MINIMAL.partition("[token]")[0])
    assert "'token' is missing" in found.message
    assert "[token]" in found.remedy
    assert "token to [token]" not in found.remedy


def test_a_bad_strategy_setting_is_named_by_its_own_key():
    """The key is the one in the file, without the names of the types that were tried."""
    found = error(MINIMAL + "[strategy.settings]\nn_byzantine = [1]\n")
    assert "strategy.settings.n_byzantine = [1]" in found.message
    assert "'strategy.settings.n_byzantine'" in found.remedy


def test_a_supply_schedule_is_built_in_base_units():
    """Cap and emission are exact integers of the token's decimals."""
    spec = parsed(MINIMAL.replace("interval = 8", 'schedule = "supply"\ncap = "21000000"\ndecimals = 3'))
    assert spec.token.build() == SupplySchedule(cap=21_000_000_000, emission=12_500)


@given(
    emission=st.one_of(
        st.text(max_size=12),
        st.from_regex(r"[+-]?[0-9_]{0,25}(\.[0-9]{0,12})?(e[+-]?[0-9]{1,3})?", fullmatch=True),
        st.sampled_from(["1e2", "1_000", "+5", " 5", "５", "1e30", "9" * 30, "5 TOY", ".5", "5.", "sNaN", "Infinity"]),
    ),
    decimals=st.integers(0, 18),
)
def test_any_text_for_an_amount_is_exact_or_a_spec_error(emission, decimals):
    """No spelling of a number gets past as something else or raises anything but SpecError."""
    values = tomllib.loads(MINIMAL)
    values["token"] |= {"emission": emission, "decimals": decimals}
    try:
        spec = parse_spec(values, source="subnet.toml")
    except SpecError as caught:
        message = caught.message
    else:
        message = ""
        assert spec.token.build().subsidy > 0
    assert not message or "token" in message


def test_a_cap_beyond_64_bits_is_refused_with_the_spec():
    """A schedule that the ledger can't hold is found when the spec is read, not when the run is begun."""
    assert "token" in error(MINIMAL.replace("interval = 8", "interval = 1000000000\n")).message


def test_a_file_that_cant_be_read_is_named(tmp_path):
    """Nothing there, not UTF-8 and not TOML are SpecErrors that name the file and what to do."""
    for name, content, said in [
        ("absent", None, "no subnet.toml at"),
        ("latin", b"[subnet]\nname = '\xe9'\n", "can't be read"),
        ("broken", b"[subnet\nname = 'x'\n", "isn't TOML"),
        ("empty", b"", "'subnet' is missing"),
    ]:
        folder = tmp_path / name
        folder.mkdir()
        if content is not None:
            (folder / "subnet.toml").write_bytes(content)
        with pytest.raises(SpecError, match=said) as caught:
            load_spec(folder)
        assert str(folder) in caught.value.message
        assert caught.value.remedy


def test_a_path_to_nothing_is_a_spec_error(tmp_path):
    """A folder that doesn't exist is said to hold no spec."""
    with pytest.raises(SpecError, match=r"no subnet\.toml at") as caught:
        load_spec(tmp_path / "nowhere")
    assert "examples/digits" in caught.value.remedy


@pytest.mark.parametrize(
    ("preset", "cap", "written"),
    [
        ("bitcoin", 2_099_999_997_690_000, 'decimals = 8\nemission = "50"\ninterval = 210000'),
        ("bittensor", 21_000_000 * 10**9, 'schedule = "supply"\nemission = "1"\ncap = "21000000"'),
    ],
)
def test_a_preset_means_the_keys_that_it_stands_for(preset, cap, written):
    """The schedule is the published one, and the hash that of the keys written out; written keys count more."""
    head = '[subnet]\nname = "x"\ntask = "a.b:C"\n[token]\nsymbol = "X"\n'
    spec = parsed(f'{head}preset = "{preset}"')
    assert spec.token.build().cap == cap
    assert spec.hash == parsed(head + written).hash
    assert parsed(f'{head}preset = "{preset}"\nemission = "25"').token.emission == "25"


@pytest.mark.parametrize(
    ("text", "said"),
    [('preset = "doge"', "preset 'doge' isn't known"), ('preset = "bitcoin"\nschedule = "supply"', "halves by height")],
)
def test_a_preset_that_wont_do_is_refused(text, said):
    """An unknown one, and one with the other kind of schedule."""
    with pytest.raises(SpecError, match=said):
        parsed(f'[subnet]\nname = "x"\ntask = "a.b:C"\n[token]\nsymbol = "X"\n{text}')
