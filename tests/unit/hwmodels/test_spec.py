from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from hwmodels import SpecError, load_target
from hwmodels.spec import MAX_FILE_BYTES

GOOD = (resources.files("hwmodels") / "specs" / "bitfusion.toml").read_text(encoding="utf-8")


def refusal(tmp_path: Path, content: str | bytes) -> str:
    """Return the message with which a machine file is refused."""
    path = tmp_path / "machine.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(SpecError) as caught:
        load_target(str(path))
    assert str(path) in str(caught.value)
    return str(caught.value)


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def test_a_copy_of_a_good_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "copy.toml"
    path.write_text(changed('name = "bitfusion"', 'name = "mine"'), encoding="utf-8")
    assert load_target(str(path)).name == "mine"


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("rows = 16", "rows = 16\nsize_bytes = 4", ("[array] size_bytes", "unknown key")),
        ("rows = 16\n", "", ("[array] rows", "nothing")),
        ("rows = 16", "rows = 16.5", ("[array] rows", "a whole number", "16.5")),
        ("rows = 16", "rows = true", ("[array] rows", "a whole number", "True")),
        ("rows = 16", "rows = 0", ("[array] rows", "found 0")),
        ("rows = 16", "rows = -16", ("[array] rows", "found -16")),
        ("rows = 16", "rows = 16\nrows = 16", ("every key once",)),
        ("clock_hz = 500e6", "clock = 500e6", ("[array] clock", "missing unit")),
        ("clock_hz = 500e6", "clock_hz = nan", ("[array] clock_hz", "nan")),
        ("clock_hz = 500e6", "clock_hz = inf", ("[array] clock_hz", "inf")),
        ("clock_hz = 500e6", "clock_hz = 1e-300", ("[array] clock_hz", "1e-300")),
        ("clock_hz = 500e6", 'clock_hz = "fast"', ("[array] clock_hz", "a number", "'fast'")),
        ("clock_hz = 500e6", "clock_hz = {}", ("[array] clock_hz", "a number", "a table")),
        ("[dram_energy]", "[energy]", ("[energy]", "only arithmetic, array")),
        ("[dram_energy]\ndram_pj_per_bit = 15\n", "[ignored]\n", ("[ignored]",)),
        ('architecture = "bitfusion"', 'architecture = "abacus"', ("[machine] architecture", "'abacus'")),
        ('architecture = "bitfusion"', 'architecture = ""', ("[machine] architecture", "not empty")),
        ("weight_bits = [2, 4, 8, 16]", "weight_bits = [2, 3]", ("weight_bits", "[2, 4, 8, 16]", "(2, 3)")),
        ("weight_bits = [2, 4, 8, 16]", "weight_bits = [4, 2]", ("weight_bits", "rising")),
        ("weight_bits = [2, 4, 8, 16]", "weight_bits = []", ("weight_bits", "rising")),
        ("weight_bits = [2, 4, 8, 16]", 'weight_bits = [2, "4"]', ("weight_bits", "a list of whole numbers")),
        ("accumulator_bits = 32", "accumulator_bits = 8", ("accumulator_bits", "found 8")),
        (
            "accumulator_bits = 32",
            "accumulator_bits = 32\nwide_accumulator_bits = 24",
            ("wide_accumulator_bits", "32 to 64", "found 24"),
        ),
        ('"half_even"', '"upwards"', ("[arithmetic] rounding", "half_even", "'upwards'")),
        ("shared_parameter_ops = []", 'shared_parameter_ops = "Add"', ("shared_parameter_ops", "a list")),
    ],
)
def test_a_damaged_key_is_named(tmp_path: Path, old: str, new: str, parts: tuple[str, ...]) -> None:
    message = refusal(tmp_path, changed(old, new))
    assert all(part in message for part in parts), message


def test_numbers_need_a_source(tmp_path: Path) -> None:
    without = "\n".join(line for line in GOOD.splitlines() if "bf_e_conf.ini" not in line)
    assert "[array] source" in refusal(tmp_path, without)


def test_all_energy_tables_or_none(tmp_path: Path) -> None:
    assert "[dram_energy]: expected this table" in refusal(tmp_path, GOOD[: GOOD.index("[dram_energy]")])


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "[machine]"),
        (b"name = 3", "only tables"),
        (b"machine = 3", "only tables"),
        (b"[machine]\nname = 'x'", "[machine] architecture"),
        (b"\xff\xfe\x00", "TOML in UTF-8"),
        (GOOD.encode()[:-3], "TOML in UTF-8"),
        (b"x = " + b"[" * 100_000, "TOML in UTF-8"),
        (b"[array]\nrows = " + b"9" * 5000, "TOML in UTF-8"),
        (b"[array]\nrows = 0x" + b"f" * 5000, "[array] rows"),
        (b"#" * (MAX_FILE_BYTES + 1), "at most"),
    ],
    ids=["empty", "number", "no-table", "cut", "binary", "truncated", "nested", "long", "longer", "large"],
)
def test_a_hostile_file_is_refused(tmp_path: Path, content: bytes, part: str) -> None:
    assert part in refusal(tmp_path, content)


@pytest.mark.parametrize("name", ["absent.toml", "folder.toml", "nul\0.toml"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(SpecError, match="expected a TOML file"):
        load_target(str(tmp_path / name))
