#!/bin/sh
# Takes everything of one disposable host away. Safe to run again, and when half of it is gone already.
#   sh -c "$(cat cleanup.sh)" cleanup STATE_DIR [keep]
# With `keep` it first waits for the end of its standard input, whose other end is held by the process that owns the host.
# The last thing it prints to standard error, if anything, is what it could not take away; then it exits 1.
set -u
state=$1
id=${state##*/}
run=${state%/hosts/*}

if [ "${2-}" = keep ]; then
    trap '' INT TERM HUP PIPE
    cat >/dev/null
fi
[ -d "$state" ] || exit 0

control_groups() {
    for top in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
        if [ -d "$top/factoryup-$id" ]; then echo "$top/factoryup-$id"; fi
    done
}

# The host's processes, and no others, are in its control groups.
processes() {
    for group in $(control_groups); do
        find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null
    done
}

tries=0
while [ "$tries" -lt 100 ] && [ -n "$(processes)" ]; do
    for pid in $(processes); do kill -9 "$pid" 2>/dev/null; done
    sleep 0.05
    tries=$((tries + 1))
done

# systemd-nspawn removes these itself unless it is killed.
lock=$(stat -c 'inode-%d:%i' "$state/disk/root" 2>/dev/null) && rm -f "/run/systemd/nspawn/locks/$lock"
rm -rf "/run/systemd/nspawn/propagate/factoryup-$id"

for mount in "$state/disk/root" "$state/disk"; do
    tries=0
    while [ "$tries" -lt 20 ] && grep -qF " $mount " /proc/self/mounts; do
        umount "$mount" 2>/dev/null || sleep 0.1
        tries=$((tries + 1))
    done
    if grep -qF " $mount " /proc/self/mounts; then umount -l "$mount"; fi
done

if [ -e "/sys/class/net/fu$id" ]; then ip link delete "fu$id"; fi
if [ -e "/run/netns/factoryup-$id" ]; then ip netns delete "factoryup-$id"; fi
nft delete table ip "factoryup_$id" 2>/dev/null
for group in $(control_groups); do find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; done

left=
if [ -n "$(processes)" ]; then left="$left processes $(processes | tr '\n' ' ')"; fi
if [ -n "$(control_groups)" ]; then left="$left control groups $(control_groups | tr '\n' ' ')"; fi
if grep -qF " $state/disk" /proc/self/mounts; then left="$left mounts under $state"; fi
if [ -e "/sys/class/net/fu$id" ]; then left="$left interface fu$id"; fi
if [ -e "/run/netns/factoryup-$id" ]; then left="$left network namespace factoryup-$id"; fi
if [ -n "$left" ]; then
    echo "$left" >&2
    exit 1
fi
rm -rf "$state"

# The last host out turns forwarding off again, if the first one in turned it on.
(
    flock 9
    if [ -e "$run/forwarding-was-off" ] && [ -z "$(ls -A "$run/hosts")" ]; then
        echo 0 >/proc/sys/net/ipv4/ip_forward
        rm -f "$run/forwarding-was-off"
    fi
) 9>>"$run/lock"
