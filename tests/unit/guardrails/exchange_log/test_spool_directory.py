from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from guardrails.exchange_log.spool_directory import adopt, create

HOLD = """
import sys, time
from pathlib import Path
from guardrails.exchange_log.spool_directory import create
print(create(Path(sys.argv[1])).id, flush=True)
time.sleep(60)
"""


def test_a_spool_that_lives_is_not_adopted(tmp_path: Path):
    claim = create(tmp_path)
    assert adopt(tmp_path) == []
    claim.release()
    claim.release()
    (orphan,) = adopt(tmp_path)
    assert orphan.id == claim.id
    assert adopt(tmp_path) == []
    orphan.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_adopted_once(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    assert adopt(tmp_path) == []
    process.kill()
    process.wait()
    process.stdout.close()
    (claim,) = adopt(tmp_path)
    assert str(claim.id) == name
    assert adopt(tmp_path) == []
    claim.release()


def test_other_things_in_the_directory_are_left_alone(tmp_path: Path):
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "lock").touch()
    (tmp_path / "notes.txt").touch()
    assert adopt(tmp_path) == []
    assert adopt(tmp_path / "none") == []


def test_many_that_create_and_adopt_at_once_never_share(tmp_path: Path):
    def take(_: int) -> list[str]:
        created = create(tmp_path)
        found = [claim.path.name for claim in adopt(tmp_path)]
        return [created.path.name, *found]

    with ThreadPoolExecutor(8) as pool:
        taken = [name for names in pool.map(take, range(64)) for name in names]
    assert len(taken) == len(set(taken))
