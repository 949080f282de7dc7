"""What fleetbot relies on in Forgejo: reviews, the conversations on lines, who is asked for one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from fleetbot.forge.errors import ForgeError, ForgeForbidden, ForgeNotFound, Unprocessable
from fleetbot.forge.models import PullRequest
from fleetbot.forge.payloads import ReviewEvent
from fleetbot.forge.review_calls import LineComment
from fleetbot.forge.reviews import Review
from tests.forge.site import Person, Receiver, Site

BRANCH = "fleet/7-mend-it"
LINES = [f"line {number}" for number in range(1, 9)]
WRITTEN_AS = (6, 7)  # line 7 now: its number in the commit that wrote it; in v11 the one asked for


@pytest.fixture
async def pull(site: Site, repo: str, bot: Person) -> PullRequest:
    """The bot's: its first commit wrote eight lines, the second one a line above them."""
    text = "\n".join(LINES)
    await site.push(repo, bot, BRANCH, {"new.txt": f"{text}\n"}, "Write")
    await site.push(repo, bot, BRANCH, {"new.txt": f"first\n{text}\n", "README.md": None}, "Begin")
    return await bot.forge.create_pull(repo, head=BRANCH, base="main", title="Mend it")


async def reviewed(person: Person, repo: str, pull: PullRequest, *lines: LineComment) -> Review:
    return await person.forge.create_review(
        repo, pull.number, "REQUEST_CHANGES", "Not like this", comments=lines
    )


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    """Forgejo's queues take their time, and tell nobody."""
    async with asyncio.timeout(30):
        while not await look():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.05)


async def test_a_comment_on_a_line_is_of_the_commit_that_wrote_it(
    repo: str, ann: Person, bot: Person, pull: PullRequest
) -> None:
    review = await reviewed(ann, repo, pull, LineComment("new.txt", 7, "Why?"))

    [comment] = await bot.forge.review_comments(repo, pull.number, review.id)

    first, second = [one.sha for one in reversed(await bot.forge.pull_commits(repo, pull.number))]
    assert (comment.path, comment.original_position) == ("new.txt", 0)
    assert comment.position in WRITTEN_AS
    assert (comment.commit_id, pull.head.sha) == (first, second)
    assert (comment.body, comment.author, comment.resolver) == ("Why?", ann.login, None)
    assert comment.diff_hunk.splitlines()[-1] == "+line 6"
    assert comment.diff_hunk.startswith("@@ ")
    assert len(comment.diff_hunk.splitlines()) == 5
    assert comment.pull_request_review_id == review.id
    assert review.comments_count == 1


async def test_a_comment_may_be_on_a_line_of_the_old_file(
    repo: str, ann: Person, bot: Person, pull: PullRequest
) -> None:
    on_old = LineComment("README.md", 1, "Keep it", is_old=True)
    review = await reviewed(ann, repo, pull, on_old)
    [thread] = await bot.forge.threads(repo, pull.number)
    assert (thread.review_id, thread.path, thread.line) == (review.id, "README.md", 1)
    assert thread.is_old
    assert thread.hunk.splitlines()[-1].startswith("-# app-")


async def test_an_answer_joins_its_conversation_and_no_other(
    repo: str, ann: Person, bot: Person, pull: PullRequest
) -> None:
    await reviewed(ann, repo, pull, LineComment("new.txt", 7, "Why?"))
    await reviewed(ann, repo, pull, LineComment("new.txt", 7, "And again?"))
    old, new = await bot.forge.threads(repo, pull.number)

    answer = await bot.forge.reply(repo, pull.number, old, "Because.")

    assert answer.path == "new.txt"
    assert answer.position in WRITTEN_AS
    assert answer.pull_request_review_id == old.review_id
    threads = {one.id: one for one in await bot.forge.threads(repo, pull.number)}
    assert [one.body for one in threads[old.id].comments] == ["Why?", "Because."]
    assert threads[old.id].comments[-1].author == bot.login
    assert [one.body for one in threads[new.id].comments] == ["And again?"]
    assert not threads[old.id].is_resolved
    assert len(await bot.forge.reviews(repo, pull.number)) == 2


async def test_an_answer_joins_a_conversation_whose_line_is_gone(
    site: Site, repo: str, ann: Person, bot: Person, pull: PullRequest
) -> None:
    on_old = LineComment("README.md", 1, "Keep it", is_old=True)
    await reviewed(ann, repo, pull, LineComment("new.txt", 7, "Why?"), on_old)
    await site.push(repo, bot, BRANCH, {"new.txt": None}, "Take it away")
    before = await bot.forge.threads(repo, pull.number)

    for thread in before:
        await bot.forge.reply(repo, pull.number, thread, "It is gone.")

    after = await bot.forge.threads(repo, pull.number)
    assert [one.id for one in after] == [one.id for one in before]
    assert [len(one.comments) for one in after] == [2, 2]
    assert sorted(one.hunk for one in after) == sorted(one.hunk for one in before)


async def test_an_answer_joins_a_conversation_whose_line_was_moved_or_changed(
    site: Site, repo: str, ann: Person, bot: Person, pull: PullRequest
) -> None:
    lines = (LineComment("new.txt", 3, "Move it"), LineComment("new.txt", 7, "Change it"))
    review = await reviewed(ann, repo, pull, *lines)
    text = "\n".join(["at", "last", "first", *LINES[:5], "another", *LINES[6:]])
    await site.push(repo, bot, BRANCH, {"new.txt": f"{text}\n"}, "As you want it")
    before = await bot.forge.threads(repo, pull.number)

    for thread in before:
        await bot.forge.reply(repo, pull.number, thread, "Done.")
    await ann.forge.reply(repo, pull.number, before[0], "Thanks.")

    after = await bot.forge.threads(repo, pull.number)
    assert [(one.id, one.line) for one in after] == [(one.id, one.line) for one in before]
    said = [[comment.body for comment in one.comments] for one in after]
    assert said == [["Move it", "Done.", "Thanks."], ["Change it", "Done."]]
    seen = await bot.forge.review(repo, pull.number, review.id)
    assert seen is not None
    assert seen.comments_count == 5  # the answers to it among them


async def test_a_comment_on_no_line_of_the_diff_has_no_hunk(
    repo: str, ann: Person, bot: Person, pull: PullRequest
) -> None:
    await reviewed(ann, repo, pull, LineComment("nowhere.txt", 3, "Where?"))
    [thread] = await bot.forge.threads(repo, pull.number)
    assert (thread.path, thread.line, thread.hunk) == ("nowhere.txt", 3, "")


async def test_an_answer_to_a_review_that_is_gone_is_refused(
    site: Site, repo: str, ann: Person, bot: Person, pull: PullRequest
) -> None:
    review = await reviewed(ann, repo, pull, LineComment("new.txt", 7, "Why?"))
    [thread] = await bot.forge.threads(repo, pull.number)
    path = f"/repos/{repo}/pulls/{pull.number}/reviews/{review.id}"
    await site.api("DELETE", path, ann.token, {})
    with pytest.raises(ForgeNotFound):
        await bot.forge.reply(repo, pull.number, thread, "Because.")
    assert await bot.forge.review(repo, pull.number, review.id) is None
    assert await bot.forge.threads(repo, pull.number) == ()


async def test_what_is_not_submitted_shows_to_its_author_only(
    repo: str, ann: Person, bot: Person, pull: PullRequest
) -> None:
    draft = await ann.forge.create_review(
        repo, pull.number, "PENDING", "Wait", comments=[LineComment("new.txt", 1, "Hm")]
    )
    assert draft.state == "PENDING"
    assert await bot.forge.reviews(repo, pull.number) == []
    assert await bot.forge.review(repo, pull.number, draft.id) is None
    assert [one.id for one in await ann.forge.reviews(repo, pull.number)] == [draft.id]

    submitted = await ann.forge.create_review(repo, pull.number, "COMMENT", "Now")

    assert (submitted.id, submitted.comments_count) == (draft.id, 1)
    [seen] = await bot.forge.reviews(repo, pull.number)
    assert (seen.state, seen.body) == ("COMMENT", "Now")


async def test_a_review_says_something_and_nobody_judges_his_own(
    repo: str, bot: Person, pull: PullRequest
) -> None:
    for event, body in (("APPROVED", ""), ("REQUEST_CHANGES", "No"), ("COMMENT", "")):
        with pytest.raises(Unprocessable):
            await bot.forge.create_review(repo, pull.number, event, body)  # type: ignore[arg-type]  # the literals above
    said = await bot.forge.create_review(
        repo, pull.number, "COMMENT", comments=[LineComment("new.txt", 1, "See here")]
    )
    assert (said.state, said.official, said.body) == ("COMMENT", False, "")


async def test_a_later_verdict_dismisses_an_earlier_one_unless_it_speaks_of_lines(
    repo: str, ann: Person, bot: Person, pull: PullRequest
) -> None:
    one = await ann.forge.create_review(repo, pull.number, "REQUEST_CHANGES", "No")
    two = await ann.forge.create_review(repo, pull.number, "APPROVED")
    three = await reviewed(ann, repo, pull, LineComment("new.txt", 7, "Why?"))
    found = {review.id: review for review in await bot.forge.reviews(repo, pull.number)}
    assert [found[review.id].dismissed for review in (one, two, three)] == [True, False, False]
    assert [found[review.id].official for review in (one, two, three)] == [False, False, True]


async def test_a_push_makes_reviews_stale_when_it_changes_what_they_saw(
    site: Site, repo: str, ann: Person, bot: Person, pull: PullRequest
) -> None:
    review = await ann.forge.create_review(repo, pull.number, "APPROVED")
    assert not review.stale
    head = await site.push(repo, bot, BRANCH, {"new.txt": "other\n"}, "Change")

    async def is_stale() -> bool:
        [seen] = await bot.forge.reviews(repo, pull.number)
        return seen.stale

    await until(is_stale)
    [seen] = await bot.forge.reviews(repo, pull.number)
    assert (seen.commit_id, seen.dismissed) == (pull.head.sha, False)
    late = await ann.forge.create_review(
        repo, pull.number, "REQUEST_CHANGES", "No", commit=pull.head.sha
    )
    assert (late.commit_id, late.stale) == (pull.head.sha, True)
    new = await ann.forge.create_review(repo, pull.number, "APPROVED")
    assert (new.commit_id, new.stale) == (head, False)


async def test_an_administrator_dismisses_a_verdict(
    repo: str, ann: Person, bot: Person, pull: PullRequest
) -> None:
    verdict = await ann.forge.create_review(repo, pull.number, "REQUEST_CHANGES", "No")
    words = await ann.forge.create_review(repo, pull.number, "COMMENT", "Hm")
    for person, review in ((bot, verdict), (ann, words)):
        with pytest.raises(ForgeForbidden):
            await person.forge.dismiss_review(repo, pull.number, review.id)
    await ann.forge.dismiss_review(repo, pull.number, verdict.id, "Settled in the room")
    seen = await bot.forge.review(repo, pull.number, verdict.id)
    assert seen is not None
    assert (seen.state, seen.dismissed) == ("REQUEST_CHANGES", True)


async def test_a_reviewer_is_asked_again_and_his_verdict_counts_no_more(
    repo: str, ann: Person, bot: Person, pull: PullRequest
) -> None:
    verdict = await ann.forge.create_review(repo, pull.number, "REQUEST_CHANGES", "No")
    assert verdict.official

    [asked] = await bot.forge.request_reviews(repo, pull.number, [ann.login])

    assert (asked.state, asked.author, asked.official) == ("REQUEST_REVIEW", ann.login, True)
    assert await bot.forge.request_reviews(repo, pull.number, [ann.login]) == []
    shown = await bot.forge.pull(repo, pull.number)
    assert [one.login for one in shown.requested_reviewers] == [ann.login]
    seen = await bot.forge.review(repo, pull.number, verdict.id)
    assert seen is not None
    assert (seen.official, seen.dismissed) == (False, False)

    await ann.forge.create_review(repo, pull.number, "APPROVED")
    states = [one.state for one in await bot.forge.reviews(repo, pull.number)]
    assert states == ["REQUEST_CHANGES", "APPROVED"]
    shown = await bot.forge.pull(repo, pull.number)  # who has given one is there too
    assert [one.login for one in shown.requested_reviewers] == [ann.login]


async def test_who_cannot_be_asked_for_a_review(
    site: Site, repo: str, ann: Person, bot: Person, pull: PullRequest
) -> None:
    with pytest.raises(Unprocessable):
        await ann.forge.request_reviews(repo, pull.number, [bot.login])
    with pytest.raises(ForgeNotFound):
        await bot.forge.request_reviews(repo, pull.number, [f"{ann.login}-of-old"])
    await ann.forge.create_review(repo, pull.number, "APPROVED")
    await bot.forge.close_pull(repo, pull.number)
    with pytest.raises(ForgeForbidden):
        await bot.forge.request_reviews(repo, pull.number, [ann.login])


async def test_a_review_outlives_its_author(
    site: Site, repo: str, ann: Person, bot: Person, pull: PullRequest
) -> None:
    eve = await site.person("eve")
    await reviewed(eve, repo, pull, LineComment("new.txt", 7, "Why?"))
    await site.forget(eve)

    [review] = await bot.forge.reviews(repo, pull.number)
    [thread] = await bot.forge.threads(repo, pull.number)

    assert (review.state, review.author, review.official) == ("REQUEST_CHANGES", "", False)
    assert thread.comments[-1].author == ""
    answer = await bot.forge.reply(repo, pull.number, thread, "Because.")
    assert answer.author == bot.login


async def test_hooks_are_told_of_reviews_and_not_of_answers_and_dismissals(
    repo: str, ann: Person, bot: Person, pull: PullRequest, receiver: Receiver
) -> None:
    await ann.forge.create_hook(repo, receiver.url, receiver.secret, ["pull_request"])
    rejected = await reviewed(ann, repo, pull, LineComment("new.txt", 7, "Why?"))
    [thread] = await bot.forge.threads(repo, pull.number)
    await bot.forge.reply(repo, pull.number, thread, "Because.")
    await ann.forge.dismiss_review(repo, pull.number, rejected.id)
    await bot.forge.request_reviews(repo, pull.number, [ann.login])
    await ann.forge.create_review(repo, pull.number, "COMMENT", "Hm")
    await ann.forge.create_review(repo, pull.number, "APPROVED")

    deliveries = await receiver.until(lambda arrived: len(arrived) == 4)

    kinds = {one.event_type for one in deliveries}
    assert kinds == {
        "pull_request_review_rejected",
        "pull_request_review_request",
        "pull_request_review_comment",
        "pull_request_review_approved",
    }
    told = [one.payload for one in deliveries if isinstance(one.payload, ReviewEvent)]
    assert {one.state for one in told} == {"REQUEST_CHANGES", "COMMENT", "APPROVED"}
    assert {one.review.content for one in told} == {"Not like this", "Hm", ""}
    assert {one.sender.login for one in told if one.sender} == {ann.login}


async def test_the_timeline_tells_of_pushes_and_reviews(
    site: Site, repo: str, ann: Person, bot: Person, pull: PullRequest
) -> None:
    review = await ann.forge.create_review(repo, pull.number, "COMMENT", "Hm")
    plain = await site.push(repo, bot, BRANCH, {"more.txt": "more\n"}, "More")
    forced = await site.force(repo, ann, BRANCH, {"other.txt": "other\n"}, "All anew")

    async def is_told() -> bool:
        entries = await bot.forge.timeline(repo, pull.number)
        return sum(one.type == "pull_push" for one in entries) == 3

    await until(is_told)
    entries = await bot.forge.timeline(repo, pull.number)
    opened, one, other = [entry for entry in entries if entry.type == "pull_push"]
    assert opened.pushed is not None
    assert opened.pushed.commit_ids[-1] == pull.head.sha
    assert len(opened.pushed.commit_ids) == 2
    assert one.pushed is not None
    assert (one.pushed.is_force_push, one.pushed.commit_ids) == (False, (plain,))
    assert other.pushed is not None
    assert (other.pushed.is_force_push, other.pushed.commit_ids) == (True, (plain, forced))
    assert one.user is not None
    assert other.user is not None
    assert (one.user.login, other.user.login) == (bot.login, ann.login)
    [listed] = [entry for entry in entries if entry.type == "review"]
    assert (listed.review_id, listed.body) == (review.id, "Hm")


async def test_a_stranger_may_speak_and_his_verdict_is_not_official(
    site: Site, repo: str, bot: Person, pull: PullRequest
) -> None:
    eve = await site.person("eve")
    verdict = await eve.forge.create_review(repo, pull.number, "APPROVED")
    assert (verdict.state, verdict.official) == ("APPROVED", False)
    with pytest.raises(ForgeError):
        await eve.forge.request_reviews(repo, pull.number, [bot.login])
