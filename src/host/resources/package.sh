# shellcheck shell=sh

# install_packages NAME...: waits for others who use apt, mends what a power cut left, and never asks.
install_packages() {
    for half_done in /var/lib/dpkg/updates/[0-9]*; do
        if [ -e "$half_done" ]; then
            dpkg --configure -a --force-confdef --force-confold
            break
        fi
    done
    update_package_lists
    apt-get -q -y -o DPkg::Lock::Timeout="${LOCK_WAIT:-300}" \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        --no-install-recommends install "$@"
}

# The lock of the lists is not one that apt can wait for. A source that does not answer matters only if a package is then not
# found.
update_package_lists() {
    tries=60
    until apt-get -q update >"$WORK/apt" 2>&1; do
        cat "$WORK/apt"
        grep -q 'Could not get lock' "$WORK/apt" && [ "$tries" -gt 0 ] || return 0
        tries=$((tries - 1))
        sleep 5
    done
    cat "$WORK/apt"
}
