"""What never gets to the forge, as it is looked for before the push."""

from __future__ import annotations

import pytest

from fleetbot.domain.reasons import ReasonCode
from tests.runner.scene import REPO, Scene

WORKFLOWS = (".forgejo/workflows/", ".github/workflows/")


@pytest.mark.parametrize(
    "harm",
    [
        "mkdir -p .forgejo/workflows; echo 'on: push' > .forgejo/workflows/steal.yml",
        "git rm -q .github/workflows/ci.yml",
        "git mv .github/workflows/ci.yml ci.yml",
        "mkdir .forgejo; ln -s / .forgejo/workflows",
    ],
)
async def test_what_no_agent_may_change_is_never_pushed(scene: Scene, harm: str) -> None:
    await scene.forge.commit(REPO, "main", {".github/workflows/ci.yml": "on: push"}, "CI", by="ada")
    order = await scene.order(forbidden_paths=WORKFLOWS)

    await scene.carry_out(f"{harm}; git add -A; git commit -qm 'Change CI'; date > d.txt", order)

    failure = scene.orchestrator.failures[order.run]
    assert failure.reason is ReasonCode.FORBIDDEN_PATHS
    assert "may not be changed by an agent: `." in failure.detail
    assert order.branch not in scene.on_forge("branch", "--list")
    assert await scene.pulls() == []


async def test_an_agent_may_put_back_in_the_same_run_what_it_may_not_change(scene: Scene) -> None:
    order = await scene.order(forbidden_paths=WORKFLOWS)
    script = (
        'if grep -q "may not be changed" "$FLEETBOT_PROMPT_FILE"; '
        "then git rm -rq .github && git commit -qm 'Put it back'; "
        "else mkdir -p .github/workflows && date > .github/workflows/ci.yml; fi; date >> d.txt"
    )

    await scene.carry_out(script, order)

    (receipt,) = scene.orchestrator.receipts
    assert receipt.files == ("d.txt",)
    assert scene.orchestrator.failures == {}


KEY = "k-3f9a0d51c7"


@pytest.mark.parametrize(
    "leak",
    [
        "env > env.txt",
        'git commit -q --allow-empty -m "With $MODEL_API_KEY"; date > d.txt',
        'touch "$MODEL_API_KEY"',
        "env > e.txt; git add -A; git commit -qm A; git rm -q e.txt; git commit -qm B; date > d",
    ],
)
async def test_an_agents_own_secrets_are_never_pushed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, leak: str
) -> None:
    monkeypatch.setenv("MODEL_API_KEY", KEY)
    order = await scene.order()

    await scene.carry_out(leak, order, agent='env = ["MODEL_API_KEY"]')

    failure = scene.orchestrator.failures[order.run]
    assert failure.reason is ReasonCode.SECRET_IN_DIFF
    assert "the value of MODEL_API_KEY" in failure.detail
    assert KEY not in failure.detail + "".join(scene.said)
    assert KEY not in scene.orchestrator.log_of(order.run)
    assert order.branch not in scene.on_forge("branch", "--list")


async def test_nor_are_the_runners_wherever_the_agent_found_them(scene: Scene) -> None:
    order = await scene.order()

    await scene.carry_out(f"echo {scene.fleet} > found.txt", order)

    failure = scene.orchestrator.failures[order.run]
    assert failure.reason is ReasonCode.SECRET_IN_DIFF
    assert "the value of forge.token" in failure.detail


async def test_an_agent_may_rewrite_the_commits_with_its_secret_in_the_same_run(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_API_KEY", KEY)
    order = await scene.order()
    script = (
        'if grep -q "the value of MODEL_API_KEY" "$FLEETBOT_PROMPT_FILE"; '
        "then git reset -q --hard HEAD~1; else env > env.txt; fi; date >> d.txt"
    )

    await scene.carry_out(script, order, agent='env = ["MODEL_API_KEY"]')

    assert scene.orchestrator.receipts[0].files == ("d.txt",)


async def test_what_the_repository_says_already_is_no_secret(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_URL", "https://models.example.org/v1")
    await scene.forge.commit(REPO, "main", {"url": "https://models.example.org/v1"}, "U", by="ada")
    order = await scene.order()

    await scene.carry_out("echo again >> url", order, agent='env = ["MODEL_URL", "PATH"]')

    assert scene.orchestrator.receipts[0].files == ("url",)
