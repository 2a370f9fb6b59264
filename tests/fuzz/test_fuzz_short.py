"""Every target of the fuzzers, for a moment: the corpus, and the same changed at random, the same way each time."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from random import Random
from typing import Final

import pytest

import fuzz
from fuzz.targets import NAMES, load

CORPUS: Final = Path(fuzz.__file__).parent / "corpus"
#: Changed inputs for each target: a fraction of a second.
CHANGED: Final = {"jid": 1500, "sasl": 500, "stranger": 150, "client": 40, "server": 120}


@pytest.mark.parametrize("name", NAMES)
def test_a_target_finds_nothing_wrong(name: str) -> None:
    target = load(name)
    seeds = [file.read_bytes() for file in sorted((CORPUS / name).iterdir())]
    assert len(seeds) > 3
    for seed in seeds:
        target.check(seed)
    random = Random(20_270_115)
    for _ in range(CHANGED.get(name, 200)):
        data = random.choice(seeds)
        for _ in range(random.randint(1, 3)):
            data = target.changed(data, random, 1024)
        target.check(data)
    module = import_module(f"fuzz.targets.{name}")
    if hasattr(module, "close"):
        module.close()
