"""The plugin's configuration as frozen values; `base-config.yaml` describes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fleetbot.domain.ci import CiRules
from fleetbot.domain.model import AgentName, OverlapMode, Policy, same_name
from fleetbot.domain.patience import Patience, with_outbox
from fleetbot.domain.receipts import Rules
from fleetbot.domain.usage import Budget
from fleetbot.services.access import TokenSets
from fleetbot.services.agents import Rhythm
from fleetbot.services.daily import Daily, parse_daily
from fleetbot.services.labels import LabelMaps
from fleetbot.services.setup.facts import Place

_YEAR = 31_536_000  # seconds; what is longer, or `.inf`, is a slip, and moments get out of range
Seconds = Annotated[float, Meta(gt=0, le=_YEAR)]
Count = Annotated[int, Meta(ge=0)]
Token = Annotated[str, Meta(min_length=16)]


class SettingsError(ValueError):
    """The configuration is wrong; the text names the setting and the way out."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the configuration's sections."""


class ForgeSettings(Section, frozen=True):
    url: str
    token: str
    webhook_secret: str
    login: str = ""
    repositories: tuple[str, ...] = ()
    accounts: dict[str, str] = {}
    reconcile_seconds: Seconds = 300
    unprotected: Literal["refuse", "warn"] = "warn"
    ca_file: str = ""

    @property
    def logins(self) -> dict[AgentName, str]:
        return {AgentName(agent): login for agent, login in self.accounts.items()}


class AuthSettings(Section, frozen=True):
    enrolment_tokens: tuple[Token, ...] = ()
    reader_tokens: tuple[Token, ...] = ()
    operator_tokens: tuple[Token, ...] = ()

    @property
    def token_sets(self) -> TokenSets:
        return TokenSets(
            enrolment=self.enrolment_tokens,
            reader=self.reader_tokens,
            operator=self.operator_tokens,
        )


class RoomSettings(Section, frozen=True):
    """One room. `repos` empty: it hears of all; `levels`: power level by command; `allow`: by
    command those who may give it, whatever their level, and nobody else."""

    repos: tuple[str, ...] = ()
    default_repo: str | None = None
    levels: dict[str, int] = {}
    allow: dict[str, tuple[str, ...]] = {}

    def hears(self, repo: str, same: Callable[[str, str], bool] = same_name) -> bool:
        """`same` tells whether two names are of one repository."""
        return not self.repos or any(same(name, repo) for name in self.repos)


class RunSettings(Section, frozen=True):
    heartbeat_seconds: Seconds = 20
    lease_seconds: Seconds = 90
    ack_seconds: Seconds = 30
    timeout_seconds: Seconds = 10_800
    claim_wait_seconds: Annotated[float, Meta(gt=0, le=60)] = 25
    repository_limit: Count = 0
    max_refutations: Count = 2

    @property
    def rhythm(self) -> Rhythm:
        return Rhythm(
            heartbeat=self.heartbeat_seconds,
            lease=self.lease_seconds,
            claim_wait=self.claim_wait_seconds,
        )


class RetrySettings(Section, frozen=True):
    max_attempts: Annotated[int, Meta(ge=1)] = 3
    base_seconds: Seconds = 30
    cap_seconds: Seconds = 3600


class FollowupSettings(Section, frozen=True):
    """How many rounds of each kind a pull request gets before a person is asked; 0 is none."""

    review_rounds: Count = 3
    ci_rounds: Count = 2
    conflict_rounds: Count = 3


class OverlapSettings(Section, frozen=True):
    """What follows where the work of two tasks changes the same files; `ignore`: patterns of those
    that everybody changes."""

    mode: Literal["off", "tell", "queue"] = "tell"
    ignore: tuple[str, ...] = (
        "CHANGELOG*",
        "CHANGES*",
        "HISTORY*",
        "NEWS*",
        "*.lock",
        "*.lockb",
        "*-lock.json",
        "*-lock.yaml",
        "npm-shrinkwrap.json",
        "go.sum",
    )


Landing = Literal["auto", "by_hand"]


class LandingSettings(Section, frozen=True):
    """`repositories`: those for which it is not as by `default`."""

    default: Landing = "by_hand"
    repositories: dict[str, Landing] = {}

    def is_auto(self, names: Iterable[str]) -> bool:
        """Whether verified pull requests of the repository that bears, or bore, one of these names
        are merged without anybody's word."""
        known = {name.lower(): how for name, how in self.repositories.items()}
        said = (known[name.lower()] for name in names if name.lower() in known)
        return next(said, self.default) == "auto"


class BudgetSettings(Section, frozen=True):
    """0 is no bound. Tokens are input and output together."""

    task_usd: Annotated[float, Meta(ge=0)] = 0
    task_tokens: Count = 0
    day_usd: Annotated[float, Meta(ge=0)] = 0
    day_tokens: Count = 0


class KeepSettings(Section, frozen=True):
    """For how long what is over is kept."""

    log_days: Annotated[float, Meta(gt=0, le=3650)] = 90
    agent_days: Annotated[float, Meta(gt=0, le=3650)] = 30

    @property
    def logs_ms(self) -> int:
        return _ms(self.log_days * 86_400)


class JournalSettings(Section, frozen=True):
    """`archive_days`: 0 for never; `archive_folder`: empty for one beside an SQLite database."""

    archive_days: Annotated[float, Meta(ge=0, le=3650)] = 0
    archive_folder: str = ""

    @property
    def archive_ms(self) -> int:
        return _ms(self.archive_days * 86_400)


class VerifySettings(Section, frozen=True):
    """What starts programs is forbidden by default: what CI runs, with the repository's secrets,
    and what an agent program runs of itself where a repository is trusted.
    """

    authors: tuple[str, ...] = ()
    forbidden_paths: tuple[str, ...] = (
        ".forgejo/workflows/",
        ".gitea/workflows/",
        ".github/workflows/",
        ".claude/settings.json",
        ".claude/settings.local.json",
        ".claude/hooks/",
        ".claude/agents/",
        ".claude/commands/",
        ".claude/skills/",
        ".mcp.json",
        ".codex/",
    )
    require_ci: bool = False
    patience_hours: Annotated[float, Meta(gt=0, le=_YEAR / 3600)] = 24
    required_contexts: tuple[str, ...] = ()
    optional_contexts: tuple[str, ...] = ()
    without_ci: Literal["accept", "refuse"] = "accept"
    clock_skew_seconds: Annotated[float, Meta(ge=0, le=_YEAR)] = 300


class LeadershipSettings(Section, frozen=True):
    """Where two orchestrators work on one database; see `domain.leadership`."""

    lease_seconds: Annotated[float, Meta(ge=1, le=3600)] = 15


class OutboxSettings(Section, frozen=True):
    patience_days: Annotated[float, Meta(gt=0, le=365)] = 14

    @property
    def patience(self) -> Patience:
        return with_outbox(self.patience_days)


class NotifySettings(Section, frozen=True):
    """`stuck_minutes`: a wait that is longer is told in the rooms, once; 0 for never."""

    stuck_minutes: Annotated[float, Meta(ge=0, le=_YEAR / 60)] = 60


class LogSettings(Section, frozen=True):
    """`format`: `text` leaves the lines to maubot, `json` writes them to standard output."""

    format: Literal["text", "json"] = "text"


class TraceSettings(Section, frozen=True):
    """`endpoint`: of a collector that takes OTLP over HTTP; empty for no traces."""

    endpoint: Annotated[
        str,
        Meta(pattern=r"^(https?://[^\s]+)?$(?!\n)", description="an http(s) address, or empty"),
    ] = ""


class ChatSettings(Section, frozen=True):
    """`operators`: the Matrix ids of those who look after the fleet; `people`: Forgejo login ->
    Matrix id.

    `digest`: when the morning's summary comes, as `08:00 Europe/Berlin`; `command_state`: tell
    clients of the commands (MSC4391).
    """

    threads: Literal["agent", "task"] = "agent"
    operators: tuple[str, ...] = ()
    people: dict[str, str] = {}
    digest: str = ""
    command_state: bool = False

    @property
    def daily(self) -> Daily | None:
        """When the morning's summary comes; None for never. Raises ValueError."""
        return parse_daily(self.digest) if self.digest else None


class BoardSettings(Section, frozen=True):
    """`link_minutes`: for how long a link to the board is good; `session_hours`: for how long who
    has used one may look; `frames`: pages that may show the board inside them, by their origin."""

    link_minutes: Annotated[float, Meta(gt=0, le=1440)] = 15
    session_hours: Annotated[float, Meta(gt=0, le=720)] = 12
    frames: tuple[str, ...] = ()

    @property
    def links_ms(self) -> int:
        return _ms(self.link_minutes * 60)

    @property
    def sessions_ms(self) -> int:
        return _ms(self.session_hours * 3600)


class Settings(Section, frozen=True):
    forge: ForgeSettings
    labels: LabelMaps = LabelMaps()
    auth: AuthSettings = AuthSettings()
    rooms: dict[str, RoomSettings] = {}
    runs: RunSettings = RunSettings()
    retry: RetrySettings = RetrySettings()
    budget: BudgetSettings = BudgetSettings()
    keep: KeepSettings = KeepSettings()
    journal: JournalSettings = JournalSettings()
    verify: VerifySettings = VerifySettings()
    outbox: OutboxSettings = OutboxSettings()
    notify: NotifySettings = NotifySettings()
    chat: ChatSettings = ChatSettings()
    logs: LogSettings = LogSettings()
    traces: TraceSettings = TraceSettings()
    followup: FollowupSettings = FollowupSettings()
    overlap: OverlapSettings = OverlapSettings()
    landing: LandingSettings = LandingSettings()
    leadership: LeadershipSettings = LeadershipSettings()
    board: BoardSettings = BoardSettings()

    def place(self, room: str, repo: str, same: Callable[[str, str], bool] = same_name) -> Place:
        """What these settings say of a repository and a room."""
        its = self.rooms.get(room)
        return Place(
            is_listed=any(same(name, repo) for name in self.forge.repositories),
            is_heard=its is not None and its.hears(repo, same),
            default_repo=its.default_repo if its else None,
        )

    def mask(self, text: str) -> str:
        """The text without any secret of ours, should one have got into it, also over lines."""
        tokens = (
            self.forge.token,
            self.forge.webhook_secret,
            *self.auth.enrolment_tokens,
            *self.auth.reader_tokens,
            *self.auth.operator_tokens,
        )
        for secret in filter(None, tokens):
            text = _over_lines(secret).sub("***", text)
        return text

    @property
    def rules(self) -> Rules:
        verify, accounts = self.verify, self.forge.accounts.values()
        return Rules(
            authors=verify.authors,
            forbidden_paths=verify.forbidden_paths,
            require_ci=verify.require_ci,
            refuse_without_ci=verify.without_ci == "refuse",
            ci=CiRules(
                required=verify.required_contexts,
                optional=verify.optional_contexts,
                fleet=tuple(accounts),
            ),
            clock_skew_ms=_ms(verify.clock_skew_seconds),
        )

    @property
    def policy(self) -> Policy:
        return Policy(
            max_attempts=self.retry.max_attempts,
            retry_base_ms=_ms(self.retry.base_seconds),
            retry_cap_ms=_ms(self.retry.cap_seconds),
            ack_ms=_ms(self.runs.ack_seconds),
            lease_ms=_ms(self.runs.lease_seconds),
            heartbeat_ms=_ms(self.runs.heartbeat_seconds),
            run_timeout_ms=_ms(self.runs.timeout_seconds),
            max_refutations=self.runs.max_refutations,
            repo_limit=self.runs.repository_limit,
            task_budget=Budget(usd=self.budget.task_usd, tokens=self.budget.task_tokens),
            day_budget=Budget(usd=self.budget.day_usd, tokens=self.budget.day_tokens),
            forbidden_paths=self.verify.forbidden_paths,
            stuck_ms=_ms(self.notify.stuck_minutes * 60),
            forget_agents_ms=_ms(self.keep.agent_days * 86_400),
            verify_ms=_ms(self.verify.patience_hours * 3600),
            max_review_rounds=self.followup.review_rounds,
            max_ci_rounds=self.followup.ci_rounds,
            max_conflict_rounds=self.followup.conflict_rounds,
            overlap=OverlapMode(self.overlap.mode),
            land_without_ci=self.verify.without_ci == "accept",
        )


def _over_lines(secret: str) -> re.Pattern[str]:
    """The secret, with line ends and what indents the next line anywhere in it: as a log has it
    that was wrapped."""
    return re.compile(r"(?:[ \t]*\r?\n[ \t]*)?".join(map(re.escape, secret)))


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
