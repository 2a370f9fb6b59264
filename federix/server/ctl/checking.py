"""What can be said of a configuration without running it."""

from __future__ import annotations

from datetime import UTC, datetime

from ...streams.certificates import Certificates
from ..config import Config


def certificate_problems(config: Config) -> list[str]:
    """What is wrong with the certificates at this moment; nothing where none are configured."""
    if not config.server.certfiles:
        return []
    patterns = [str(config.folder / pattern) for pattern in config.server.certfiles]
    certificates = Certificates(patterns, lambda: datetime.now(UTC))
    # Of files that are not there the configuration warns, with the line that names them.
    wrong = [problem for problem in certificates.reload() if problem not in certificates.missing]
    return [f"certificate: {problem}" for problem in (*wrong, *certificates.check(config.hosts))]
