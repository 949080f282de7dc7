"""An issue that depends on another waits until that has landed, and starts from there."""

from __future__ import annotations

from fleetbot_devkit.world import REPO, World
from tests.flow.agents import agent
from tests.flow.seen import ask, journal_of, until_state

ON_THE_FLOOR = """
if issue == "2" and not pathlib.Path("notes/1.md").exists():
    sys.exit("there is no floor to stand on")
commit(f"notes/{issue}.md", "done")
"""


async def test_what_waits_for_another_starts_from_the_merge_of_that(world: World) -> None:
    floor = await world.open_issue("Lay the floor")
    chair = await world.open_issue("Put the chair on it", labels=())
    owner, name = REPO.split("/")
    its = f"/repos/{REPO}/issues/{chair}"
    on = {"owner": owner, "repo": name, "index": floor}
    await world.forge_api("alice", "POST", f"{its}/dependencies", on)
    await world.forge_api("alice", "POST", f"{its}/labels", {"labels": ["fleet"]})
    world.start_runner(agent(world.root, "smith", ON_THE_FLOOR, extra="max_concurrency = 2"))

    await until_state(world, floor, "completed")

    said = await ask(world, f"!fleet why #{chair}")
    assert f"{REPO}#{floor}, which is done, and whose pull request" in said
    assert await journal_of(world, chair) == ["task.created", "task.blocked"]

    [pull] = await world.forge_api("alice", "GET", f"/repos/{REPO}/pulls?page=1&limit=50")
    merge = {"Do": "merge", "head_commit_id": pull["head"]["sha"]}
    await world.bots.kill()  # nobody hears of the merge
    await world.forge_api("alice", "POST", f"/repos/{REPO}/pulls/{pull['number']}/merge", merge)
    await world.bots.restart()

    await until_state(world, chair, "completed")
    assert (await journal_of(world, chair))[:4] == [
        "task.created",
        "task.blocked",
        "task.blocked",
        "task.assigned",
    ]
