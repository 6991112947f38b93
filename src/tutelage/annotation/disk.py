"""Whether a file lies on a disk of this machine, or on one that several machines share.

SQLite's write-ahead log keeps its index in memory that all processes map; over a network each machine maps its own.
"""

from __future__ import annotations

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")
SHARED = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "pvfs2", "orangefs"}
    | {"afs", "9p", "panfs", "wekafs", "virtiofs", "ncpfs"}
)
"""Kinds of file systems that lie on another machine, besides whatever FUSE brings."""


def is_shared(path: Path, mounts: Path = MOUNTS) -> bool:
    """Whether another machine may write the same file; False where the system does not tell."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    kinds = {Path(_plain(line.split(" ")[1])): line.split(" ")[2] for line in lines if line.count(" ") > 2}
    place = path.resolve()
    kind = next((kinds[folder] for folder in (place, *place.parents) if folder in kinds), "")
    return kind in SHARED or kind.startswith("fuse.")


def _plain(text: str) -> str:
    """A path as it is: the table of mounts writes a space as an octal number."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
