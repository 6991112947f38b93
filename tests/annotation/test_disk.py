"""Where a store lies decides how SQLite keeps it safe."""

from pathlib import Path

import pytest

from tutelage.annotation.disk import is_shared
from tutelage.annotation.outcomes import Fate
from tutelage.annotation.store import Answer, Call, Outcome, Store

TABLE = """\
/dev/sda1 / ext4 rw,relatime 0 0
tmpfs {base}/scratch tmpfs rw 0 0
server:/home {base}/home nfs4 rw,vers=4.2 0 0
server:/big {base}/with\\040space lustre rw 0 0
sshfs {base}/home/mine/far fuse.sshfs rw 0 0
odd line
"""


@pytest.mark.parametrize(
    ("place", "shared"),
    [
        ("elsewhere/s", False),
        ("scratch/s", False),
        ("home/s", True),
        ("home/mine/deep/s", True),
        ("with space/s", True),
        ("home/mine/far/s", True),
        ("homeless/s", False),
    ],
)
def test_the_kind_of_a_disk_is_read_from_the_table_of_mounts(tmp_path: Path, place: str, shared: bool):
    """A write-ahead log on NFS is corrupted by the second machine that opens it."""
    (tmp_path / "mounts").write_text(TABLE.format(base=tmp_path))
    assert is_shared(tmp_path / place, tmp_path / "mounts") is shared


def test_without_a_table_a_disk_is_taken_for_this_machines_own(tmp_path: Path):
    """Other systems have none."""
    assert not is_shared(tmp_path / "s", tmp_path / "none")


def test_a_store_on_a_shared_disk_has_no_write_ahead_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It has a rollback journal, and keeps what it was given all the same."""
    monkeypatch.setattr("tutelage.annotation.store.is_shared", lambda path: True)
    with Store(tmp_path / "s") as one, Store(tmp_path / "s") as two:
        assert one._db.execute("PRAGMA journal_mode").fetchone() == ("truncate",)
        with one.writing():
            one.record("k", (0,), Call(Fate.ANSWERED, body="as it came"), [Answer(0, Outcome.WRITTEN, "text")])
        assert two.answers(["k"])["k"][0].text == "text"
        assert two.bodies(["k"]) == {"k": "as it came"}
        assert not (tmp_path / "s-wal").exists()
