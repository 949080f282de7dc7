"""Why a git command failed is told by its structure, never by what others say."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import NotFound
from fleetbot.runner.git.command import GitFailed
from fleetbot.runner.git.failures import forge_failure, local_failure
from fleetbot.runner.sandbox.complete import Completed


def failed(stderr: str) -> GitFailed:
    return GitFailed(["fetch"], Completed(128, "", stderr))


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        (
            "fatal: unable to access 'https://f/': The requested URL returned error: 403",
            ReasonCode.FORGE_REFUSED,
        ),
        ("fatal: repository 'https://f/a/b.git/' not found", ReasonCode.FORGE_REFUSED),
        ("fatal: Authentication failed for 'https://f/'", ReasonCode.FORGE_LOGIN_FAILED),
        (
            "fatal: could not read Username for 'https://f': terminal prompts disabled",
            ReasonCode.FORGE_LOGIN_FAILED,
        ),
        ("fatal: write error: No space left on device", ReasonCode.DISK_FULL),
        ("fatal: early EOF", ReasonCode.FORGE_UNAVAILABLE),
        ("error: RPC failed; curl 56 Recv failure", ReasonCode.FORGE_UNAVAILABLE),
        ("remote: not found\nfatal: the remote end hung up", ReasonCode.FORGE_UNAVAILABLE),
        ("remote: The requested URL returned error: 404\nfatal: x", ReasonCode.FORGE_UNAVAILABLE),
        ("remote: No space left on device\nfatal: x", ReasonCode.FORGE_UNAVAILABLE),
        ("fatal: remote error: repository 'x' not found", ReasonCode.FORGE_UNAVAILABLE),
        ("Receiving: 1%\rremote: returned error: 404\nfatal: x", ReasonCode.FORGE_UNAVAILABLE),
        (
            "remote: x\rfatal: The requested URL returned error: 404\nfatal: x",
            ReasonCode.FORGE_UNAVAILABLE,
        ),
    ],
)
def test_the_reason_is_in_gits_own_words(stderr: str, reason: ReasonCode) -> None:
    assert forge_failure(failed(stderr), "fetching").reason is reason


@pytest.mark.parametrize(
    "stderr",
    [
        "fatal: repository 'https://f/a/b.git/' not found",
        "fatal: unable to access 'https://f/a/b.git/': The requested URL returned error: 301",
        "fatal: unable to access 'https://f/a/b.git/': The requested URL returned error: 307",
        "fatal: unable to update url base from redirection:",
    ],
)
def test_what_is_not_there_or_led_on_may_have_another_name_now(stderr: str) -> None:
    assert isinstance(forge_failure(failed(stderr), "fetching"), NotFound)


def test_a_full_disk_is_told_as_that(tmp_path: Path) -> None:
    problems = (OSError(28, "No space left on device"), failed("error: No space left on device"))

    for problem in problems:
        assert local_failure(problem, "making", tmp_path).reason is ReasonCode.DISK_FULL
    assert local_failure(OSError(13, "x"), "making", tmp_path).reason is ReasonCode.WORKSPACE_FAILED
