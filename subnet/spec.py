"""`subnet.toml`: everything that participants agree to before they join, validated and content-hashed.

Each section is a model that forbids unknown keys. The hash covers every section but `[simulation]`, with defaults
filled in: it is in every contribution and in the ledger's first row, so nobody can be paid, or asked to work, under
other rules than those they saw.
"""

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from clients.settings import TrainingSettings
from subnet.errors import SpecError
from tokenomics import Amount, HeightSchedule, Shares, SupplySchedule, Token, TokenomicsError
from tokenomics.canonical import content_hash

FILE_NAME = "subnet.toml"
_INT64_MAX = 2**63 - 1


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class SubnetSection(_Section):
    """What the subnet is."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
    """Lower-case letters, digits and hyphens; at most 40."""
    description: Annotated[str, StringConstraints(max_length=500)] = ""
    task: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    """`package.module:Class` of a `clients.task.Task` in the folder of this file."""


class RoundsSection(_Section):
    """The rhythm."""

    count: Annotated[int, Field(ge=1, le=1_000_000)] = 24
    """After how many rounds a run ends; `--rounds` overrides it."""
    deadline_s: Annotated[int, Field(ge=1, le=86_400)] = 600
    """Seconds a participant has from the sending of the base model."""


class TrainingSection(_Section):
    """What participants are asked to do in a round."""

    epochs: Annotated[int, Field(ge=1, le=1000)] = 1
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 32
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.05
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9

    def settings(self) -> TrainingSettings:
        """Return the settings of the local loop."""
        return TrainingSettings(**self.model_dump())


class ValidationSection(_Section):
    """How the validator looks at held-out data."""

    n_batches: Annotated[int, Field(ge=2, le=1024)] = 8
    """Batches drawn a round; their spread gives the standard error of a credit (DESIGN section 5: at least 8)."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    tolerance: Annotated[float, Field(ge=0, le=10)] = 0.1
    """A round is refused when it makes the validation loss worse by more than this share of the base's loss."""


class StrategySection(_Section):
    """The aggregation rule and its settings."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)] = "credit_gated"
    settings: dict[str, bool | int | float | str] = {}


class ScoringSection(_Section):
    """What a contribution is worth. Defaults and their measurements: DESIGN section 5 and EVIDENCE."""

    scorer: Annotated[str, StringConstraints(min_length=1, max_length=200)] = "path_credit"
    history: Annotated[int, Field(ge=0, le=100)] = 5
    """Last global deltas that are public knowledge, and rounds over which copies and recent credit are judged."""
    gate_floor: Annotated[float, Field(ge=0, le=1)] = 0.1
    gate_share: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Gated below max(gate_floor, gate_share x the median novelty)."""
    novel_share: Annotated[float, Field(ge=0, le=1)] = 0.3
    novel_errors: Annotated[float, Field(ge=0, le=100)] = 2.0
    """Over all rounds: nothing payable while the share of novel credit, so many standard errors added to it, is below
    `novel_share` x the field's median share."""
    copy_ceiling: Annotated[float, Field(gt=0, le=1)] = 0.85
    copy_floor: Annotated[float, Field(ge=0, le=1)] = 0.65
    copy_mads: Annotated[float, Field(ge=0, le=100)] = 5.0
    copy_min_mad: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Copies above min(copy_ceiling, max(copy_floor, median + copy_mads x max(copy_min_mad, MAD)))."""
    window: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Rounds over which credit is summed (E)."""
    kappa: Annotated[float, Field(ge=0, le=10)] = 0.5
    """Standard errors taken off the window's credit."""
    share_cap: Annotated[float, Field(ge=1, le=1000)] = 3.0
    """Nobody is paid more than this many times the median share."""
    recent_share: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Nothing payable when recent credit is below this share of the median."""
    negative_z: Annotated[float, Field(ge=-10, le=0)] = -2.0
    """A credit below 0 by so many standard errors earns nothing this round."""
    negative_weight: Annotated[float, Field(ge=1, le=1000)] = 4.0
    """Such a credit counts so many times in all sums: harm done now and then costs more than it brings."""
    strike_norm_ratio: Annotated[float, Field(ge=1, le=1e9)] = 3.5
    strike_z: Annotated[float, Field(ge=-10, le=0)] = -3.0
    """A strike: a norm above so many times what is usual for the field and for its sender, and a credit below 0 by so
    many standard errors."""
    turn_cosine: Annotated[float, Field(ge=-1, le=0)] = -0.25
    """A strike as well: an update whose cosine with its sender's last one is below this; -1 turns the rule off."""
    course_share: Annotated[float, Field(ge=0, le=1)] = 0.65
    """Nothing earned when the mean of these cosines is below this share of the field's median one; 0 turns it off."""
    suspension: Annotated[int, Field(ge=0, le=10_000)] = 20
    """Rounds for which whoever is struck is out; 0 suspends nobody, though earlier credit is lost all the same."""
    vesting: Annotated[int, Field(ge=0, le=10_000)] = 20
    """Rounds after which pay is released; until then a strike voids it. 0 pays at once."""
    slices: Literal["none", "label"] = "none"
    """Whether an update that makes the model take one label for another is found and kept out."""
    slice_limit: Annotated[float, Field(ge=1, le=100)] = 3.0
    """Such an update's worst pair of labels is above so many times the field's median one."""
    slice_rounds: Annotated[int, Field(ge=1, le=100)] = 3
    """On the mean of so many rounds, this one included."""
    probes: Annotated[int, Field(ge=0, le=1024)] = 0
    """Held-out samples that each participant is given a round, to train on as well; 0 for none."""
    probe_share: Annotated[float, Field(ge=0.01, le=0.9)] = 0.5
    """Which share of the held-out data is set apart for probes, where there are any."""
    probe_rounds: Annotated[int, Field(ge=1, le=100)] = 5
    """Rounds with probes over which training is judged, and before which nobody is."""
    probe_z: Annotated[float, Field(ge=-100, le=100)] = 1.65
    """Not training: no more than this above the others' probes, in standard scores over those rounds."""

    @property
    def memory(self) -> int:
        """How many settled rounds scoring looks at one by one; of those before it needs sums alone."""
        slice_rounds = 0 if self.slices == "none" else self.slice_rounds
        probe_rounds = self.probe_rounds if self.probes else 0
        return max(self.window, self.history, self.suspension, slice_rounds, probe_rounds)


PRESETS: dict[str, dict[str, Any]] = {
    "bitcoin": {"decimals": 8, "schedule": "height", "emission": "50", "interval": 210_000},
    "bittensor": {"decimals": 9, "schedule": "supply", "emission": "1", "cap": "21000000"},
}
"""Keys of `[token]` that `preset` gives: 50 tokens a round, halved every 210,000 rounds (Bitcoin Core, chainparams),
and 1 token a round, halved whenever half of what is left to 21 million has been minted (Bittensor, block_emission)."""


class TokenSection(_Section):
    """The token and how it comes into being. Amounts are in whole tokens, as text: `"12.5"`.

    A key `preset` stands for those of `PRESETS`; whatever else is written down counts more.
    """

    symbol: Annotated[str, StringConstraints(pattern=r"^[A-Z]{1,8}$")]
    decimals: Annotated[int, Field(ge=0, le=18)] = 9
    schedule: Literal["height", "supply"] = "height"
    """`height`: the emission halves every `interval` rounds (Bitcoin). `supply`: whenever half of what is left to the
    `cap` has been minted (Bittensor)."""
    emission: str
    """Tokens a round in the first era."""
    interval: Annotated[int, Field(ge=1, le=10**9)] | None = None
    cap: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, values: object) -> object:
        if not isinstance(values, dict) or "preset" not in values:
            return values
        written = {key: value for key, value in values.items() if key != "preset"}
        name = values["preset"]
        if not isinstance(name, str) or name not in PRESETS:
            raise ValueError(f"preset {name!r:.80} isn't known: it is one of {', '.join(PRESETS)}")
        preset = PRESETS[name]
        if written.get("schedule", preset["schedule"]) != preset["schedule"]:
            raise ValueError(f"preset {name!r} halves by {preset['schedule']}: leave out 'preset' or 'schedule'")
        return {**preset, **written}

    @field_validator("emission", "cap", mode="before")
    @classmethod
    def _text(cls, value: object) -> object:
        if value is not None and not isinstance(value, str):
            raise ValueError('write the amount as text, such as "12.5", so that it stays exact')
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "TokenSection":
        wanted, unwanted = ("interval", "cap") if self.schedule == "height" else ("cap", "interval")
        if getattr(self, wanted) is None:
            raise ValueError(f"schedule {self.schedule!r} needs {wanted!r}")
        if getattr(self, unwanted) is not None:
            raise ValueError(f"schedule {self.schedule!r} has no {unwanted!r}")
        for name in ("emission", "cap"):
            text = getattr(self, name)
            if text is not None and not _is_amount(text, self.token()):
                raise ValueError(f"{name} {text!r} isn't a positive amount with at most {self.decimals} decimals")
        if self.build().cap > _INT64_MAX:
            raise ValueError(f"all eras together mint {self.build().cap} base units, more than 64 bits hold")
        return self

    def token(self) -> Token:
        """Return the token."""
        return Token(symbol=self.symbol, decimals=self.decimals)

    def build(self) -> HeightSchedule | SupplySchedule:
        """Return the emission schedule."""
        emission = Amount.parse(self.emission, self.token()).base_units
        if self.schedule == "height":
            assert self.interval is not None
            return HeightSchedule(subsidy=emission, interval=self.interval)
        assert self.cap is not None
        return SupplySchedule(cap=Amount.parse(self.cap, self.token()).base_units, emission=emission)


class SplitSection(_Section):
    """Who gets which parts of a round's emission."""

    owner: Annotated[int, Field(ge=0, le=10_000)] = 18
    validator: Annotated[int, Field(ge=0, le=10_000)] = 41
    participants: Annotated[int, Field(ge=1, le=10_000)] = 41

    def shares(self) -> Shares:
        """Return the shares."""
        return Shares(**self.model_dump())


class SimulationSection(_Section):
    """Defaults of `subnet simulate`; not part of what participants agree to."""

    clients: Annotated[str, StringConstraints(min_length=1, max_length=2000)] = "honest=8"
    partition: Annotated[str, StringConstraints(min_length=1, max_length=100)] = "iid"
    small_clients: Annotated[int, Field(ge=0, le=10_000)] = 0
    """How many of the honest clients have little data."""
    small_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Which share of their part those keep."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class Spec(_Section):
    """A whole `subnet.toml`."""

    subnet: SubnetSection
    rounds: RoundsSection = RoundsSection()
    training: TrainingSection = TrainingSection()
    validation: ValidationSection = ValidationSection()
    strategy: StrategySection = StrategySection()
    scoring: ScoringSection = ScoringSection()
    token: TokenSection
    split: SplitSection = SplitSection()
    simulation: SimulationSection = SimulationSection()

    @property
    def hash(self) -> str:
        """SHA-256 over the canonical form of everything but `[simulation]`."""
        return content_hash(self.model_dump(mode="json", exclude={"simulation"}))


def load_spec(path: Path) -> Spec:
    """Read a spec.

    Args:
        path: a `subnet.toml`, or the folder that holds one.

    Raises:
        SpecError: no such file, not TOML, or something not allowed; names file, key, value and what is.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SpecError(
            f"no {FILE_NAME} at {path}", remedy="name a subnet's folder, such as examples/digits"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{file} can't be read: {error}", remedy="make it a readable UTF-8 file") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{file} isn't TOML: {error}", remedy="mend that line; the format is at toml.io") from error
    return parse_spec(values, source=str(file))


def parse_spec(values: dict[str, Any], *, source: str) -> Spec:
    """Validate a spec that has been read already.

    Args:
        values: the file's tables.
        source: how errors name it.

    Raises:
        SpecError: something not allowed.
    """
    try:
        return Spec.model_validate(values)
    except ValidationError as error:
        raise _explain(error, source) from error


def _explain(error: ValidationError, source: str) -> SpecError:
    problems = error.errors(include_url=False)
    first = problems[0]
    location = [str(part) for part in first["loc"]]
    if location[:2] == ["strategy", "settings"]:
        location = location[:3]  # the rest are the types that were tried
    key = ".".join(location)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        allowed = _allowed_keys(location[:-1])
        close = difflib.get_close_matches(location[-1], allowed, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        where = f"[{'.'.join(location[:-1])}]" if location[:-1] else "the file"
        return SpecError(f"{source}: unknown key {key!r}{more}", remedy=f"{hint}{where} takes {', '.join(allowed)}")
    if first["type"] == "missing":
        remedy = f"add {location[-1]} to [{location[0]}]" if len(location) > 1 else f"add a section [{location[0]}]"
        return SpecError(f"{source}: {key!r} is missing{more}", remedy=remedy)
    message = str(first["msg"]).removeprefix("Value error, ")
    value = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
    return SpecError(
        f"{source}: {key}{value}: {message[0].lower()}{message[1:]}{more}", remedy=f"change {key!r} in {source}"
    )


def _allowed_keys(location: list[str]) -> list[str]:
    model: type[BaseModel] = Spec
    for part in location:
        annotation = model.model_fields[part].annotation
        assert isinstance(annotation, type)
        model = annotation
    return list(model.model_fields)


def _is_amount(text: str, token: Token) -> bool:
    try:
        return Amount.parse(text, token).base_units > 0
    except TokenomicsError:
        return False
