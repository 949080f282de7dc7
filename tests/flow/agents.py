"""Small programs that stand in for coding agents; each is told what to do by its script."""

from __future__ import annotations

import sys
from pathlib import Path

_HEAD = """
import os, pathlib, subprocess, sys, time

issue = os.environ["FLEETBOT_ISSUE"]
prompt = pathlib.Path(os.environ["FLEETBOT_PROMPT_FILE"]).read_text()

def commit(path, text):
    file = pathlib.Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    subprocess.run(["git", "add", "--", path], check=True)
    subprocess.run(["git", "commit", "--quiet", "-m", f"{path}, for #{issue}"], check=True)
    print(f"committed {path}", flush=True)

def wait_for(gate):
    print(f"waiting at {gate}", flush=True)
    while not pathlib.Path(gate).exists():
        time.sleep(0.02)
"""


def agent(root: Path, name: str, script: str, *, capabilities: str = "", extra: str = "") -> str:
    """An `[[agents]]` table whose program runs `script`; `extra` are more lines of the table."""
    program = root / f"{name}.py"
    program.write_text(f"{_HEAD}\n{script}\n")
    return (
        f'[[agents]]\nname = "{name}"\nadapter = "command"\n'
        f"capabilities = [{capabilities}]\n{extra}\n"
        f'command = {{ argv = ["{sys.executable}", "-B", "{program}"] }}\n'
    )


DILIGENT = 'commit(f"notes/{issue}.md", "done")'
IDLE = 'print("nothing to do")'


def gated(gate: Path) -> str:
    """Works only once the file `gate` is there."""
    return f"wait_for({str(gate)!r})\n{DILIGENT}"
