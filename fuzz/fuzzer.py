"""``python -m fuzz.fuzzer <target> <executions> <seconds>``: one target under atheris, in this process."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .targets import Target

CORPUS: Final = Path(__file__).parent / "corpus"
FOUND: Final = Path(__file__).parent / "found"
#: Bytes of one input: what is longer is slower and reaches nothing more.
LONGEST: Final = 1024
#: Seconds one input may take.
SLOWEST: Final = 10


def main() -> None:
    name, executions, seconds = sys.argv[1:]
    atheris: Any = import_module("atheris")  # it is there only where the extra `fuzz` is installed
    with atheris.instrument_imports(include=["federix"]):  # what is imported outside of it guides nothing
        target: Target = import_module("fuzz.targets").load(name)
    found = FOUND / name
    found.mkdir(parents=True, exist_ok=True)

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        if seed % 4 == 0:
            changed: bytes = atheris.Mutate(data, most)
            return changed
        return target.changed(data, Random(seed), most)

    arguments = [
        sys.argv[0],
        f"-runs={executions}",
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST}",
        f"-timeout={SLOWEST}",
        f"-artifact_prefix={found}/broken-",
        "-print_final_stats=1",
        str(found),
        str(CORPUS / name),
    ]
    atheris.Setup(arguments, target.check, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
