"""Whether this machine's clock can be right: a small computer without a battery wakes up in 1970, or on its last day."""

from datetime import UTC, datetime

EARLIEST = datetime(2025, 11, 1, tzinfo=UTC)  # dicap is younger


def doubt(now: datetime) -> str:
    """Why this clock must be wrong and what to do, in words; nothing where it may be right. `now` carries its zone."""
    if now >= EARLIEST:
        return ""
    return (
        f"This machine's clock says {now.day} {now:%B} {now.year}, which cannot be. The worklist is asked for that day, "
        "and pictures are dated with it: set the clock."
    )
