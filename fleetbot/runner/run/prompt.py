"""What an agent is told: a jinja2 template over the issue and what is known of the task.

A template sees `Context`'s fields and nothing else; a variable it does not know is an error that
names it. The filter `fenced` sets text apart so that nothing in it can end the fence.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import jinja2

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.run.wording import as_words

INSTRUCTIONS = ("AGENTS.md", "CLAUDE.md", "CONTRIBUTING.md")
TEMPLATES = Path(__file__).parent / "templates"
_DEFAULT = TEMPLATES / "prompt.md.j2"
_OF_ROUND = '{% include "round.md.j2" %}'


@dataclass(frozen=True)
class IssueContext:
    """`trusted`: its author may write to the repository, or is named in the settings.

    `known`: the session was told this very text before.
    """

    number: int
    title: str
    kind: str
    body: str = ""
    author: str = ""
    url: str = ""
    trusted: bool = False
    known: bool = False


@dataclass(frozen=True)
class CommentContext:
    """A comment by a trusted person."""

    author: str
    body: str
    created_at: str


@dataclass(frozen=True)
class SaidContext:
    """What somebody said of the pull request; `trusted` as of the issue."""

    author: str
    text: str
    trusted: bool = False
    url: str = ""


@dataclass(frozen=True)
class ThreadContext:
    """Line comments on one place, to be answered by its `id`; `line` is 0 where that is gone.

    `words` and `hunk` are empty where the session knows them (`known`), and where there are more
    than fit (`left_out`). `answered`: it was, in this run.
    """

    id: int
    path: str
    line: int
    words: tuple[SaidContext, ...] = ()
    hunk: str = ""
    url: str = ""
    known: bool = False
    left_out: bool = False
    answered: bool = False


@dataclass(frozen=True)
class CheckContext:
    """A red context of CI; `log`: the end of its log, where the forge shows it."""

    context: str
    state: str
    description: str = ""
    url: str = ""
    log: str = ""
    known: bool = False


@dataclass(frozen=True)
class RoundContext:
    """What the task's open pull request is owed.

    `reply`: the command that answers a thread. `known` counts the words that the session was told
    before, `older` those that do not fit.
    `base`: what it conflicts with; of `merging`, its merge is in progress in the worktree, and
    `conflicts` are the files to resolve. Names, paths and addresses are made parts of one line.
    """

    number: int
    pull_request: int
    reply: str = ""
    words: tuple[SaidContext, ...] = ()
    threads: tuple[ThreadContext, ...] = ()
    checks: tuple[CheckContext, ...] = ()
    known: int = 0
    older: int = 0
    base: str = ""
    merging: bool = False
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """The variables of a template.

    `comments`: those that the session was not told before, by trusted people, oldest first.
    `left_out`: how many comments of others there are. `older`: how many more there are than fit
    (`limits.prompt_chars`); longer texts are cut, and say so. `earlier`: subjects of the commits an
    earlier attempt left. `messages`: what people said that did not reach a running program.
    `refuted`: why the last result did not hold. `resumed`: the program goes on with its own
    session, which knows what it was told. `afresh`: it had one, which cannot be gone on with.
    `commits`: the program has to commit itself. `kept`: what there is from `earlier` was kept of an
    attempt that did not come to a result, and is not on the branch of the forge. `round`: what the
    task's open pull request is owed, if the run is about that; None in the others. A template that
    does not speak of it has fleetbot's own words about it at its end (`round.md.j2`, which it can
    include).
    """

    agent: str
    repo: str
    branch: str
    base: str
    attempt: int
    issue: IssueContext
    comments: tuple[CommentContext, ...] = ()
    left_out: int = 0
    older: int = 0
    instructions: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    refuted: tuple[str, ...] = ()
    resumed: bool = False
    afresh: bool = False
    commits: bool = False
    kept: bool = False
    round: RoundContext | None = None


_SAMPLE = Context(
    agent="agent",
    repo="owner/name",
    branch="fleet/1-title",
    base="main",
    attempt=1,
    issue=IssueContext(number=1, title="Title", kind="task"),
    comments=(CommentContext("login", "text", "2026-01-01T00:00:00Z"),),
    earlier=("subject",),
    messages=("text",),
    refuted=("reason",),
)


_SAMPLE_ROUND = RoundContext(
    number=1,
    pull_request=2,
    reply="fleetbot reply",
    words=(SaidContext("login", "text", trusted=True), SaidContext("login", "text")),
    threads=(ThreadContext(1, "path", 1, (SaidContext("login", "text"),), hunk="@@"),),
    checks=(CheckContext("context", "failure", "text", log="text"),),
    base="main",
    merging=True,
    conflicts=("path",),
)


@dataclass(frozen=True)
class Prompt:
    """A template, ready to be filled."""

    name: str
    text: str = field(repr=False)

    def fill(self, context: Context) -> str:
        """Raises RunFailed(template_error) that names what is wrong."""
        try:
            variables = asdict(context)
            told = _compiled(self.text).render(variables).strip()
            if context.round is not None and "round" not in self.text:
                told = f"{told}\n\n{_compiled(_OF_ROUND).render(variables).strip()}"
            return as_words(told) + "\n"
        except jinja2.TemplateSyntaxError as problem:
            said = f"line {problem.lineno}: {problem.message}"
        except jinja2.UndefinedError as problem:
            said = f"{problem.message}; known are {', '.join(sorted(asdict(context)))}"
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as problem:
            said = str(problem)
        raise RunFailed(ReasonCode.TEMPLATE_ERROR, f"{self.name}: {said}")

    def check(self) -> None:
        """Fill it with samples. Raises RunFailed(template_error)."""
        self.fill(_SAMPLE)
        self.fill(replace(_SAMPLE, round=_SAMPLE_ROUND))


def load(path: str) -> Prompt:
    """The template at `path`, or the default. Raises RunFailed(template_error)."""
    file = Path(path) if path else _DEFAULT
    try:
        return Prompt(str(file), file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        raise RunFailed(ReasonCode.TEMPLATE_ERROR, f"{file}: {problem}") from None


def instructions_in(worktree: Path) -> tuple[str, ...]:
    """The files in which a repository tells agents and people how to work on it."""
    return tuple(name for name in INSTRUCTIONS if (worktree / name).is_file())


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


@lru_cache(maxsize=16)  # compiling takes longer than everything else that a prompt needs
def _compiled(text: str) -> jinja2.Template:
    return _environment().from_string(text)


def _environment() -> jinja2.Environment:
    # The result is text for a program, not HTML.
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        loader=jinja2.FileSystemLoader(TEMPLATES),
    )
    environment.filters["fenced"] = _fenced
    return environment
