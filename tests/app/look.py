import glob
import os
import pathlib


def look():
    """Which files have the other application's setting, whether the service manager is in reach, and what is in /srv/apps."""
    found = []
    for path in ["/srv/apps/shop-staging/env", *glob.glob("/proc/[0-9]*/environ")]:
        try:
            if b"not-for-" + b"shop" in pathlib.Path(path).read_bytes():
                found.append(path)
        except OSError:
            pass
    return sorted(found), os.path.exists(f"/run/user/{os.getuid()}/systemd"), sorted(os.listdir("/srv/apps"))


