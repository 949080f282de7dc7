"""Reviews: written, answered, asked for, dismissed.

After ``routers/api/v1/repo/pull_review.go`` and ``models/issues/review.go`` of Forgejo.
"""

from __future__ import annotations

from aiohttp import web

from fleetbot_devkit.forge import pull_shapes, review_shapes
from fleetbot_devkit.forge.accounts import Access, Account
from fleetbot_devkit.forge.api import NOT_FOUND, ApiError, Call, Route, answer, nothing
from fleetbot_devkit.forge.pull_state import Pull, Review
from fleetbot_devkit.forge.remarks import add_remark
from fleetbot_devkit.forge.state import Happening, Ticket

_VERDICTS = ("APPROVED", "REQUEST_CHANGES")
_CLOSED_ASK = "cannot request a re-review on a closed or merged PR"
_CLOSED_DISMISSAL = "can't dismiss a review associated to a closed or merged PR"


async def list_reviews(call: Call) -> web.Response:
    """Other people's unsubmitted ones are left out of the page, not of the total."""
    _, pull = _pull(call)
    page, headers = call.page(pull.reviews)
    shaped = [_shape(call, one) for one in page if _shows(call, one)]
    return answer(shaped, headers=headers)


async def get_review(call: Call) -> web.Response:
    return answer(_shape(call, _review(call)))


async def create_review(call: Call) -> web.Response:
    ticket, pull = _pull(call)
    comments = call.field("comments", list, [])
    state = _state(call, ticket, has_comments=bool(comments))
    commit = call.field("commit_id", str, "") or pull.ref_sha
    for sent in comments:
        unsubmitted = _unsubmitted(call, pull) or _new(call, pull, call.user, "PENDING", commit)
        await add_remark(call, pull, unsubmitted, sent)
    return answer(_shape(call, await _submit(call, ticket, pull, state, commit)))


async def submit_review(call: Call) -> web.Response:
    ticket, pull = _pull(call)
    row = _review(call)
    if row.state != "PENDING":
        raise ApiError(422, "only a pending review can be submitted")
    state = _state(call, ticket, has_comments=bool(row.remarks))
    if state == "PENDING":
        raise ApiError(422, "review stay pending")
    return answer(_shape(call, await _submit(call, ticket, pull, state, pull.ref_sha)))


async def delete_review(call: Call) -> web.Response:
    _, pull = _pull(call)
    row = _review(call)
    if row.author is not call.user and not call.user.is_admin:
        raise ApiError(403, "only admin and user itself can delete a review")
    pull.reviews.remove(row)
    return nothing()


async def list_remarks(call: Call) -> web.Response:
    """In no order that one could rely on."""
    ticket, row = call.ticket(pull=True), _review(call)
    shaped = [review_shapes.remark(call.world, call.repo, ticket, row, one) for one in row.remarks]
    return answer(shaped[::-1])


async def create_remark(call: Call) -> web.Response:
    """Into anybody's review; no hook tells of it."""
    ticket, pull = _pull(call)
    row = _review(call)
    said = await add_remark(call, pull, row, call.sent)
    ticket.updated = call.world.now()
    return answer(review_shapes.remark(call.world, call.repo, ticket, row, said))


async def delete_remark(call: Call) -> web.Response:
    row, wanted = _review(call), call.number("comment")
    said = next((one for one in row.remarks if one.id == wanted), None)
    if said is None:
        raise ApiError(404, NOT_FOUND)
    if said.author is not call.user and call.access < Access.WRITE:
        raise ApiError(403)
    row.remarks.remove(said)
    return nothing()


async def dismiss(call: Call) -> web.Response:
    return await _dismissed(call, is_dismissed=True)


async def undismiss(call: Call) -> web.Response:
    return await _dismissed(call, is_dismissed=False)


async def _dismissed(call: Call, *, is_dismissed: bool) -> web.Response:
    """No hook tells of it."""
    if call.access < Access.ADMIN:
        raise ApiError(403, "Must be repo admin")
    ticket, row = call.ticket(pull=True), _review(call)
    if row.state not in _VERDICTS:
        raise ApiError(403, "not need to dismiss this review")
    if ticket.state != "open":
        raise ApiError(403, _CLOSED_DISMISSAL)
    row.dismissed = is_dismissed
    if is_dismissed:
        message = call.field("message", str, "")
        _happened(call, ticket, row, "dismiss_review", message)
    return answer(_shape(call, row))


# -- asking for one


async def ask_for_reviews(call: Call) -> web.Response:
    ticket, pull = _pull(call)
    asked = [_asked(call, ticket, pull, str(one)) for one in call.field("reviewers", list, [])]
    made = []
    for account in asked:
        last = _last(pull, account)
        if last and last.state == "REQUEST_REVIEW":
            continue
        if last and ticket.state != "open":
            raise ApiError(403, _CLOSED_ASK)
        official = _is_official(call, pull, account)
        if official:
            _unofficial(pull, account)
        row = _new(call, pull, account, "REQUEST_REVIEW", "")
        row.official = official
        made.append(row)
        _happened(call, ticket, row, "review_request")
        if account is not call.user:
            await _tell(call, ticket, account, "review_requested")
    return answer([_shape(call, one) for one in made], 201)


async def withdraw_requests(call: Call) -> web.Response:
    ticket, pull = _pull(call)
    call.need(Access.WRITE)
    for login in call.field("reviewers", list, []):
        account = call.account(str(login))
        rows = [one for one in pull.reviews if one.state == "REQUEST_REVIEW"]
        if row := next((one for one in rows if one.author is account), None):
            pull.reviews.remove(row)
            if (last := _last(pull, account)) and row.official:
                last.official = True
            await _tell(call, ticket, account, "review_request_removed")
    return nothing()


def _asked(call: Call, ticket: Ticket, pull: Pull, login: str) -> Account:
    """Who may be asked, by whom: who may write asks anybody, the author who has reviewed it."""
    account = call.account(login)
    if call.world.access(account, call.repo) < Access.READ:
        raise ApiError(422, f"Reviewer can't read [user: {login}]")
    if account is ticket.author:
        raise ApiError(422, f"poster of pr can't be reviewer [user: {login}]")
    is_author_again = ticket.author is call.user and _last(pull, account) is not None
    if call.access < Access.WRITE and not is_author_again:
        raise ApiError(422, f"Doer can't choose reviewer [user: {login}]")
    return account


async def _tell(call: Call, ticket: Ticket, account: Account, action: str) -> None:
    await call.notify.review_asked(call.repo, ticket, call.user, account, action)


# -- how one is submitted


def _state(call: Call, ticket: Ticket, *, has_comments: bool) -> str:
    event, body = call.field("event", str, ""), call.field("body", str, "").strip()
    if event in _VERDICTS and ticket.author is call.user:
        verb = "approve" if event == "APPROVED" else "reject"
        raise ApiError(422, f"{verb} your own pull is not allowed")
    if event == "COMMENT" and not body and not has_comments:
        raise ApiError(422, f"review event {event} requires a body or a comment")
    if event not in ("APPROVED", "COMMENT") and not body:
        raise ApiError(422, f"review event {event} requires a body")
    return event if event in (*_VERDICTS, "COMMENT") else "PENDING"


async def _submit(call: Call, ticket: Ticket, pull: Pull, state: str, commit: str) -> Review:
    """What was not yet submitted becomes this one. Only a wholly new one dismisses one's earlier
    verdicts and, where it is none itself, ends one's being asked."""
    is_verdict = state in _VERDICTS
    row = _unsubmitted(call, pull)
    if is_verdict or (row is None and state != "PENDING"):
        _unask(pull, call.user)
    if is_verdict:
        _unofficial(pull, call.user)
    if row is None:
        if is_verdict:
            _dismiss_earlier(pull, call.user)
        row = _new(call, pull, call.user, state, commit)
    row.state, row.commit_id, row.body = state, commit, call.field("body", str, "")
    row.official = is_verdict and _is_official(call, pull, call.user)
    row.stale = is_verdict and await _is_stale(call, pull, commit)
    row.updated = call.world.now()
    row.listed = _happened(call, ticket, row, "review", row.body)
    if state != "PENDING":
        await call.notify.reviewed(call.repo, ticket, row)
    return row


async def _is_stale(call: Call, pull: Pull, commit: str) -> bool:
    if commit == pull.ref_sha:
        return False
    base = pull_shapes.base_commit(call.repo, pull)
    return not await call.repo.git.is_same_change(base, commit, pull.ref_sha)


def _is_official(call: Call, pull: Pull, account: Account) -> bool:
    access, rule = call.world.access(account, call.repo), call.repo.protection(pull.base)
    return rule.may_approve(account.login, access) if rule else access >= Access.WRITE


def _unask(pull: Pull, account: Account) -> None:
    pull.reviews[:] = [
        one for one in pull.reviews if not (one.state == "REQUEST_REVIEW" and one.author is account)
    ]


def _unofficial(pull: Pull, account: Account) -> None:
    for one in pull.reviews:
        if one.author is account:
            one.official = False


def _dismiss_earlier(pull: Pull, account: Account) -> None:
    for one in pull.reviews:
        if one.author is account and one.state in _VERDICTS:
            one.dismissed = True


def _new(call: Call, pull: Pull, author: Account, state: str, commit: str) -> Review:
    now = call.world.now()
    row = Review(call.world.next_id(), author, state, "", commit, now, now)
    pull.reviews.append(row)
    return row


def _happened(call: Call, ticket: Ticket, row: Review, kind: str, body: str = "") -> int:
    entry = Happening(call.world.next_id(), kind, call.user, call.world.now(), body, row.id)
    ticket.happenings.append(entry)
    ticket.updated = entry.created
    return entry.id


# -- finding them


def _last(pull: Pull, account: Account) -> Review | None:
    wanted = (*_VERDICTS, "REQUEST_REVIEW")
    rows = [one for one in pull.reviews if one.author is account and one.state in wanted]
    return rows[-1] if rows else None


def _unsubmitted(call: Call, pull: Pull) -> Review | None:
    rows = [one for one in pull.reviews if one.state == "PENDING" and one.author is call.user]
    return rows[0] if rows else None


def _shows(call: Call, row: Review) -> bool:
    is_own = call.actor is not None and (row.author is call.actor or call.actor.is_admin)
    return row.state != "PENDING" or is_own


def _review(call: Call) -> Review:
    wanted = call.number("id")
    for row in _pull(call)[1].reviews:
        if row.id == wanted and _shows(call, row):
            return row
    raise ApiError(404, NOT_FOUND)


def _pull(call: Call) -> tuple[Ticket, Pull]:
    ticket = call.ticket(pull=True)
    if ticket.pull is None:
        raise ApiError(404, NOT_FOUND)
    return ticket, ticket.pull


def _shape(call: Call, row: Review) -> dict[str, object]:
    return review_shapes.review(call.world, call.repo, call.ticket(), row)


_P = "/repos/{owner}/{repo}/pulls/{index:\\d+}"
_ONE = f"{_P}/reviews/{{id:\\d+}}"
ROUTES = (
    Route("GET", f"{_P}/reviews", list_reviews),
    Route("POST", f"{_P}/reviews", create_review, "user"),
    Route("GET", _ONE, get_review),
    Route("POST", _ONE, submit_review, "user"),
    Route("DELETE", _ONE, delete_review, "user"),
    Route("GET", f"{_ONE}/comments", list_remarks),
    Route("POST", f"{_ONE}/comments", create_remark, "user"),
    Route("DELETE", f"{_ONE}/comments/{{comment:\\d+}}", delete_remark, "user"),
    Route("POST", f"{_ONE}/dismissals", dismiss, "user"),
    Route("POST", f"{_ONE}/undismissals", undismiss, "user"),
    Route("POST", f"{_P}/requested_reviewers", ask_for_reviews, "user"),
    Route("DELETE", f"{_P}/requested_reviewers", withdraw_requests, "user"),
)
