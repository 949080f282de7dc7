"""What a worker starts in place of a coding agent: does what the issue's text says.

`python program.py FOLDER`: notes each launch in FOLDER, and what is to happen once. It is run by
its path and imports nothing of the kit.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

FORBIDDEN = ".forgejo/workflows/torture.yml"


def git(*words: str) -> None:
    subprocess.run(["git", *words], check=True)


def commit(path: str, text: str) -> None:
    """It may be there already, from an attempt that came so far."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    git("add", "--", path)
    if subprocess.run(["git", "diff", "--cached", "--quiet"], check=False).returncode:
        git("commit", "--quiet", "-m", f"Add {path}")
    print(f"committed {path}", flush=True)


def once(folder: Path, what: str) -> bool:
    """True the first time."""
    mark = folder / what.replace("/", "-")
    first = not mark.exists()
    mark.touch()
    return first


def main(folder: Path) -> None:
    with (folder / "launches").open("a") as launches:
        launches.write(".")
    prompt = Path(os.environ["FLEETBOT_PROMPT_FILE"]).read_text()
    found = dict(re.findall(r"torture-(path|line|act): `?([^\s`]+)", prompt))
    if not found:
        print("I was asked for nothing", flush=True)
        return
    act, path, line = found["act"], found["path"], found["line"]
    print(f"I was asked for {path}", flush=True)
    match act:
        case "idle":
            print("All done, everything is committed and pushed.", flush=True)
            return
        case "dies":
            sys.exit("I give up")
        case "hangs":
            time.sleep(3600)
        case "long-log":
            for number in range(3000):
                print(f"{number}: thinking about {path}", flush=number % 100 == 0)
        case "slow":
            for number in range(8):
                print(f"thinking, {number}", flush=True)
                time.sleep(0.4)
        case "forbidden":
            commit(FORBIDDEN, "on: push\n")
    if act == "dies-once" and once(folder, path):
        Path("scratch.txt").write_text("half done")
        os.kill(os.getpid(), signal.SIGKILL)
    if act == "vanishes-once" and once(folder, path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(f"{line}\n")
        shutil.rmtree(Path.cwd())
        return
    Path("scratch.txt").unlink(missing_ok=True)
    rounds = len(re.findall(r"^## Round ", prompt, re.MULTILINE))
    commit(path, f"{line}\n" + "\n" * rounds)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
