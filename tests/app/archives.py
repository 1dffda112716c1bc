"""Adds one thing to a release: archives.py RELEASE OUT KIND NAME [TARGET]."""

import gzip
import io
import sys
import tarfile

release, out, kind, name = sys.argv[1:5]
target = sys.argv[5] if len(sys.argv) > 5 else ""
whole = gzip.open(release).read()
made = io.BytesIO()
with tarfile.open(fileobj=io.BytesIO(whole)) as old, tarfile.open(fileobj=made, mode="w") as new:
    for member in old:
        new.addfile(member, old.extractfile(member) if member.isfile() else None)
    for path in [str(n) for n in range(200001)] if kind == "many" else name.split(","):
        entry = tarfile.TarInfo(path)
        if kind in ("symbolic", "hard", "fifo"):
            entry.type = {"symbolic": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE}[kind]
            entry.linkname = target
        if kind == "closed" and path == name.split(",")[0]:
            entry.type, entry.mode = tarfile.DIRTYPE, 0
        if kind == "below" and path == name.split(",")[0]:
            entry.type, entry.linkname = tarfile.SYMTYPE, target
        if kind == "huge":
            # What it claims to have, of which the archive has none.
            entry.size = 5 << 30
            new.fileobj.write(entry.tobuf())
        else:
            new.addfile(entry)
with gzip.open(out, "wb", 1) as file:
    file.write(made.getvalue())
