"""A red job that is run again before anybody mends it, where the forge can do that. Pure.

Only one that passed before and whose words name nothing of what has changed since: of any other it
is more likely that the work has broken it. Each is run again once for a commit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from fleetbot.domain.values import Value

WAIT_MS = 600_000  # for the forge to show that it has begun; then it is taken for what it was
_SHORTEST = 4  # letters of a name that is looked for without its suffix


class Rerun(Value, frozen=True):
    """A job of the forge's own CI. `status`: that in which its context is red; once the context has
    a newer one, the job has been run again."""

    context: str
    job: int
    status: int


class Reruns(Value, frozen=True):
    """What was run again for the commit `head`, the last of it at `since` (epoch ms). `times`: how
    many jobs in all, for whatever commit."""

    head: str
    jobs: tuple[Rerun, ...]
    since: int
    times: int

    def had(self, head: str, context: str) -> bool:
        return self.head == head and any(job.context == context for job in self.jobs)


def after(known: Reruns | None, head: str, jobs: Collection[Rerun], at: int) -> Reruns:
    """With jobs that are run again for `head`."""
    before = known.jobs if known and known.head == head else ()
    times = (known.times if known else 0) + len(jobs)
    return Reruns(head=head, jobs=(*before, *jobs), since=at, times=times)


def not_yet(known: Reruns | None, head: str, jobs: Iterable[Rerun]) -> tuple[Rerun, ...]:
    """Those of `head` that were not run again before."""
    return tuple(job for job in jobs if not (known and known.had(head, job.context)))


def is_awaited(known: Reruns | None, head: str, red: Iterable[tuple[str, int]], now: int) -> bool:
    """Whether a job that is run again still shows what it said before. `red`: the red contexts of
    `head`, each with its status."""
    if known is None or known.head != head or now - known.since >= WAIT_MS:
        return False
    before = {(job.context, job.status) for job in known.jobs}
    return any(shown in before for shown in red)


def names_any(text: str, files: Iterable[str]) -> bool:
    """Whether what a job has logged speaks of one of these files, by its path, its name or its name
    without the suffix; of what says nothing that cannot be told, so it counts as if it did."""
    said = text.casefold()
    return not said.strip() or any(word in said for path in files for word in _names(path))


def _names(path: str) -> Iterable[str]:
    name = path.rpartition("/")[2].casefold()
    stem = name.partition(".")[0]
    return (name, stem) if len(stem) >= _SHORTEST else (name,)
