"""Ways out through git: what an agent leaves in its repository never runs, leads or hangs the
runner, in this attempt, in the next, or in another task."""

from __future__ import annotations

from tests.hostile.conftest import Hostile, in_turn

# $GD: what the repository's worktrees share; $OWN: the worktree's own; $OUT: what would show it.
PREPARED = "GD=$(git rev-parse --git-common-dir); OWN=$(git rev-parse --git-dir); OUT={out}; "
HOOK = "printf '#!/bin/sh\\ntouch %s\\n' $OUT"
NAMES = (
    "pre-commit post-commit prepare-commit-msg commit-msg post-checkout post-merge post-rewrite "
    "pre-push reference-transaction post-index-change pre-auto-gc fsmonitor-watchman "
    "pre-receive update post-receive post-update proc-receive"
)
# Each begins with innocent work, and does the harm last, so that only the runner can set it off.
PLANTED = {
    "fsmonitor and aliases": (
        'git config core.fsmonitor "touch $OUT #"; '
        "for name in status add commit fetch push rev-parse checkout diff log; "
        'do git config alias.$name "!touch $OUT"; done'
    ),
    "hooks path": (
        f"mkdir $GD/mine; for name in {NAMES}; do {HOOK} > $GD/mine/$name; done; "
        "chmod +x $GD/mine/*; git config core.hooksPath $GD/mine"
    ),
    "hooks": (
        f"mkdir -p $GD/hooks; for name in {NAMES}; do {HOOK} > $GD/hooks/$name; done; "
        "chmod +x $GD/hooks/*"
    ),
    "filters": (
        'for name in clean smudge; do git config filter.x.$name "touch $OUT; cat"; done; '
        'git config filter.x.process "touch $OUT"; git config filter.x.required true; '
        "echo '* filter=x' > .gitattributes; mkdir -p $GD/info; echo '* filter=x' > "
        "$GD/info/attributes"
    ),
    "textconv, diff and merge drivers": (
        'git config diff.x.textconv "touch $OUT; cat"; git config diff.x.command "touch $OUT"; '
        'git config diff.external "touch $OUT"; git config merge.x.driver "touch $OUT"; '
        "echo '* diff=x merge=x' > .gitattributes"
    ),
    "programs": (
        "for name in core.sshCommand core.editor core.pager core.askPass core.gitProxy gpg.program "
        "gpg.ssh.program sequence.editor credential.helper uploadpack.packObjectsHook "
        'receive.procReceiveRefs interactive.diffFilter; do git config $name "!touch $OUT"; done; '
        "git config commit.gpgSign true; git config tag.gpgSign true"
    ),
    "transports": (
        'git config protocol.ext.allow always; git config remote.origin.url "ext::touch $OUT"; '
        'git config "url.ext::touch $OUT .insteadOf" http://; git config extensions.partialClone '
        "origin; git config remote.origin.promisor true; git config core.repositoryformatversion 1"
    ),
    "included settings": (
        'printf "[core]\\n fsmonitor = touch $OUT #\\n hooksPath = $GD/mine\\n" > $GD/more; '
        "git config include.path $GD/more; git config extensions.worktreeConfig true; "
        "cp $GD/more $OWN/config.worktree"
    ),
    "settings of its home": (
        'git config --global core.fsmonitor "touch $OUT #"; git config --global alias.status '
        '"!touch $OUT"; git config --global safe.directory "*"'
    ),
    "a repository of its own in the worktree's place": (
        'rm .git; git init -q .; git config core.fsmonitor "touch $OUT #"; mkdir -p .git/hooks; '
        f"for name in {NAMES}; do {HOOK} > .git/hooks/$name; done; chmod +x .git/hooks/*"
    ),
    "a submodule": (
        "git init -q nested; git -C nested -c user.name=x -c user.email=x@x commit -q "
        '--allow-empty -m x; git -C nested config core.fsmonitor "touch $OUT #"; printf '
        '"[submodule \\"n\\"]\\n path = nested\\n url = ext::touch $OUT\\n" > .gitmodules; '
        'printf " update = !touch $OUT\\n" >> .gitmodules; git add nested .gitmodules'
    ),
}


@in_turn("planted", PLANTED)
async def test_nothing_that_an_agent_planted_is_run_by_the_runner(
    hostile: Hostile, planted: str
) -> None:
    order = await hostile.scene.order()
    prepared = PREPARED.format(out=hostile.escaped)

    await hostile.run(f"{prepared}echo work > work.txt; {planted}; rm -f $OUT", order)
    second = await hostile.again(order)

    assert not hostile.escaped.exists()
    # Nor does it spoil the task for an agent that means well.
    assert "again.txt" in hostile.scene.orchestrator.receipts[-1].files
    assert hostile.scene.orchestrator.receipts[-1].run == second.run


LINKS = {
    "reflogs": (
        "rm -rf $OWN/logs $GD/logs; mkdir -p $OWN/logs $GD/logs/refs/heads/fleet; "
        "ln -s $VICTIM $OWN/logs/HEAD; ln -s $VICTIM $GD/logs/HEAD; "
        "for b in $(git for-each-ref --format='%(refname)'); do mkdir -p $(dirname $GD/logs/$b); "
        "ln -sf $VICTIM $GD/logs/$b; done"
    ),
    "the index": "rm $OWN/index; ln -s $VICTIM $OWN/index",
    "HEAD": "rm $OWN/HEAD; ln -s $VICTIM $OWN/HEAD",
    "refs": (
        "git pack-refs --all; rm -f $GD/packed-refs; ln -s $VICTIM $GD/packed-refs; "
        "rm -rf $GD/refs; ln -s $(dirname $VICTIM) $GD/refs"
    ),
    "objects": "mv $GD/objects $GD/old; ln -s $(dirname $VICTIM) $GD/objects",
    "settings": "rm $GD/config; ln -s $VICTIM $GD/config",
    "the repository": "mv $GD $GD.old; ln -s $(dirname $VICTIM) $GD",
    "the worktree": "cd ..; mv $OLDPWD aside; ln -s $(dirname $VICTIM) $OLDPWD",
    "its .git": "rm .git; ln -s $(dirname $VICTIM) .git",
    "files and folders that are tracked": (
        "ln -sf $VICTIM README.md; mkdir d; echo x > d/x; git add d; rm -r d; "
        "ln -s $(dirname $VICTIM) d"
    ),
}


@in_turn("linked", LINKS)
async def test_no_link_leads_the_runner_to_other_files(hostile: Hostile, linked: str) -> None:
    victim = hostile.scene.root / "victims" / "bashrc"
    victim.parent.mkdir()
    victim.write_text("the words of the victim\n")
    order = await hostile.scene.order()
    prepared = PREPARED.format(out=hostile.escaped)

    await hostile.run(f"{prepared}VICTIM={victim}; echo work > work.txt; {linked}", order)
    await hostile.again(order)

    assert victim.read_text() == "the words of the victim\n"
    assert [path.name for path in victim.parent.iterdir()] == ["bashrc"]
    assert "the words of the victim" not in hostile.scene.on_forge("log", "--all", "-p")
    assert "again.txt" in hostile.scene.orchestrator.receipts[-1].files


PIPES = {
    "packed refs": "rm -f $GD/packed-refs; mkfifo $GD/packed-refs",
    "settings": "rm $GD/config; mkfifo $GD/config",
    "HEAD": "rm $OWN/HEAD; mkfifo $OWN/HEAD",
    "the index": "rm $OWN/index; mkfifo $OWN/index",
    "alternates": "rm -f $GD/objects/info/alternates; mkfifo $GD/objects/info/alternates",
    "an object": "mkdir -p $GD/objects/11; mkfifo $GD/objects/11/$(printf '1%.0s' $(seq 38))",
    "the worktree": (
        "rm README.md; mkfifo pipe README.md .gitattributes .gitignore .gitmodules "
        "AGENTS.md CLAUDE.md"
    ),
    "its .git": "rm .git; mkfifo .git",
}


@in_turn("piped", PIPES)
async def test_no_pipe_makes_the_runner_wait(hostile: Hostile, piped: str) -> None:
    order = await hostile.scene.order()
    prepared = PREPARED.format(out=hostile.escaped)

    await hostile.run(f"test -e work.txt && exit; {prepared}echo work > work.txt; {piped}", order)
    await hostile.again(order)

    assert "again.txt" in hostile.scene.orchestrator.receipts[-1].files


async def test_other_tasks_begin_where_the_forge_is_whatever_refs_an_agent_made(
    hostile: Hostile,
) -> None:
    order, other = await hostile.scene.order("One"), await hostile.scene.order("Other")
    refs = f"refs/heads/{other.branch} refs/remotes/origin/{other.branch} refs/heads/main"
    script = (
        "echo planted > planted.txt; git add .; git commit -qm Planted; "
        f"for ref in {refs} refs/tags/v1; do git update-ref $ref HEAD; done; git pack-refs --all"
    )

    await hostile.run(script, order)
    await hostile.run("echo own > own.txt", other)

    assert hostile.scene.orchestrator.receipts[-1].files == ("own.txt",)
    assert hostile.scene.on_forge("for-each-ref", "refs/tags") == ""
    assert "planted" not in hostile.scene.on_forge("log", "--format=%s", "main")


async def test_alternates_lend_no_objects_of_another_repository(hostile: Hostile) -> None:
    """A commit of a repository that the agent may not read is not pushed on its word."""
    scene, order = hostile.scene, await hostile.scene.order()
    secret = scene.root / "secret"
    scene.git("init", "-q", str(secret), cwd=scene.root)
    (secret / "plan").write_text("the secret plan\n")
    scene.git("add", ".", cwd=secret)
    scene.git("commit", "-q", "-m", "The plan", cwd=secret)
    commit = scene.git("rev-parse", "HEAD", cwd=secret)
    script = (
        f"echo {secret}/.git/objects >> $(git rev-parse --git-common-dir)/objects/info/alternates; "
        f"echo {commit} > $(git rev-parse --git-common-dir)/refs/heads/{order.branch}"
    )

    await hostile.run(script, order)

    assert "the secret plan" not in scene.on_forge("log", "--all", "-p")
