"""Hands a history to `roomcast verify`, which owns the rules; docs/history.md has the format."""

import json
import os
import subprocess

SHOWN_MAX = 20


def judge(history, folder):
    """Fails with what was broken, and leaves the history in `folder` where it can be judged again."""
    file = folder / "history.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in history))
    done = subprocess.run(
        [os.environ["ROOMCAST_BIN"], "verify", "--json", str(file)], capture_output=True, text=True
    )
    assert done.stdout, done.stderr
    (verdict,) = json.loads(done.stdout)
    sentences = [
        f"{found['line']}: {found['rule']}: {found['message']}" for found in verdict["findings"][:SHOWN_MAX]
    ]
    assert verdict["ok"], f"{file}:\n" + "\n".join(sentences)
    assert done.returncode == 0
    return verdict["counts"]
