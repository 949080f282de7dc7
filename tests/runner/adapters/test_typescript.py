"""The TypeScript types say what the Python definitions say, and adapters can be written to them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from fleetbot_devkit.typescript import PACKAGE, REFERENCE, modules

STRICT = ("--noEmit", "--strict", "--target", "es2022", "--module", "es2022")
# A mistake in each place where an adapter meets the contract.
MISTAKES = {
    'kind: "assistant"': 'kind: "whisper"',
    'return "kept";': 'return "maybe";',
    'reason: "agent_failed"': 'reason: "bad_mood"',
    "life.claim({ wait: 25 })": 'life.claim({ wait: "long" })',
}


@pytest.fixture(scope="session")
def tsc(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The TypeScript compiler of this machine, or one fetched for these tests."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed: the TypeScript types are not checked")
    if found := shutil.which("tsc"):
        return found
    if (npm := shutil.which("npm")) is None:
        pytest.skip("neither tsc nor npm is installed: the TypeScript types are not checked")
    place = tmp_path_factory.mktemp("typescript")
    command = (npm, "install", "--no-audit", "--no-fund", "--prefix", str(place), "typescript@5")
    fetched = subprocess.run(command, check=False, capture_output=True, timeout=100)
    if fetched.returncode:
        pytest.skip("npm could not fetch typescript: the TypeScript types are not checked")
    return str(place / "node_modules" / ".bin" / "tsc")


@pytest.mark.parametrize("place", [PACKAGE, REFERENCE], ids=["package", "reference"])
def test_the_published_types_are_the_generated_ones(place: Path) -> None:
    advice = "run: python -m fleetbot_devkit.typescript"

    assert {path.name: path.read_text() for path in place.iterdir()} == modules(), advice


@pytest.mark.timeout(150)
def test_the_sample_adapter_keeps_the_contract_and_each_mistake_in_it_is_found(
    tsc: str, tmp_path: Path
) -> None:
    for name in ("sample.ts", "wire.ts", "adapter.ts"):
        shutil.copy(PACKAGE / name, tmp_path)
    text = (tmp_path / "sample.ts").read_text()
    for number, (right, wrong) in enumerate(MISTAKES.items()):
        assert right in text
        (tmp_path / f"wrong{number}.ts").write_text(text.replace(right, wrong))

    command = (tsc, *STRICT, *map(str, tmp_path.glob("*.ts")))
    done = subprocess.run(command, check=False, capture_output=True, text=True)

    said = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    reported = {line.split("(")[0].rpartition("/")[2] for line in said}
    assert reported == {f"wrong{number}.ts" for number in range(len(MISTAKES))}
