"""Why a task failed or waits: each with whether a retry can help and what a person can do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ReasonCode(StrEnum):
    AGENT_FAILED = "agent_failed"
    NO_RESULT = "no_result"
    NO_CHANGES = "no_changes"
    TIMEOUT = "timeout"
    IDLE_TIMEOUT = "idle_timeout"
    START_TIMEOUT = "start_timeout"
    NOT_ACKNOWLEDGED = "not_acknowledged"
    CHECK_FAILED = "check_failed"
    AGENT_LOST = "agent_lost"
    LEASE_EXPIRED = "lease_expired"
    AGENT_DEREGISTERED = "agent_deregistered"
    AGENT_REVOKED = "agent_revoked"
    RECEIPT_REFUTED = "receipt_refuted"
    RECEIPT_UNREAD = "receipt_unread"
    USAGE_LIMIT = "usage_limit"
    RATE_LIMITED = "rate_limited"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    AUTH_FAILED = "auth_failed"
    BILLING = "billing"
    MODEL_NOT_FOUND = "model_not_found"
    MODEL_REFUSED = "model_refused"
    CONTEXT_TOO_LONG = "context_too_long"
    PERMISSION_DENIED = "permission_denied"
    MAX_TURNS = "max_turns"
    BUDGET_EXCEEDED = "budget_exceeded"
    DAY_BUDGET_EXCEEDED = "day_budget_exceeded"
    UNREADABLE_OUTPUT = "unreadable_output"
    PROGRAM_MISSING = "program_missing"
    PROGRAM_UNSUPPORTED = "program_unsupported"
    SANDBOX_UNAVAILABLE = "sandbox_unavailable"
    TEMPLATE_ERROR = "template_error"
    WORKSPACE_FAILED = "workspace_failed"
    BASE_MISSING = "base_missing"
    DISK_FULL = "disk_full"
    HOOK_FAILED = "hook_failed"
    FORBIDDEN_PATHS = "forbidden_paths"
    SECRET_IN_DIFF = "secret_in_diff"
    WORK_UNFIT = "work_unfit"
    PUSH_REJECTED = "push_rejected"
    BRANCH_CONFLICT = "branch_conflict"
    FORGE_UNAVAILABLE = "forge_unavailable"
    FORGE_REFUSED = "forge_refused"
    FORGE_LOGIN_FAILED = "forge_login_failed"
    RUNNER_FAILED = "runner_failed"
    RUNNER_RESTARTED = "runner_restarted"
    CANCELLED_BY_USER = "cancelled_by_user"
    ISSUE_CLOSED = "issue_closed"
    TRIGGER_REMOVED = "trigger_removed"
    RETRY_BY_USER = "retry_by_user"
    ISSUE_REOPENED = "issue_reopened"
    ISSUE_DELETED = "issue_deleted"
    DUPLICATE_TASK = "duplicate_task"
    REPO_UNLISTED = "repo_unlisted"
    REPO_ARCHIVED = "repo_archived"
    REPO_GONE = "repo_gone"
    REPO_UNPROTECTED = "repo_unprotected"
    BASE_GONE = "base_gone"
    CHANGES_ASKED = "changes_asked"
    CI_FAILED = "ci_failed"
    CONFLICTS = "conflicts"
    MORE_ASKED = "more_asked"
    PULL_CLOSED = "pull_closed"
    BLOCKED = "blocked"
    BEHIND = "behind"


# What only fleetbot and people can know; everything else an agent may say of its own run.
REASONS_OF_AGENTS = frozenset(ReasonCode) - {
    ReasonCode.NOT_ACKNOWLEDGED,
    ReasonCode.CHECK_FAILED,
    ReasonCode.AGENT_LOST,
    ReasonCode.LEASE_EXPIRED,
    ReasonCode.AGENT_DEREGISTERED,
    ReasonCode.AGENT_REVOKED,
    ReasonCode.RECEIPT_REFUTED,
    ReasonCode.RECEIPT_UNREAD,
    ReasonCode.DAY_BUDGET_EXCEEDED,
    ReasonCode.CANCELLED_BY_USER,
    ReasonCode.ISSUE_CLOSED,
    ReasonCode.TRIGGER_REMOVED,
    ReasonCode.RETRY_BY_USER,
    ReasonCode.ISSUE_REOPENED,
    ReasonCode.ISSUE_DELETED,
    ReasonCode.DUPLICATE_TASK,
    ReasonCode.REPO_UNLISTED,
    ReasonCode.REPO_GONE,
    ReasonCode.REPO_UNPROTECTED,
    ReasonCode.BASE_GONE,
    ReasonCode.CHANGES_ASKED,
    ReasonCode.CI_FAILED,
    ReasonCode.CONFLICTS,
    ReasonCode.MORE_ASKED,
    ReasonCode.PULL_CLOSED,
    ReasonCode.BLOCKED,
    ReasonCode.BEHIND,
}


# The agent or its runner went away, which is nothing that a check could find.
GONE = frozenset(
    {
        ReasonCode.AGENT_LOST,
        ReasonCode.LEASE_EXPIRED,
        ReasonCode.AGENT_DEREGISTERED,
        ReasonCode.AGENT_REVOKED,
        ReasonCode.RUNNER_RESTARTED,
    }
)

# What says nothing of the agent, its account or its machine, whoever is to mend it: it went away,
# or one repository is closed to everybody.
SPARES_AGENTS = GONE | {ReasonCode.REPO_ARCHIVED}


class Owner(StrEnum):
    """Whose fault a reason is. Only what the task owns counts as an attempt at it.

    An agent's makes the agent unwell, an account's or a provider's lets its agents rest, the
    forge's lets those of a machine rest, and the runner's is a bug.
    """

    TASK = "task"
    AGENT = "agent"
    ACCOUNT = "account"
    PROVIDER = "provider"
    FORGE = "forge"
    RUNNER = "runner"


@dataclass(frozen=True, slots=True)
class Reason:
    """`retry_helps`: the task may succeed when it is simply tried again, so fleetbot does it.

    It always may where the task is not to blame: then `advice` is what ends the waiting.
    """

    text: str
    owner: Owner
    retry_helps: bool
    advice: str


_R = ReasonCode
REASONS: dict[ReasonCode, Reason] = {
    _R.AGENT_FAILED: Reason(
        "the agent's program stopped with an error",
        Owner.TASK,
        True,
        "Read the agent's log; retry when the cause is mended.",
    ),
    _R.NO_RESULT: Reason(
        "the agent program ended without a result",
        Owner.TASK,
        True,
        "Read the end of the agent's log.",
    ),
    _R.NO_CHANGES: Reason(
        "the agent ended without changing anything",
        Owner.TASK,
        False,
        "Say in the issue what should change, then retry.",
    ),
    _R.TIMEOUT: Reason(
        "the run took longer than it may",
        Owner.TASK,
        True,
        "Split the issue, or raise `runs.timeout_seconds`.",
    ),
    _R.IDLE_TIMEOUT: Reason(
        "the agent program was silent for too long",
        Owner.TASK,
        True,
        "Read the end of the agent's log.",
    ),
    _R.START_TIMEOUT: Reason(
        "the agent program did not come up in time",
        Owner.AGENT,
        True,
        "Run `fleetbot check` on the agent's machine.",
    ),
    _R.NOT_ACKNOWLEDGED: Reason(
        "the agent did not acknowledge the task in time",
        Owner.AGENT,
        True,
        "Look at the runner on the agent's machine, if it happens again.",
    ),
    _R.CHECK_FAILED: Reason(
        "the agent does not pass its own check",
        Owner.AGENT,
        True,
        "Run `fleetbot check` on the agent's machine: it says what to do.",
    ),
    _R.AGENT_LOST: Reason(
        "the agent missed its heartbeats",
        Owner.AGENT,
        True,
        "Look at the runner on the agent's machine.",
    ),
    _R.LEASE_EXPIRED: Reason(
        "the agent no longer spoke for its run",
        Owner.AGENT,
        True,
        "Look at the runner on the agent's machine.",
    ),
    _R.AGENT_DEREGISTERED: Reason(
        "the agent signed off", Owner.AGENT, True, "Nothing; the task goes to another agent."
    ),
    _R.AGENT_REVOKED: Reason(
        "a person revoked the agent's token",
        Owner.AGENT,
        True,
        "Nothing; the task goes to another agent.",
    ),
    _R.RECEIPT_REFUTED: Reason(
        "Forgejo does not show what the agent says it did",
        Owner.TASK,
        True,
        "Read the comment on the issue: it says what did not hold.",
    ),
    _R.RECEIPT_UNREAD: Reason(
        "the receipt could not be decided in time, as Forgejo did not show what it takes",
        Owner.TASK,
        False,
        "Mend what could not be read, then retry; the pull request stays as it is.",
    ),
    _R.USAGE_LIMIT: Reason(
        "the account's usage limit is reached",
        Owner.ACCOUNT,
        True,
        "Wait for the reset, or add an account.",
    ),
    _R.RATE_LIMITED: Reason(
        "the model's provider is limiting requests",
        Owner.PROVIDER,
        True,
        "Nothing; it is tried again later.",
    ),
    _R.PROVIDER_UNAVAILABLE: Reason(
        "the model's provider did not answer",
        Owner.PROVIDER,
        True,
        "Nothing; it is tried again later.",
    ),
    _R.AUTH_FAILED: Reason(
        "the agent program is not logged in",
        Owner.AGENT,
        True,
        "Log in on the agent's machine; `fleetbot check` there says whether that was all.",
    ),
    _R.BILLING: Reason(
        "the provider refuses for want of credit",
        Owner.ACCOUNT,
        True,
        "Top up the account, or add another.",
    ),
    _R.MODEL_NOT_FOUND: Reason(
        "the model named in the configuration is not to be had",
        Owner.AGENT,
        True,
        "Correct `model` in the runner's configuration and restart it.",
    ),
    _R.CONTEXT_TOO_LONG: Reason(
        "the task did not fit the model's context",
        Owner.TASK,
        False,
        "Split the issue, then retry.",
    ),
    _R.PERMISSION_DENIED: Reason(
        "the agent was refused a permission it needed",
        Owner.TASK,
        False,
        "Allow it in the agent's configuration, or answer its question, then retry.",
    ),
    _R.MAX_TURNS: Reason(
        "the agent used up its turns", Owner.TASK, True, "Split the issue, or raise `max_turns`."
    ),
    _R.BUDGET_EXCEEDED: Reason(
        "the task's budget is used up",
        Owner.TASK,
        False,
        "Retry: that gives it the budget once more. Or raise the budget, or split the issue.",
    ),
    _R.DAY_BUDGET_EXCEEDED: Reason(
        "the fleet's budget for the day is used up",
        Owner.ACCOUNT,
        True,
        "Wait for the next day (UTC), or raise `budget.day_usd` or `budget.day_tokens`.",
    ),
    _R.UNREADABLE_OUTPUT: Reason(
        "the agent program's output could not be read",
        Owner.TASK,
        True,
        "Check the program's version with `fleetbot check`.",
    ),
    _R.PROGRAM_MISSING: Reason(
        "the agent program is not installed",
        Owner.AGENT,
        True,
        "Install it; `fleetbot check` says whether that was all.",
    ),
    _R.PROGRAM_UNSUPPORTED: Reason(
        "the agent program's version is not supported",
        Owner.AGENT,
        True,
        "Install a supported version; `fleetbot check` says which.",
    ),
    _R.SANDBOX_UNAVAILABLE: Reason(
        "the sandbox asked for cannot be had on that machine",
        Owner.AGENT,
        True,
        "Install bubblewrap there, or change `sandbox` and restart the runner.",
    ),
    _R.TEMPLATE_ERROR: Reason(
        "the prompt template is wrong",
        Owner.AGENT,
        True,
        "Correct the template it names and restart the runner.",
    ),
    _R.WORKSPACE_FAILED: Reason(
        "the worktree could not be prepared",
        Owner.AGENT,
        True,
        "Read the agent's log; check disk and git on its machine.",
    ),
    _R.HOOK_FAILED: Reason(
        "a workspace hook failed", Owner.TASK, True, "Read the agent's log; mend the hook it names."
    ),
    _R.FORBIDDEN_PATHS: Reason(
        "the agent changed what no agent may change, and nothing was pushed",
        Owner.TASK,
        False,
        "Make that change yourself, or take the path out of `verify.forbidden_paths`; then retry.",
    ),
    _R.SECRET_IN_DIFF: Reason(
        "the agent committed a secret of its environment, and nothing was pushed",
        Owner.TASK,
        False,
        "Say in the issue where such values belong, then retry.",
    ),
    _R.PUSH_REJECTED: Reason(
        "Forgejo refused the push",
        Owner.TASK,
        False,
        "Allow the runner's account to push to the branch: see the repository's branch protection.",
    ),
    _R.BRANCH_CONFLICT: Reason(
        "somebody else pushed to the task's branch while the agent worked",
        Owner.TASK,
        True,
        "Nothing: the next attempt goes on from their commits.",
    ),
    _R.FORGE_UNAVAILABLE: Reason(
        "Forgejo could not be reached from the runner",
        Owner.FORGE,
        True,
        "Nothing; it is tried again until Forgejo is back.",
    ),
    _R.FORGE_REFUSED: Reason(
        "Forgejo refused what the runner asked for",
        Owner.TASK,
        False,
        "Read what it said: the repository may be archived, a right of the account or a scope of"
        " its token be missing.",
    ),
    _R.FORGE_LOGIN_FAILED: Reason(
        "Forgejo does not know the runner's token",
        Owner.AGENT,
        True,
        "Write a new token into the runner's `forge.token_file`; it is read again by itself.",
    ),
    _R.RUNNER_FAILED: Reason(
        "the runner itself failed, which is a bug",
        Owner.RUNNER,
        True,
        "Report the runner's log with this run's id.",
    ),
    _R.RUNNER_RESTARTED: Reason(
        "the runner was restarted while the agent was at work",
        Owner.AGENT,
        True,
        "Nothing; the task is taken up where it was.",
    ),
    _R.MODEL_REFUSED: Reason(
        "the model refused the task",
        Owner.TASK,
        False,
        "Say it otherwise in the issue, then retry.",
    ),
    _R.BASE_MISSING: Reason(
        "the branch that the work should start from is not on Forgejo",
        Owner.TASK,
        False,
        "Push that branch, or correct the issue's ref; then retry.",
    ),
    _R.DISK_FULL: Reason(
        "the agent's machine has no room left",
        Owner.AGENT,
        True,
        "Free some of its disk, or move `runner.root`.",
    ),
    _R.WORK_UNFIT: Reason(
        "what the agent left cannot be handed over, and nothing was pushed",
        Owner.TASK,
        True,
        "Read the agent's log: it names what is unfit.",
    ),
    _R.CANCELLED_BY_USER: Reason(
        "cancelled by a person", Owner.TASK, False, "Retry to take it up again."
    ),
    _R.ISSUE_CLOSED: Reason(
        "the issue was closed", Owner.TASK, False, "Reopen the issue, or retry."
    ),
    _R.TRIGGER_REMOVED: Reason(
        "the issue no longer asks for the fleet", Owner.TASK, False, "Put the trigger label back."
    ),
    _R.RETRY_BY_USER: Reason("a person asked for it again", Owner.TASK, True, "Nothing."),
    _R.ISSUE_REOPENED: Reason("the issue was reopened", Owner.TASK, True, "Nothing."),
    _R.ISSUE_DELETED: Reason(
        "the issue was deleted", Owner.TASK, False, "Open a new issue if it is still wanted."
    ),
    _R.DUPLICATE_TASK: Reason(
        "the issue is another task already",
        Owner.TASK,
        False,
        "Go by the other task of the issue.",
    ),
    _R.REPO_UNLISTED: Reason(
        "the fleet does not work on the repository",
        Owner.FORGE,
        True,
        "Put the repository into `forge.repositories`, or cancel its tasks.",
    ),
    _R.REPO_ARCHIVED: Reason(
        "the repository is archived",
        Owner.FORGE,
        True,
        "Take the repository out of the archive, or cancel its tasks.",
    ),
    _R.REPO_UNPROTECTED: Reason(
        "accounts of the fleet could change the branch that work goes to by themselves",
        Owner.FORGE,
        True,
        "Protect the branch on Forgejo, or set `forge.unprotected` to `warn`.",
    ),
    _R.REPO_GONE: Reason(
        "Forgejo does not show the repository to the bot",
        Owner.FORGE,
        True,
        "Give the bot access to the repository; if it was deleted, cancel its tasks.",
    ),
    _R.BASE_GONE: Reason(
        "nobody can start from the branch that the issue names",
        Owner.TASK,
        False,
        "Correct the branch on the issue (its ref), or push that branch; then retry.",
    ),
    _R.CHANGES_ASKED: Reason(
        "changes were asked for in a review", Owner.TASK, True, "Nothing; the agent answers it."
    ),
    _R.CI_FAILED: Reason(
        "CI is red on the pull request", Owner.TASK, True, "Nothing; the agent mends it."
    ),
    _R.CONFLICTS: Reason(
        "the pull request conflicts with its base",
        Owner.TASK,
        True,
        "Nothing; the agent merges the base.",
    ),
    _R.MORE_ASKED: Reason(
        "a person asked for more on the pull request", Owner.TASK, True, "Nothing."
    ),
    _R.PULL_CLOSED: Reason(
        "the pull request was closed without being merged",
        Owner.TASK,
        False,
        "Reopen it to go on with it, or retry for a new one.",
    ),
    _R.BLOCKED: Reason(
        "an issue that it depends on is not done",
        Owner.TASK,
        False,
        "Close that issue, or remove the dependency; the task goes on by itself then.",
    ),
    _R.BEHIND: Reason(
        "an agent at work on another task changes the same files",
        Owner.TASK,
        False,
        "It goes on once that is merged or closed. Sooner: `!fleet queue #12 now`.",
    ),
}


def makes_unwell(code: ReasonCode) -> bool:
    """Whether an agent that says so is to take nothing until its check passes."""
    return REASONS[code].owner is Owner.AGENT and code in REASONS_OF_AGENTS - GONE
