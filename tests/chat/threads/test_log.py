"""The log of runs in threads of a real room, over restarts and limits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from fleetbot.chat.speaking.content import content
from fleetbot.chat.speaking.link import Link
from fleetbot.chat.speaking.pace import Pace, Urgency
from fleetbot.chat.speaking.runs import event_link, run_in_thread, run_link
from fleetbot.chat.threads.followed import MOST_FOLLOWED, Followed
from fleetbot.chat.threads.log import LAST_LINES_MS, PACE_MS, ThreadLog
from fleetbot.chat.threads.pages import MOST_PAGES
from fleetbot.chat.threads.writing import CARD_MS
from fleetbot.chat.words.rich import say
from fleetbot.domain import commands as cmd
from fleetbot.domain.model import AgentName, Run, RunId
from fleetbot.domain.reasons import ReasonCode
from fleetbot.store.records import Anchor, Change, LogChunk, LogLine, Posted, PostKind
from fleetbot_devkit.matrix_user import MatrixUser, RoomEvent
from tests.chat.rooms import (
    Answer,
    LimitedHomeserver,
    MoodyHomeserver,
    client_of,
    error,
    forgetting_homeserver,
    limited_homeserver,
    moody_homeserver,
    said,
    sent,
)
from tests.conftest import Register
from tests.services.stage import CLAUDE, TEST, Stage
from tests.store.backend import SqliteBackend

PACE, LAST_LINES = PACE_MS / 1000, LAST_LINES_MS / 1000


class Scene:
    """The bot writes to a room that Ann reads; ticks come when the test says so."""

    def __init__(self, stage: Stage, link: Link, room: str) -> None:
        self.stage, self.link, self.room = stage, link, room
        self.rooms = [room]
        self.meanwhile: Iterator[Callable[[], Awaitable[object]]] = iter(())
        self.per_task = False
        self.wakes = 0
        self.start()

    def start(self) -> None:
        """A process of ours begins: nothing is in memory."""
        self.threads = ThreadLog(
            self.stage.fleet, self.link, self._hearing, self._woken, per_task=self.per_task
        )
        self.stage.fleet.listen(self.threads.hear)

    async def _hearing(self, repo: str) -> list[str]:
        if meanwhile := next(self.meanwhile, None):
            await meanwhile()
        return self.rooms

    def _woken(self) -> None:
        self.wakes += 1

    async def run(self) -> Run:
        await self.stage.issue("Add a greeting")
        await self.stage.hear()
        return await self.stage.given_running()

    async def log(self, run: Run, *texts: str) -> None:
        store = self.stage.store
        offset = await store.log_length(run.id)
        lines = tuple(LogLine(at=0, kind="assistant", text=text) for text in texts)
        await store.append_log(LogChunk(run=run.id, offset=offset, lines=lines))
        await self.threads.expect(run.id)

    async def fail(self, run: Run) -> None:
        """The run ends, and the moment that its last lines are waited for passes."""
        await self.end(run)
        self.stage.clock.advance(LAST_LINES)

    async def end(self, run: Run) -> None:
        failure = cmd.FailRun(run=run.id, agent=run.agent, reason=ReasonCode.TIMEOUT)
        await self.stage.fleet.commit(failure, TEST)

    async def busy(self, agents: list[AgentName]) -> list[Run]:
        """Each agent is at work."""
        for number, _ in enumerate(agents):
            await self.stage.issue(f"Greeting {number}")
        await self.stage.hear()
        return [await self.stage.given_running(agent) for agent in agents]

    async def asks(self, number: int) -> int:
        """A question goes into the room; for how long (ms) it had to wait."""
        waited = self.link.pace.wait_ms(Urgency.QUESTION)
        asked = content(say(f"May I, {number}?"))
        await self.link.send(self.room, asked, f"q{number}", urgency=Urgency.QUESTION)
        return waited

    async def tick_later(self) -> float | None:
        self.stage.clock.advance(PACE)
        return await self.threads.tick()


class RealScene(Scene):
    def __init__(
        self, stage: Stage, link: Link, room: str, ann: MatrixUser, bot: MatrixUser
    ) -> None:
        super().__init__(stage, link, room)
        self.ann, self.bot = ann, bot

    async def events(self) -> list[RoomEvent]:
        return await said(self.ann, self.room, self.bot)

    async def file(self) -> list[str]:
        """The lines of the newest file in the room, as Ann downloads it."""
        files = [e.content for e in await self.events() if e.content["msgtype"] == "m.file"]
        async with client_of(self.ann) as ann:
            return (await ann.download_media(files[-1]["url"])).decode().splitlines()

    async def thread(self) -> list[str]:
        """What Ann reads in the agent's thread: the newest text of each message."""
        texts: dict[str, str] = {}
        for event in await self.events():
            if event.replaces:
                texts[event.replaces] = event.text
            elif event.thread:
                texts[event.event_id] = event.text
        return list(texts.values())


@pytest.fixture
async def scene(stage: Stage, register: Register) -> AsyncIterator[RealScene]:
    ann, bot = await register("ann"), await register("bot")
    room = await ann.create_room("Fleet", invite=[bot.user_id])
    await bot.join(room)
    async with client_of(bot) as client:
        yield RealScene(stage, Link(client, Pace(stage.clock)), room, ann, bot)


@pytest.fixture
async def moody() -> AsyncIterator[MoodyHomeserver]:
    async with moody_homeserver() as server:
        yield server


@pytest.fixture
async def moody_scene(stage: Stage, moody: MoodyHomeserver) -> AsyncIterator[Scene]:
    moody.answers = [sent()]
    async with client_of(moody.user()) as client:
        yield Scene(stage, Link(client, Pace(stage.clock)), "!room:localhost")


async def test_a_run_is_told_in_one_message_that_grows(scene: RealScene) -> None:
    run = await scene.run()
    assert scene.wakes > 0
    await scene.threads.tick()
    assert await scene.thread() == ["▶ ann/app#1 Add a greeting · claude-1"]

    await scene.log(run, "Reading the code")
    await scene.tick_later()
    await scene.log(run, "Writing <b>tests</b>", "Done")
    await scene.tick_later()
    assert await scene.thread() == [
        "▶ ann/app#1 Add a greeting · claude-1\nReading the code\nWriting <b>tests</b>\nDone"
    ]

    await scene.fail(run)
    await scene.threads.tick()
    (text,) = await scene.thread()
    assert text.endswith("Done\n■ the run took longer than it may ❌ after 10 s")
    assert await scene.threads.tick() is None


async def test_every_agent_has_one_thread_for_all_its_runs(scene: RealScene) -> None:
    await scene.fail(await scene.run())
    await scene.threads.tick()
    await scene.stage.fleet.commit(cmd.RetryTask((await scene.stage.task()).id), TEST)
    await scene.stage.given_running()
    await scene.threads.tick()
    await scene.tick_later()

    events = await scene.events()
    roots = [e for e in events if not e.thread and not e.replaces]
    assert [e.text for e in roots] == ["🧵 claude-1: what it does, run by run"]
    assert {e.thread for e in events if e.thread} == {roots[0].event_id}
    assert len(await scene.thread()) == 2
    assert all(e.content["msgtype"] == "m.notice" for e in events)
    assert all(e.content["m.mentions"] == {} for e in events)


async def test_each_message_is_known_to_speak_of_its_run(scene: RealScene) -> None:
    run = await scene.run()
    await scene.log(run, *many_lines(0, 60))
    await scene.fail(run)
    await scene.threads.tick()

    root, *pages = [e for e in await scene.events() if not e.replaces]
    store = scene.stage.store
    posts = [await store.posted(scene.room, page.event_id) for page in pages]
    assert len(posts) == 2
    assert all(post and (post.kind, post.subject) == (PostKind.RUN, run.id) for post in posts)
    assert await run_in_thread(store, scene.room, root.event_id) == run.id
    link = await run_link(store, scene.room, run.id)
    assert link == event_link(scene.room, pages[0].event_id)
    assert await run_link(store, scene.room, RunId("other")) is None


async def test_a_task_has_a_thread_below_its_card_where_that_is_wished(scene: RealScene) -> None:
    scene.per_task = True
    scene.start()
    run = await scene.run()
    card = await scene.bot.send(scene.room, "the card")
    post = Posted(room=scene.room, event=card, kind=PostKind.CARD, subject=run.task, at=1)
    await scene.stage.store.append(Change(posted=(post,)))
    await scene.threads.tick()
    await scene.fail(run)
    await scene.stage.fleet.commit(cmd.RetryTask(run.task), TEST)
    await scene.stage.given_running(AgentName("smith"))
    await scene.tick_later()
    await scene.tick_later()

    assert {e.thread for e in await scene.events() if e.thread} == {card}
    first, second = await scene.thread()
    assert first.startswith("▶ ann/app#1 Add a greeting · claude-1")
    assert second == "▶ ann/app#1 Add a greeting · smith"


async def test_a_task_without_a_card_has_a_thread_of_its_own(scene: RealScene) -> None:
    scene.per_task = True
    scene.start()
    await scene.run()
    await scene.threads.tick()
    assert not await scene.events(), "its card may be on its way"
    scene.stage.clock.advance(CARD_MS / 1000)
    await scene.threads.tick()

    (root,) = [e for e in await scene.events() if not e.thread]
    assert root.text == "🧵 ann/app#1 Add a greeting: what is done about it, run by run"


async def test_a_full_message_is_followed_by_another(scene: RealScene) -> None:
    run = await scene.run()
    lines = [f"line {n} " + "x" * 80 for n in range(100)]
    await scene.log(run, *lines)
    await scene.fail(run)
    await scene.threads.tick()

    first, *others = await scene.thread()
    assert first.startswith("▶ ann/app#1")
    assert len(others) == 2
    assert all(text.startswith("… ann/app#1\n") for text in others)
    assert others[-1].splitlines()[-1].startswith("■ ")
    told = [x for text in (first, *others) for x in text.splitlines() if x.startswith("line ")]
    assert told == lines


def many_lines(first: int, upto: int) -> list[str]:
    return [f"line {n} " + "x" * 80 for n in range(first, upto)]


async def test_what_does_not_fit_into_so_many_messages_comes_as_a_file(scene: RealScene) -> None:
    run = await scene.run()
    lines = [*many_lines(0, 1000), "last <b>\x1b[1mword</b> @room"]
    await scene.log(run, *lines)
    await scene.fail(run)
    await scene.threads.tick()

    *told, name = await scene.thread()
    assert len(told) == MOST_PAGES
    assert name == f"{run.id}.txt"
    head, gap, *newest, end, note = told[-1].splitlines()
    shown = [x for text in told[:-1] for x in text.splitlines() if x.startswith("line ")]
    assert head == "… ann/app#1"
    assert gap == f"{len(lines) - len(shown) - len(newest)} lines left out here"
    assert shown == lines[: len(shown)]
    assert newest == [*lines[-len(newest) : -1], "last <b>word</b> @\u2060room"]
    assert end.startswith("■ ")
    assert note == "The whole log follows as a file."
    assert await scene.file() == [*lines[:-1], "last <b>word</b> @\u2060room"]


async def test_a_long_log_rings_nobody(scene: RealScene) -> None:
    """Clients let notices and edits pass in silence (push rules `.m.rule.suppress_…`)."""
    run = await scene.run()
    await scene.log(run, *many_lines(0, 1000))
    await scene.fail(run)
    await scene.threads.tick()

    events = await scene.events()
    assert [e.text for e in events if e.content["msgtype"] == "m.file"] == [f"{run.id}.txt"]
    assert all(e.content["msgtype"] == "m.notice" or e.replaces for e in events)
    assert all(e.content["m.mentions"] == {} for e in events)


async def test_the_last_message_goes_on_with_what_is_newest(scene: RealScene) -> None:
    run = await scene.run()
    await scene.log(run, *many_lines(0, 1000))
    for _ in range(2 * MOST_PAGES):
        await scene.tick_later()
    scene.start()
    await scene.log(run, "on and on")
    await scene.tick_later()

    told = await scene.thread()
    assert len(told) == MOST_PAGES
    assert told[-1].splitlines()[-2:] == [many_lines(999, 1000)[0], "on and on"]


async def test_the_file_comes_again_with_late_lines(scene: RealScene) -> None:
    run = await scene.run()
    await scene.log(run, *many_lines(0, 1000))
    await scene.fail(run)
    await scene.threads.tick()
    await scene.log(run, "one more thing")
    await scene.threads.tick()

    assert await scene.file() == [*many_lines(0, 1000), "one more thing"]
    told = await scene.thread()
    assert len(told) == MOST_PAGES + 2
    assert sum("\n■ " in text for text in told) == 1


@pytest.mark.parametrize("limit", [error(413, "M_TOO_LARGE"), Answer(413, "<html>no</html>")])
async def test_a_file_that_the_homeserver_refuses_is_left_out(
    moody_scene: Scene, moody: MoodyHomeserver, limit: Answer
) -> None:
    scene = moody_scene
    moody.refuses["/upload"] = limit
    run = await scene.run()
    await scene.log(run, *many_lines(0, 1000))
    await scene.fail(run)

    assert await scene.threads.tick() is None

    *_, end, note = moody.requests[-1][2]["m.new_content"]["body"].splitlines()
    assert end.startswith("■ ")
    assert note == f"fleetbot's database has the whole log of {run.id}."


async def test_a_file_is_as_long_as_the_homeserver_takes(
    moody_scene: Scene, moody: MoodyHomeserver
) -> None:
    scene = moody_scene
    moody.refuses["/media/config"] = Answer(200, {"m.upload.size": 9_000})
    run = await scene.run()
    await scene.log(run, *many_lines(0, 1000))
    await scene.fail(run)

    assert await scene.threads.tick() is None

    (file,) = moody.uploads
    assert 6_000 < len(file) <= 9_000
    assert b" lines left out: " in file


async def test_what_tools_put_out_is_in_the_file_only(scene: RealScene) -> None:
    run = await scene.run()
    lines = [("tool", "Read: a.py"), ("tool_output", "import os"), ("tool", "Read: b.py")]
    texts = tuple(LogLine(at=0, kind=kind, text=text) for kind, text in lines)
    await scene.stage.store.append_log(LogChunk(run=run.id, offset=0, lines=texts))
    await scene.threads.expect(run.id)
    await scene.fail(run)
    await scene.threads.tick()

    page, name = await scene.thread()
    assert page.splitlines()[1] == "$ Read ×2: a.py · b.py"
    assert name == f"{run.id}.txt"
    assert await scene.file() == ["$ Read: a.py", "import os", "$ Read: b.py"]


async def test_lines_that_come_late_are_added(scene: RealScene) -> None:
    run = await scene.run()
    await scene.fail(run)
    await scene.threads.tick()

    await scene.log(run, "one more thing")
    await scene.threads.tick()

    (text,) = await scene.thread()
    header, late, footer = text.splitlines()
    assert (header, late) == ("▶ ann/app#1 Add a greeting · claude-1", "one more thing")
    assert footer.startswith("■ ")


async def test_a_restart_neither_repeats_nor_loses_a_line(scene: RealScene) -> None:
    run = await scene.run()
    await scene.log(run, "before")
    await scene.threads.tick()

    scene.start()
    await scene.log(run, "after")
    scene.start()
    await scene.tick_later()
    assert await scene.thread() == ["▶ ann/app#1 Add a greeting · claude-1\nbefore\nafter"]


async def test_a_run_that_was_over_before_anything_was_written_is_written_after_a_restart(
    scene: RealScene,
) -> None:
    await scene.threads.tick()
    run = await scene.run()
    await scene.stage.store.append_log(
        LogChunk(run=run.id, offset=0, lines=(LogLine(at=0, kind="assistant", text="so short"),))
    )
    await scene.fail(run)

    scene.stage.restart()
    scene.start()
    await scene.threads.tick()

    (text,) = await scene.thread()
    assert text.startswith("▶ ann/app#1 Add a greeting · claude-1\nso short\n■ ")


async def test_runs_that_begin_while_the_homeserver_is_away_are_written_after_a_restart(
    scene: RealScene,
) -> None:
    first = await scene.run()
    async with client_of(MatrixUser("http://127.0.0.1:1", "@b:x", "t", "D")) as away:
        link, scene.link = scene.link, Link(away)
        scene.start()
        await scene.threads.tick()
        await scene.fail(first)
        await scene.stage.fleet.commit(cmd.RetryTask(first.task), TEST)
        second = await scene.stage.given_running()
        await scene.threads.tick()
        await scene.fail(second)
    scene.link = link

    scene.stage.restart()
    scene.start()
    await scene.threads.tick()

    assert [text.splitlines()[0] for text in await scene.thread()] == [
        "▶ ann/app#1 Add a greeting · claude-1"
    ] * 2


async def test_what_a_forgotten_agent_left_is_written_after_a_restart(scene: RealScene) -> None:
    """The homeserver was away until then."""
    run = await scene.run()
    async with client_of(MatrixUser("http://127.0.0.1:1", "@b:x", "t", "D")) as away:
        link, scene.link = scene.link, Link(away)
        scene.start()
        await scene.log(run, "its last words")
        await scene.threads.tick()
    scene.link = link
    await scene.fail(run)
    await scene.stage.fleet.commit(cmd.RevokeAgent(run.agent), TEST)
    await scene.stage.fleet.commit(cmd.ForgetAgent(run.agent), TEST)
    await scene.stage.store.prune_logs(0)

    scene.stage.restart()
    scene.start()
    await scene.threads.tick()

    (text,) = await scene.thread()
    assert "its last words" in text


async def test_lines_that_come_late_are_written_whatever_restarts_come(scene: RealScene) -> None:
    """The runner forgets its lines once it has their receipt."""
    run = await scene.run()
    await scene.fail(run)
    await scene.threads.tick()
    await scene.log(run, "one more thing")

    scene.stage.restart()
    scene.start()
    await scene.threads.tick()

    (text,) = await scene.thread()
    assert "one more thing" in text


async def test_a_line_of_the_journal_that_cannot_be_read_keeps_no_log_from_being_taken(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await Followed(stage.fleet).restore()
    await stage.issue()
    await stage.hear()
    SqliteBackend(stage.root).tamper("UPDATE events SET data = '{}' WHERE seq = 1")
    run = await stage.given_running()

    stage.restart()
    followed = Followed(stage.fleet)
    assert run.id in await followed.restore()
    await followed.add(run)
    assert "Event 1 cannot be read" in caplog.text


async def test_of_too_many_runs_that_wait_the_newest_are_written(
    stage: Stage, moody: MoodyHomeserver, caplog: pytest.LogCaptureFixture
) -> None:
    followed = Followed(stage.fleet)
    await followed.restore()
    await stage.issue()
    await stage.hear()
    run = await stage.given_running()
    runs = [replace(run, id=RunId(f"old-{n}")) for n in range(MOST_FOLLOWED + 1)]

    for one in runs:
        await followed.add(one)

    assert runs[0] not in followed
    assert all(one in followed for one in runs[1:])
    assert "the log of old-0 is not written" in caplog.text


async def test_an_end_that_was_not_written_before_a_restart_is_written_after_it(
    scene: RealScene,
) -> None:
    run = await scene.run()
    await scene.threads.tick()
    await scene.stage.fleet.commit(cmd.CancelTask(run.task), TEST)
    scene.stage.clock.advance(LAST_LINES)

    scene.stage.restart()
    scene.start()
    await scene.stage.fleet.start()
    await scene.threads.tick()

    (text,) = await scene.thread()
    assert "■ cancelled by a person" in text


async def test_a_message_sent_just_before_a_crash_is_not_sent_again(scene: RealScene) -> None:
    run = await scene.run()
    await scene.log(run, "hello")
    await scene.threads.tick()
    key = f"log:{scene.room}:{run.id}"
    planned = Anchor(key=key, value='{"first":0,"upto":1}')
    await scene.stage.store.append(Change(anchors=(planned,)))  # as it was before the send

    scene.start()
    await scene.log(run, "world")
    await scene.threads.tick()
    await scene.tick_later()

    assert await scene.thread() == ["▶ ann/app#1 Add a greeting · claude-1\nhello\nworld"]


async def test_a_process_that_dies_after_any_message_loses_and_repeats_no_line(
    stage: Stage,
) -> None:
    """The homeserver has the message, and we die before we know it."""
    async with forgetting_homeserver() as server, client_of(server.user()) as client:
        scene = Scene(stage, Link(client), "!room:localhost")
        run = await scene.run()
        for lost in range(1, 5):
            server.lost = lost
            for first in (0, 30, 60):
                lines = [f"{run.id} {n} " + "x" * 80 for n in range(first, first + 30)]
                await scene.log(run, *lines)
                await scene.tick_later()
                stage.restart()
                scene.start()
            await scene.fail(run)
            await scene.tick_later()
            stage.restart()
            scene.start()
            await scene.tick_later()
            assert server.lost <= 0

            told = [x.split()[1] for x in server.lines if x.startswith(f"{run.id} ")]
            assert told == [str(n) for n in range(90)]
            await stage.fleet.commit(cmd.RetryTask(run.task), TEST)
            run = await stage.given_running()
        assert sum(line.startswith("■ ") for line in server.lines) == 4


async def test_a_thread_whose_beginning_is_gone_is_begun_anew(scene: RealScene) -> None:
    await scene.fail(await scene.run())
    await scene.threads.tick()
    (root,) = {e.thread for e in await scene.events() if e.thread}
    async with client_of(scene.ann) as ann:
        await ann.redact(scene.room, root)  # type: ignore[arg-type]  # plain strings will do

    await scene.stage.fleet.commit(cmd.RetryTask((await scene.stage.task()).id), TEST)
    await scene.stage.given_running()
    await scene.tick_later()

    threads = [e.thread for e in await scene.events() if e.thread]
    assert len(set(threads)) == 2
    assert threads[-1] != root


async def test_a_thread_changes_no_more_often_than_its_pace(
    moody_scene: Scene, moody: MoodyHomeserver
) -> None:
    scene = moody_scene
    run = await scene.run()
    await scene.log(run, "one")
    await scene.threads.tick()
    asked = len(moody.requests)

    await scene.log(run, "two")
    assert await scene.threads.tick() == PACE
    await scene.log(run, "three")
    assert await scene.threads.tick() == PACE
    assert len(moody.requests) == asked

    await scene.tick_later()
    assert len(moody.requests) == asked + 1


async def test_a_run_that_begins_while_another_is_written_is_written(
    moody_scene: Scene, moody: MoodyHomeserver
) -> None:
    scene = moody_scene
    await scene.run()
    await scene.stage.issue("Greeting 2")
    await scene.stage.hear()
    scene.meanwhile = iter([partial(scene.stage.given_running, AgentName("smith"))])
    await scene.threads.tick()

    first = [str(body["body"]) for _, _, body in moody.requests if body]
    assert [text.partition(":")[0] for text in first if "🧵" in text] == ["🧵 claude-1", "🧵 smith"]


async def test_the_end_of_a_run_does_not_wait_for_the_pace(
    moody_scene: Scene, moody: MoodyHomeserver
) -> None:
    scene = moody_scene
    run = await scene.run()
    await scene.threads.tick()
    asked = len(moody.requests)

    await scene.fail(run)
    assert await scene.threads.tick() is None

    assert len(moody.requests) == asked + 1


async def test_the_last_lines_of_a_run_come_before_its_end(
    moody_scene: Scene, moody: MoodyHomeserver
) -> None:
    """A runner files the receipt first, and may be told to stop while it still has lines."""
    scene = moody_scene
    run = await scene.run()
    await scene.threads.tick()
    await scene.end(run)

    assert await scene.threads.tick() == LAST_LINES
    assert not any("■ " in str(body) for _, _, body in moody.requests)
    await scene.log(run, "the last word")
    scene.stage.clock.advance(LAST_LINES)
    assert await scene.threads.tick() is None

    shown = moody.requests[-1][2]["m.new_content"]["body"]
    assert [line[:13] for line in shown.splitlines()[1:]] == ["the last word", "■ the run too"]
    assert sum("■ " in str(body) for _, _, body in moody.requests) == 1


async def test_a_limit_is_waited_for(moody_scene: Scene, moody: MoodyHomeserver) -> None:
    scene = moody_scene
    await scene.run()
    moody.answers = [error(429, "M_LIMIT_EXCEEDED", retry_after_ms=5_000)]
    assert await scene.threads.tick() == 30.0, "what is left for people comes first"
    moody.answers = [sent()]
    asked = len(moody.requests)

    scene.stage.clock.advance(4.9)
    await scene.threads.tick()
    assert len(moody.requests) == asked
    assert scene.link.pace.report().waiting["log"] == 1
    assert scene.link.pace.report().lag_ms == 4_900

    scene.stage.clock.advance(60)
    await scene.threads.tick()
    assert len(moody.requests) > asked
    assert scene.link.pace.report().refusals == 1


async def test_agents_take_turns_where_there_is_a_limit(
    moody_scene: Scene, moody: MoodyHomeserver
) -> None:
    scene = moody_scene
    runs = await scene.busy([AgentName(f"smith-{n}") for n in range(5)])
    await scene.threads.tick()
    moody.answers = [error(429, "M_LIMIT_EXCEEDED", retry_after_ms=5_000)]
    await scene.log(runs[0], "begun")
    await scene.tick_later()
    moody.answers = [sent()]
    asked = len(moody.requests)

    for number in range(60):
        for run in runs:
            await scene.log(run, f"line {number}")
        await scene.tick_later()

    told = Counter(name for _, _, body in moody.requests[asked:] for name in names_in(body))
    assert set(told) == {run.agent for run in runs}
    assert max(told.values()) - min(told.values()) <= 1
    assert 50 <= told.total() <= 60


def names_in(body: dict[str, Any]) -> list[str]:
    return re.findall(r"smith-\d", body["m.new_content"]["body"])


@pytest.mark.parametrize("event", ["$4", "$5"], ids=["its beginning", "a message in it"])
async def test_the_thread_that_somebody_looks_at_is_written_first(stage: Stage, event: str) -> None:
    async with forgetting_homeserver() as server, client_of(server.user()) as client:
        scene = Scene(stage, Link(client, Pace(stage.clock)), "!room:localhost")
        runs = await scene.busy([AgentName(f"smith-{n}") for n in range(3)])
        await scene.threads.tick()
        assert all("smith-2" in text for text in server.texts[4:])
        await scene.threads.look_at(scene.room, event)
        for run in runs:
            await scene.log(run, "working")
        await scene.tick_later()

    first, *others = [re.findall(r"smith-\d", text) for text in server.texts[6:]]
    assert first == ["smith-2"]
    assert sorted(others) == [["smith-0"], ["smith-1"]]


async def test_a_thread_that_was_begun_goes_on_before_the_next_one_begins(stage: Stage) -> None:
    async with limited_homeserver(stage.clock, burst=2) as server, client_of(server.user()) as bot:
        scene = Scene(stage, Link(bot, Pace(stage.clock)), "!room:localhost")
        await scene.busy([AgentName(f"smith-{n}") for n in range(4)])  # all at the same moment
        for _ in range(40):
            await scene.tick_later()
    kinds = [line[0] for line in server.lines]
    assert kinds == ["🧵", "▶"] * 4


CROWD = 8
TURN = CROWD * 5  # seconds until each has had a message, by Synapse's limits


class Crowd:
    """Agents that write five lines a second each."""

    def __init__(self, scene: Scene, server: LimitedHomeserver, runs: list[Run]) -> None:
        self.scene, self.server, self.runs = scene, server, runs
        self.said: dict[RunId, list[str]] = {run.id: [] for run in runs}

    async def writes(self, seconds: float) -> None:
        """As they do in between two ticks."""
        for run in self.runs:
            first = len(self.said[run.id])
            lines = [f"{run.id} {n} " + "x" * 60 for n in range(first, first + round(5 * seconds))]
            self.said[run.id] += lines
            await self.scene.log(run, *lines)
        self.scene.stage.clock.advance(seconds)
        await self.scene.threads.tick()

    def behind(self, run: Run) -> float:
        """Seconds since it wrote the first line that is newer than what is shown."""
        shown = [int(x.split()[1]) for x in self.server.lines if x.startswith(f"{run.id} ")]
        return (len(self.said[run.id]) - 1 - max(shown, default=-1)) / 5

    async def until(self, done: Callable[[], bool]) -> float:
        """Seconds until then."""
        begun = self.scene.stage.clock()
        while not done():
            await self.scene.tick_later()
            assert self.scene.stage.clock() < begun + 30 * 60_000, "it does not come to an end"
        return (self.scene.stage.clock() - begun) / 1000


@pytest.fixture
async def crowd(stage: Stage) -> AsyncIterator[Crowd]:
    async with (
        limited_homeserver(stage.clock, burst=3 * CROWD) as server,
        client_of(server.user()) as bot,
    ):
        scene = Scene(stage, Link(bot, Pace(stage.clock)), "!room:localhost")
        runs = await scene.busy([AgentName(f"smith-{n}") for n in range(CROWD)])
        await scene.threads.tick()
        server.has_burst(10)
        yield Crowd(scene, server, runs)


async def test_busy_agents_are_behind_by_their_turn_and_not_by_what_they_write(
    crowd: Crowd,
) -> None:
    for second in range(0, 150, 5):
        await crowd.writes(5)
        if second >= 30 and second % 15 == 0:
            assert await crowd.scene.asks(second) == 0, "a person waits for nothing"
        if second >= 100:
            assert max(map(crowd.behind, crowd.runs)) <= 1.5 * TURN + 10, "questions take a third"
    assert crowd.server.refused <= 2

    silent = await crowd.until(lambda: not any(map(crowd.behind, crowd.runs)))
    assert silent <= TURN + 10
    pages = [line for line in crowd.server.lines if line.startswith(("▶", "… "))]
    assert len(pages) <= 2 * CROWD, "nothing is told page by page"


async def test_agents_that_end_at_once_have_their_ends_before_any_file(crowd: Crowd) -> None:
    for _ in range(12):
        await crowd.writes(5)
    for run in crowd.runs:
        await crowd.scene.fail(run)
    ends = await crowd.until(lambda: "\n".join(crowd.server.lines).count("■ ") == CROWD)
    assert ends <= TURN + 30, "what is left for people has to come back first"
    assert not crowd.server.uploads

    await crowd.until(lambda: len(crowd.server.uploads) == CROWD)
    shown = "\n".join(file.decode() for file in crowd.server.uploads)
    assert {line for lines in crowd.said.values() for line in lines} <= set(shown.splitlines())


async def test_a_file_that_had_no_turn_for_long_is_left_to_who_asks_for_it(stage: Stage) -> None:
    async with (
        limited_homeserver(stage.clock, rate=1 / 600, burst=1 + MOST_PAGES) as server,
        client_of(server.user()) as client,
    ):
        scene = Scene(stage, Link(client, Pace(stage.clock)), "!room:localhost")
        run = await scene.run()
        await scene.log(run, *many_lines(0, 1000))
        await scene.fail(run)
        while (pause := await scene.threads.tick()) is not None:
            stage.clock.advance(pause)

    assert server.lines[-2].startswith("■ ")
    assert server.lines[-1] == "The whole log: !fleet log ann/app#1"


async def test_a_room_that_does_not_let_us_in_waits_by_itself(scene: RealScene) -> None:
    """It gets all of it once it does, however long the run has been over."""
    run = await scene.run()
    elsewhere = await scene.ann.create_room("Without the bot")
    scene.rooms = [elsewhere, scene.room]
    await scene.log(run, "hello")
    await scene.fail(run)

    assert await scene.threads.tick() is not None
    (told,) = await scene.thread()
    assert told.startswith("▶ ann/app#1 Add a greeting · claude-1\nhello\n■ ")
    scene.stage.restart()
    scene.start()
    await scene.threads.tick()

    await scene.ann.invite(elsewhere, scene.bot.user_id)
    await scene.bot.join(elsewhere)
    scene.threads.resume()
    assert await scene.threads.tick() is None
    assert [told] == await scene.thread()
    scene.room = elsewhere
    assert [told] == await scene.thread()


async def test_a_run_that_never_began_is_not_told(scene: RealScene) -> None:
    await scene.run()
    await scene.stage.fleet.commit(cmd.CancelTask((await scene.stage.task()).id), TEST)
    await scene.stage.issue("Never begun")
    await scene.stage.hear()
    await scene.threads.tick()
    before = await scene.events()
    await scene.stage.fleet.commit(cmd.Dispatch(CLAUDE, run := RunId("r-x")), TEST)

    await scene.threads.expect(run)
    await scene.threads.tick()

    assert await scene.events() == before
