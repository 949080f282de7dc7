"""The chat put together: the commands behind one door, and all that speaks to rooms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

from fleetbot.chat.cards.cards import Cards
from fleetbot.chat.commands.answering import Answering
from fleetbot.chat.commands.boarding import Boarding
from fleetbot.chat.commands.buttons import Buttons
from fleetbot.chat.commands.changing import Changing
from fleetbot.chat.commands.desk import Desk
from fleetbot.chat.commands.doctoring import Doctoring
from fleetbot.chat.commands.door import Chat
from fleetbot.chat.commands.drafts import Drafts, Message
from fleetbot.chat.commands.enrolling import Enrolling
from fleetbot.chat.commands.knowing import Knowing
from fleetbot.chat.commands.landing import Landing
from fleetbot.chat.commands.logs import UploadLimit
from fleetbot.chat.commands.outside import Outside
from fleetbot.chat.commands.pausing import Pausing
from fleetbot.chat.commands.quieting import Quieting
from fleetbot.chat.commands.reading import Reading
from fleetbot.chat.commands.rights import PowerLevel, Rights
from fleetbot.chat.commands.rounds import Rounds
from fleetbot.chat.commands.said import Said
from fleetbot.chat.commands.setting_up import SettingUp
from fleetbot.chat.commands.steering import Steering
from fleetbot.chat.commands.talking import Talking
from fleetbot.chat.notices.digest import Digest
from fleetbot.chat.notices.telling import Telling
from fleetbot.chat.speaking.audience import Audience
from fleetbot.chat.speaking.destinations import CARDS, NOTICES, URGENT
from fleetbot.chat.speaking.direct import Tell
from fleetbot.chat.speaking.link import Link
from fleetbot.chat.speaking.persons import Persons
from fleetbot.chat.speaking.quiet import Quiet
from fleetbot.chat.speaking.rooms import Rooms
from fleetbot.chat.speaking.runs import run_in_thread
from fleetbot.chat.speaking.sender import RoomSender
from fleetbot.chat.speaking.widgets import Widgets
from fleetbot.chat.talks.fates import Fates
from fleetbot.chat.talks.questions import Questions
from fleetbot.chat.words.post import Answer
from fleetbot.services.daily import Daily
from fleetbot.services.dead_letters import DeadLetters
from fleetbot.services.doctor import Doctor
from fleetbot.services.enrolments import Enrolments
from fleetbot.services.fleet import Fleet
from fleetbot.services.landing import Landings
from fleetbot.services.outbox import Sender
from fleetbot.services.passes import Passes
from fleetbot.services.pauses import Pauses
from fleetbot.services.people import People
from fleetbot.services.priorities import Priorities
from fleetbot.services.proofs import Proofs
from fleetbot.services.references import References
from fleetbot.services.repositories import Repositories
from fleetbot.services.talks import Talks
from fleetbot.services.tasks import Tasks
from fleetbot.services.wishes import Wishes

S = TypeVar("S", bound=Said)


@dataclass(frozen=True, slots=True)
class Services:
    """What commands use. The homeserver is asked for `power_level`, `message`, `upload_limit`;
    `tell` tells a person alone; `address` is where runners find us; `is_framed`: whether any page
    may show the board inside it."""

    fleet: Fleet
    tasks: Tasks
    references: References
    priorities: Priorities
    pauses: Pauses
    enrolments: Enrolments
    people: People
    proofs: Proofs
    repositories: Repositories
    landings: Landings
    talks: Talks
    outside: Outside
    power_level: PowerLevel
    message: Message
    upload_limit: UploadLimit
    tell: Tell
    setting_up: SettingUp
    doctor: Doctor
    passes: Passes
    widgets: Widgets
    dead_letters: DeadLetters
    trigger: str
    address: str
    thread_per_task: bool = False
    is_framed: bool = False


def chat_of(services: Services) -> Chat:
    fleet, store = services.fleet, services.fleet.store
    trigger, per_task = services.trigger, services.thread_per_task
    desk = Desk(
        fleet,
        services.tasks,
        services.references,
        trigger,
        forge_is_away=lambda: services.outside.is_away,
        per_task=per_task,
    )
    admit = Rights(services.power_level).admit
    drafts = Drafts(desk, Wishes(fleet), admit, services.message, services.trigger)
    answering = Answering(desk, services.talks)
    steering = Steering(desk, partial(run_in_thread, store), per_task=services.thread_per_task)
    talking = Talking(store, answering, steering, admit, drafts.decide)
    handlers = {
        **Reading(desk, services.outside, services.upload_limit).handlers,
        **drafts.handlers,
        **Changing(desk, services.tasks, services.priorities, drafts).handlers,
        **Landing(desk, services.landings).handlers,
        **Pausing(desk, services.pauses).handlers,
        **Quieting(desk, Quiet(store)).handlers,
        **Enrolling(desk, services.enrolments, services.tell, services.address).handlers,
        **Knowing(desk, services.people, services.proofs, services.repositories).handlers,
        **Rounds(desk, steering).handlers,
        **talking.handlers,
        **services.setting_up.handlers,
        **Boarding(
            desk,
            services.passes,
            services.widgets,
            services.tell,
            admit,
            is_framed=services.is_framed,
        ).handlers,
        **Doctoring(services.doctor, services.dead_letters).handlers,
    }
    buttons = Buttons(desk, handlers, answering, admit, drafts.decide)
    setting_up = services.setting_up
    return Chat(
        desk,
        handlers,
        services.power_level,
        press=_first(setting_up.press, buttons.press),
        overhear=_first(setting_up.overhear, talking.overhear),
        elsewhere=setting_up.elsewhere,
    )


def _first(
    *asked: Callable[[S], Awaitable[Answer | None]],
) -> Callable[[S], Awaitable[Answer | None]]:
    """Asks one after the other whether it is their business."""

    async def ask(said: S) -> Answer | None:
        for each in asked:
            if (answer := await each(said)) is not None:
                return answer
        return None

    return ask


class Voices(NamedTuple):
    """What tells rooms of what happens: `senders` are the outbox's, by their names."""

    senders: Mapping[str, Sender]
    questions: Questions
    cards: Cards
    digest: Digest


def voices_of(
    fleet: Fleet,
    talks: Talks,
    link: Link,
    rooms: Rooms,
    sender: RoomSender,
    audience: Audience,
    persons: Persons,
    daily: Daily | None = None,
) -> Voices:
    """`daily`: when the digest comes; None for never."""
    where = rooms.where
    telling = Telling(fleet, link, sender, where, audience, persons)
    fates = Fates(fleet, link, where, telling)
    questions = Questions(fleet, talks, sender, link, where, fates, persons.of_task)
    cards = Cards(fleet, link, sender, where, audience)
    senders: Mapping[str, Sender] = {NOTICES: questions, URGENT: questions, CARDS: cards}
    return Voices(senders, questions, cards, Digest(fleet, audience, daily))
