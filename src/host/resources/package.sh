# shellcheck shell=sh

# install_packages NAME...: finishes what a power cut left, and never asks. A source of the lists that does not answer matters only if a
# package is then not found.
install_packages() {
    # shellcheck disable=SC2034 # wait_for_apt uses it
    wait_until=$(($(date +%s) + ${LOCK_WAIT:-300}))
    wait_for_apt
    for half_done in /var/lib/dpkg/updates/[0-9]*; do
        if [ -e "$half_done" ]; then
            dpkg --configure -a --force-confdef --force-confold
            break
        fi
    done
    echo lists: >>"$WORK/apt-status"
    apt_get update || :
    code=0
    # shellcheck disable=SC2016 # apt runs it with what it is about to install on standard input, one a line
    apt_get -y -o APT::Status-Fd=3 -o 'DPkg::Pre-Install-Pkgs::=echo "total:$(wc -l)" >>/var/lib/factoryup/work/apt-status' -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        --no-install-recommends install "$@" || code=$?
    [ "$code" -eq 0 ] || apt_faults
    return "$code"
}

# apt_faults: what went wrong in this change, again and last, since apt can say much after it. Why a source did not answer comes at
# the very end.
apt_faults() {
    # shellcheck disable=SC2154 # take sets it
    tail -c "+$((from + 1))" "$LOG" >"$WORK/apt"
    sed -n '/^E: /p' "$WORK/apt" | sort -u | tail -n 12
    grep -E '^[EW]: ' "$WORK/apt" | grep -iE 'resolv|connect|timed out|unreachable|404|sign|PUBKEY|not valid yet|space' | sort -u | tail -n 7
}

# apt_get WORDS...: runs it as soon as no other process has a lock that it needs.
apt_get() {
    while :; do
        wait_for_apt
        said=$(stat -c %s "$LOG")
        code=0
        apt-get -q "$@" 3>>"$WORK/apt-status" || code=$?
        [ "$code" -ne 0 ] || return 0
        tail -c "+$((said + 1))" "$LOG" | grep -q 'Could not get lock' || return "$code"
        [ "$(date +%s)" -lt "$wait_until" ] || return "$code"
        sleep 1
    done
}

# wait_for_apt: waits until `wait_until` for others who use apt, and says for whom. After that time the change fails; and when the run
# is to stop, it ends with nothing changed.
wait_for_apt() {
    known=
    while holder=$(apt_holder) && [ -n "$holder" ]; do
        pid=${holder%% *}
        command=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | tr -d '\n' | cut -c 1-100) || :
        left=$((wait_until - $(date +%s)))
        if [ -e "$STOP" ]; then
            : >"$WORK/untouched"
            exit 1
        fi
        if [ "$left" -le 0 ]; then
            echo "process $pid (${command% }) still has the lock ${holder#* }"
            exit 1
        fi
        [ "$pid" = "$known" ] || printf 'lock:%s:%s:%s\n' "$pid" "$left" "${command% }" >>"$WORK/apt-status"
        known=$pid
        sleep 1
    done
}
