"""The spool: what was promised is on disk, whatever ends the runner."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from fleetbot.domain.pulls import Answer
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Usage
from fleetbot.runner.run.memory import Memories, Memory
from fleetbot.runner.run.spool import (
    AppendFile,
    FailDue,
    LogFile,
    NotPushed,
    ReceiptDue,
    ReceiptRefuted,
    Spool,
    TurnEnded,
    Used,
)
from fleetbot.runner.session.contract import Finished, PermissionDenial
from fleetbot.wire import Assignment, FailRequest, LogLine, ReceiptRequest, ReplyClaim

ORDER = Assignment(
    run="run-1",
    task="task-1",
    attempt=1,
    repo="ada/widgets",
    issue=1,
    title="Say hello",
    kind="task",
    priority="normal",
    branch="fleet/1-say-hello",
    ack_seconds=30,
    lease_seconds=60,
    timeout_seconds=60,
)
RECEIPT = ReceiptDue("key", ReceiptRequest(run="run-1", pull_request=1, branch="b", head="a" * 40))
FAILURE = FailRequest(reason=ReasonCode.TIMEOUT, detail="late")


@pytest.fixture
def said() -> list[str]:
    """What the spool had to tell."""
    return []


@pytest.fixture
def spool(tmp_path: Path, said: list[str]) -> Spool:
    return Spool(tmp_path / "spool", said.append)


async def test_an_earlier_runners_run_is_read_back_as_it_was_left(spool: Spool) -> None:
    left = await spool.open("worker-1", ORDER)
    left.note(Used(Usage(input_tokens=5)))
    left.note(RECEIPT)
    left.release()

    (found,) = spool.unsettled("worker-1")

    assert found.order == ORDER
    assert found.receipt == RECEIPT
    assert found.usage == Usage(input_tokens=5)
    assert found.failure is None
    found.release()


async def test_a_refuted_receipt_is_no_longer_due(spool: Spool) -> None:
    left = await spool.open("worker-1", ORDER)
    for entry in (RECEIPT, ReceiptRefuted(), FailDue(FAILURE)):
        left.note(entry)
    left.release()

    (found,) = spool.unsettled("worker-1")

    assert found.receipt is None
    assert found.failure == FAILURE
    found.release()


async def test_what_the_agent_ended_with_is_read_back_until_it_works_again(spool: Spool) -> None:
    ended = Finished(
        outcome="done", summary="Said hello.", permission_denials=(PermissionDenial("Bash", "rm"),)
    )
    said = (ReplyClaim(thread=12, answer=Answer.ANSWERED, text="So it was asked."),)
    left = await spool.open("worker-1", ORDER)
    for entry in (TurnEnded(Finished(outcome="done")), NotPushed(), TurnEnded(ended, said)):
        left.note(entry)
    left.release()

    (found,) = spool.unsettled("worker-1")
    assert found.finished == ended

    found.note(NotPushed())
    found.release()
    (again,) = spool.unsettled("worker-1")
    assert again.finished is None
    assert again.replies == said  # they are no part of what is mended
    again.release()


async def test_a_settled_run_is_forgotten(spool: Spool) -> None:
    (await spool.open("worker-1", ORDER)).close()

    assert list(spool.unsettled("worker-1")) == []


async def test_runs_of_other_agents_are_theirs(spool: Spool) -> None:
    (await spool.open("worker-2", ORDER)).release()

    assert list(spool.unsettled("worker-1")) == []
    assert list(spool.owners()) == [("run-1", "worker-2")]


async def test_an_entry_cut_off_by_a_crash_was_never_promised(spool: Spool, tmp_path: Path) -> None:
    left = await spool.open("worker-1", ORDER)
    left.note(RECEIPT)
    left.release()
    journal = tmp_path / "spool" / "run-1" / "journal"
    whole = journal.read_bytes()
    for size in range(whole.index(b"\n") + 1, len(whole), 20):
        journal.write_bytes(whole[:size])

        (found,) = spool.unsettled("worker-1")

        assert found.order == ORDER
        assert found.receipt is None
        found.release()


async def test_a_record_cut_off_in_its_first_entry_is_no_run(spool: Spool, tmp_path: Path) -> None:
    (await spool.open("worker-1", ORDER)).release()
    journal = tmp_path / "spool" / "run-1" / "journal"
    journal.write_bytes(journal.read_bytes()[:-1])

    assert list(spool.unsettled("worker-1")) == []
    assert not journal.exists()


def line(text: str) -> LogLine:
    return LogLine(at=1, text=text)


def test_a_log_is_read_by_line_number_within_both_limits(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log")
    for text in ("one", "two\nlines", "three", "x" * 500):
        log.append(line(text))

    assert [entry.text for entry in log.read(0, 2, 10_000)] == ["one", "two\nlines"]
    assert [entry.text for entry in log.read(1, 100, 100)] == ["two\nlines", "three"]
    assert [entry.text for entry in log.read(3, 100, 10)] == ["x" * 500]
    assert log.read(4, 100, 100) == ()
    log.close()


def test_a_log_goes_on_after_a_crash_in_mid_line(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log")
    log.append(line("whole"))
    log.close()
    with (tmp_path / "log").open("ab") as file:
        file.write(b'{"at":1,"te')

    log = LogFile(tmp_path / "log")
    log.append(line("after"))

    assert [entry.text for entry in log.read(0, 100, 1000)] == ["whole", "after"]
    log.close()


def test_an_agent_remembers_a_task_until_that_is_old(tmp_path: Path) -> None:
    memories = Memories(tmp_path)
    assert memories.of("../task") == Memory()

    memories.save("../task", Memory(session="s-1", usage=Usage(output_tokens=3)))

    assert Memories(tmp_path).of("../task").session == "s-1"
    assert all(path.parent == tmp_path for path in tmp_path.rglob("*.json"))
    memories.forget_old(days=1)
    assert memories.of("../task").session == "s-1"
    memories.forget_old(days=-1)
    assert memories.of("../task") == Memory()


def test_a_memory_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    memories = Memories(tmp_path)
    memories.save("task", Memory(session="s-1"))
    for path in tmp_path.iterdir():
        path.write_text("{")

    assert memories.of("task") == Memory()


DAMAGE = {
    "a cut line followed by another": lambda raw: raw[:-20] + raw[-len(raw) // 4 :],
    "zeros, as after a power cut": lambda raw: raw + b"\0" * 50 + b"\n",
    "an entry of a newer version": lambda raw: raw + b'{"type":"enlightened"}\n',
    "text that is not UTF-8": lambda raw: raw.replace(b"worker-1", b"worker\xff1"),
    "another first entry": lambda raw: raw.split(b"\n", 1)[1],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
async def test_a_damaged_record_is_set_aside_and_the_others_are_read(
    spool: Spool, said: list[str], tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    for run in ("run-1", "run-2"):
        left = await spool.open("worker-1", msgspec.structs.replace(ORDER, run=run))
        left.note(RECEIPT)
        left.release()
    journal = tmp_path / "spool" / "run-1" / "journal"
    journal.write_bytes(damage(journal.read_bytes()))

    assert spool.owners() == [("run-2", "worker-1")]
    (found,) = spool.unsettled("worker-1")

    assert found.receipt == RECEIPT
    found.release()
    assert (tmp_path / "spool" / "run-1.bad" / "journal").exists()
    assert [line for line in said if "run-1 cannot be read" in line] == said
    spool.forget_bad(days=1)
    assert (tmp_path / "spool" / "run-1.bad").exists()
    spool.forget_bad(days=-1)
    assert not (tmp_path / "spool" / "run-1.bad").exists()


async def test_an_empty_record_and_a_stray_file_are_no_runs(spool: Spool, tmp_path: Path) -> None:
    (await spool.open("worker-1", ORDER)).release()
    (tmp_path / "spool" / "run-1" / "journal").write_bytes(b"")
    (tmp_path / "spool" / "stray").write_text("of an editor")

    assert spool.unsettled("worker-1") == []
    assert not (tmp_path / "spool" / "run-1").exists()


async def test_a_log_that_cannot_be_opened_is_damage_too(
    spool: Spool, said: list[str], tmp_path: Path
) -> None:
    (await spool.open("worker-1", ORDER)).release()
    log = tmp_path / "spool" / "run-1" / "log"
    log.unlink()
    log.mkdir()

    assert spool.unsettled("worker-1") == []
    assert "run-1 cannot be read" in said[0]


async def test_half_a_surrogate_pair_is_kept_as_a_question_mark(spool: Spool) -> None:
    """Real programs write them; UTF-8 cannot hold one."""
    left = await spool.open("worker-1", ORDER)
    await left.promise(TurnEnded(Finished(outcome="done", summary="half \ud83d", detail="é")))
    left.log.append(line("half \ud83d"))

    assert left.log.read(0, 1, 1000)[0].text == "half ?"
    left.release()
    (found,) = spool.unsettled("worker-1")
    assert found.finished == Finished(outcome="done", summary="half ?", detail="é")
    found.release()


def test_what_was_logged_is_there_though_nobody_closed_the_file(tmp_path: Path) -> None:
    """As for a runner that is killed."""
    log = LogFile(tmp_path / "log")
    log.append(line("last words"))

    again = LogFile(tmp_path / "log")

    assert [entry.text for entry in again.read(0, 10, 1000)] == ["last words"]
    log.close()
    again.close()


def test_a_damaged_line_of_a_log_is_replaced_and_the_others_keep_their_numbers(
    tmp_path: Path,
) -> None:
    (tmp_path / "log").write_bytes(
        msgspec.json.encode(line("one"))
        + b"\n\0\0\0\r\0\n"
        + msgspec.json.encode(line("3"))
        + b"\n"
    )

    log = LogFile(tmp_path / "log")

    first, damaged, last = log.read(0, 10, 1000)
    assert (first.text, last.text) == ("one", "3")
    assert "damaged" in damaged.text
    log.close()


def test_a_piece_that_does_not_fit_is_taken_back(tmp_path: Path) -> None:
    """Otherwise the next would be glued to what there was room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    file = AppendFile(tmp_path / "file")
    file.append(b"first\n")
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError, match=r"No space|File too large"):
            file.append(b"too much for it\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    file.append(b"second\n")
    file.close()

    assert (tmp_path / "file").read_bytes() == b"first\nsecond\n"
