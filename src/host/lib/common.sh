# shellcheck shell=sh
# What both programs begin with. A program is one function, called by its last line with a word that only the whole text holds:
# a text that was cut on the way defines nothing, or calls nothing.

umask 077
cd / || exit 70
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HOME=/root
DEBIAN_FRONTEND=noninteractive
NEEDRESTART_MODE=l
export LC_ALL PATH HOME DEBIAN_FRONTEND NEEDRESTART_MODE
# shellcheck disable=SC2034 # what follows uses it
STATE=/var/lib/factoryup

# apt_holder: the process that has one of the locks of apt and dpkg, and the lock; nothing when they are free.
apt_holder() {
    for lock in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock; do
        inode=$(stat -c %i "$lock" 2>/dev/null) || continue
        awk -v inode="$inode" '$2 == "POSIX" && $6 ~ (":" inode "$") { print $5 }' /proc/locks | while IFS= read -r pid; do
            # The locks are root's: a process of others has a file of the same number elsewhere.
            [ "$(stat -c %u "/proc/$pid" 2>/dev/null)" = 0 ] || continue
            [ -z "$(find "/proc/$pid/fd" -lname "$lock" -print -quit 2>/dev/null)" ] || echo "$pid $lock"
        done
    done | head -n 1
}
