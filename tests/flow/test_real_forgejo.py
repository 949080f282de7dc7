"""The main story against a real Forgejo, where there is one: see `real_forgejo`."""

from __future__ import annotations

from pathlib import Path

from fleetbot_devkit.homeserver import Homeserver
from fleetbot_devkit.story import until
from tests.flow.agents import DILIGENT, agent, gated
from tests.flow.real_forgejo import RealForgeWorld, only_where_there_is_one
from tests.flow.seen import ask, says, until_labelled

pytestmark = only_where_there_is_one


async def test_a_repository_renamed_in_mid_run_makes_no_difference(
    homeserver: Homeserver, tmp_path: Path
) -> None:
    async with RealForgeWorld.start(tmp_path, homeserver=homeserver) as world:
        begun, gate = world.root / "begun", world.root / "gate"
        script = f"pathlib.Path({str(begun)!r}).touch()\n{gated(gate)}"
        world.start_runner(agent(world.root, "smith", script))
        issue = await world.open_issue("Write notes")
        await until(lambda: is_there(begun), "the agent to be at work")

        await world.forge_api("alice", "PATCH", f"/repos/{world.repo}", {"name": "market"})
        gate.touch()

        await world.alice.wait_for(says(world, "✅ Done:", f"#{issue}"), timeout=40)
        await until_labelled(world, issue, "status:done")
        pulls = await world.forge_api("alice", "GET", f"/repos/{world.repo}/pulls?state=all")
        assert len(pulls) == 1


async def test_a_room_sets_up_a_repository_there(homeserver: Homeserver, tmp_path: Path) -> None:
    async with RealForgeWorld.start(tmp_path, homeserver=homeserver) as world:
        owner = world.repo.partition("/")[0]
        attic, bot = f"{owner}/attic", owner.replace("alice", "fleetbot")
        await world.forge_api("alice", "POST", "/user/repos", {"name": "attic", "auto_init": True})
        path = f"/repos/{attic}/collaborators/{bot}"
        await world.forge_api("alice", "PUT", path, {"permission": "admin"})

        assert "👉 labels" in await ask(world, f"!fleet setup {attic}")
        assert "👉 room" in await ask(world, "!fleet setup yes")
        await ask(world, "!fleet setup yes")
        await world.alice.wait_for(says(world, "🧭", "👉 webhook"))
        assert "✅ webhook: deliveries arrive" in await ask(world, "!fleet setup yes")
        assert "👉 receipt" in await ask(world, "!fleet setup yes")
        ready = await ask(world, "!fleet setup yes")
        assert "✅ receipt: a merge needs a green fleetbot/receipt" in ready
        assert f"⚠️ branch: {bot} could merge into main alone" in ready

        told = await ask(world, "!fleet doctor")
        assert f"⚠️ branch {attic}: {bot} could merge into main alone" in told
        assert f"account {attic} ({bot} is its administrator)" in told


async def is_there(path: Path) -> bool:
    return path.exists()


async def test_an_issue_on_a_real_forgejo_becomes_a_verified_task(
    homeserver: Homeserver, tmp_path: Path
) -> None:
    async with RealForgeWorld.start(tmp_path, homeserver=homeserver) as world:
        world.start_runner(agent(world.root, "smith", DILIGENT))

        issue = await world.open_issue("Write notes", "Please.", labels=("fleet", "bug"))

        await world.alice.wait_for(says(world, f"✅ Done: {world.repo}#{issue}"), timeout=40)
        await until_labelled(world, issue, "status:done")
        comments = await world.comments(issue)
        assert sum("Receipt of" in text for text in comments) == 1
        assert len(comments) == 2
        pull = (await world.forge_api("alice", "GET", f"/repos/{world.repo}/pulls?state=all"))[0]
        head = pull["head"]["sha"]
        status = await world.forge_api("alice", "GET", f"/repos/{world.repo}/commits/{head}/status")
        assert {row["context"]: row["status"] for row in status["statuses"]} == {
            "fleetbot/receipt": "success"
        }
