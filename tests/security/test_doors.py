"""What refuses to be opened carelessly: `dev` to other machines, `serve` without keys."""

import os
import subprocess

import pytest


def refusal(*arguments, cwd):
    """What the command says when it ends at once, without having served anything."""
    command = [os.environ["ROOMCAST_BIN"], *arguments]
    ended = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL
    )
    assert ended.returncode != 0, ended
    return ended.stdout + ended.stderr


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"])
def test_dev_listens_on_this_machine_alone(tmp_path, address):
    assert "loopback" in refusal("dev", "--listen", address, cwd=tmp_path)


def test_serve_without_keys_says_which_line_to_add(tmp_path):
    (tmp_path / "open.toml").write_text('[[rooms]]\npattern = "*"\nusers = ["*"]\n')
    said = refusal("serve", "--config", "open.toml", "--listen", "0.0.0.0:0", cwd=tmp_path)
    assert "secret" in said and "[auth]" in said


@pytest.mark.parametrize("line", ['secret = "short"', 'api_keys = [{ id = "b", key = "rk_short" }]'])
def test_a_key_that_can_be_guessed_is_refused(tmp_path, line):
    (tmp_path / "weak.toml").write_text(f"[auth]\n{line}\n")
    said = refusal("serve", "--config", "weak.toml", "--listen", "127.0.0.1:0", cwd=tmp_path)
    assert "weak.toml" in said and '"short"' not in said, "the value itself is not shown"
