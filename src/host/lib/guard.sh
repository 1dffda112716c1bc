# shellcheck shell=sh
# Changes that could shut everybody out: staged, checked, then put in place while a timer stands ready to take them back.

# guard_begin: a guard that nobody has confirmed yet comes to its end first. One that has lost its timer does so now.
guard_begin() {
    tries=${LOCK_WAIT:-300}
    while unsettled && [ "$tries" -gt 0 ]; do
        [ "$tries" -lt "${LOCK_WAIT:-300}" ] || emit "{\"event\":\"waiting\",\"seconds\":$tries}"
        stop_if_asked
        tries=$((tries - 1))
        if timer_runs; then
            sleep 1
        else
            revert again >>"$LOG" 2>&1
        fi
    done
    if unsettled; then
        emit '{"event":"busy"}'
        exit 75
    fi
    rm -rf "$GUARD"
    mkdir "$GUARD" "$GUARD/stage"
    : >"$GUARD/files"
    change=null
}

# unsettled: changes are in place that are neither confirmed nor taken back.
unsettled() {
    [ -e "$GUARD/armed" ] || [ -e "$GUARD/firing" ]
}

# staged PATH: the place of a staged file.
staged() {
    printf '%s\n' "$1" >>"$GUARD/files"
    mkdir -p "$GUARD/stage${1%/*}"
}

# stage PATH MODE: standard input becomes the file when the guard is armed.
stage() {
    staged "$1"
    cat >"$GUARD/stage$1"
    chmod "$2" "$GUARD/stage$1"
}

# stage_back BACKUPS PATH: when the guard is armed, the file becomes what it was, or goes where there was none.
stage_back() {
    staged "$2"
    if [ -e "$1$2" ] || [ -L "$1$2" ]; then
        cp -a -- "$1$2" "$GUARD/stage$2"
    fi
}

# stage_back_if_kept BACKUPS PATH: the same for a file that has to be there, changed or not.
stage_back_if_kept() {
    [ ! -e "$1$2" ] || stage_back "$1" "$2"
}

# examine ID FUNCTION: stages and checks one change. The first that is refused ends the run before anything was changed.
examine() {
    (
        set -eu
        "$2"
    ) >"$WORK/log" 2>&1 </dev/null 9>&-
    code=$?
    cat "$WORK/log" >>"$LOG"
    if [ "$code" -ne 0 ]; then
        # On a full disk there is no log of a check either, and it is not the check that refuses.
        if head -c 65536 /dev/zero 2>/dev/null >"$WORK/room"; then
            emit "{\"event\":\"refused\",\"id\":$1,\"log\":$(last_words "$WORK/log")}"
        else
            emit "{\"event\":\"failed\",\"id\":$1,\"code\":73,\"log\":\"no room is left below $STATE\"}"
        fi
        rm -rf "$WORK" "$GUARD"
        exit 3
    fi
}

# stop_before_guard: the last moment at which the run can stop with nothing changed.
stop_before_guard() {
    [ ! -e "$STOP" ] || rm -rf "$GUARD"
    stop_if_asked
}

# announce ID: the change is about to be made.
announce() {
    change=$1
    journal started
    emit "{\"event\":\"started\",\"id\":$1}"
}

# at_boot_unit: what takes the changes back when the host starts again before its timer fires. It runs before all that reads them.
at_boot_unit() {
    cat <<UNIT
[Unit]
Description=Takes back a change to sshd or the firewall that nobody confirmed
ConditionPathExists=|$GUARD/armed
ConditionPathExists=|$GUARD/firing
DefaultDependencies=no
RequiresMountsFor=$GUARD /etc
After=local-fs.target
Before=ssh.service ssh.socket factory-firewall.service network-pre.target shutdown.target
Conflicts=shutdown.target
[Service]
Type=oneshot
ExecStart=/bin/sh $GUARD/revert.sh at-boot
TimeoutStartSec=60
UNIT
}

# guard_arm SECONDS, with the revert program on standard input. Whatever of it fails, nothing has been changed.
guard_arm() {
    cat >"$GUARD/revert.sh" || return
    # A text that a full disk has cut defines nothing and does nothing.
    tail -n 1 "$GUARD/revert.sh" | grep -q '^main ' || return
    sort -u -o "$GUARD/files" "$GUARD/files" || return
    mkdir -p "$BACKUPS" || return
    while IFS= read -r path; do
        [ -e "$path" ] || continue
        # The receipt's way back leads to before this run, the guard's only to now: a key that was just added stays. A copy that an
        # earlier change of this run made in a home is root's.
        back_up "$path" || return
        chown -h --reference="$path" "$BACKUPS$path" || return
        mkdir -p "$GUARD/before${path%/*}" || return
        cp -a -- "$path" "$GUARD/before$path" || return
    done <"$GUARD/files"
    : >"$GUARD/table" || return
    if nft list table inet factoryup >/dev/null 2>&1; then
        nft --stateless --terse list table inet factoryup >"$GUARD/table" || return
    fi
    ! systemctl is-active --quiet ssh.service || : >"$GUARD/sshd-ran" || return
    printf '%s\n' "$RUN" >"$GUARD/armed.new" || return
    at_boot_unit >"/etc/systemd/system/$AT_BOOT" || return
    chmod 0644 "/etc/systemd/system/$AT_BOOT" || return
    mkdir -p /etc/systemd/system/multi-user.target.wants || return
    ln -sfT "../$AT_BOOT" "/etc/systemd/system/multi-user.target.wants/$AT_BOOT" || return
    sync
    mv "$GUARD/armed.new" "$GUARD/armed" || return
    systemctl stop factoryup-revert.timer factoryup-revert.service
    systemctl reset-failed factoryup-revert.service
    systemd-run --quiet --collect --unit=factoryup-revert --on-active="${1}s" --timer-property=AccuracySec=1s \
        --description='Takes back a change to sshd or the firewall unless it is confirmed' \
        /bin/sh "$GUARD/revert.sh" &&
        systemctl is-active --quiet factoryup-revert.timer
}

# load_firewall: the rules that are in place now; where there are none, the table goes.
load_firewall() {
    if [ -e /etc/factory/firewall.nft ]; then
        nft -f /etc/factory/firewall.nft
    elif nft list table inet factoryup >/dev/null 2>&1; then
        nft delete table inet factoryup
    fi
}

# guard_install: puts the staged files in place, or takes away what is to go, and has it read.
guard_install() {
    while IFS= read -r path; do
        if [ ! -e "$GUARD/stage$path" ]; then
            rm -f -- "$path" || return
            continue
        fi
        mkdir -p "${path%/*}"
        rm -f -- "$path.factoryup-new"
        cp -- "$GUARD/stage$path" "$path.factoryup-new" || return
        chmod --reference="$GUARD/stage$path" "$path.factoryup-new"
        chown --reference="$GUARD/stage$path" "$path.factoryup-new"
        mv -fT -- "$path.factoryup-new" "$path" || return
    done <"$GUARD/files"
    sync
    if [ -e "$GUARD/firewall" ]; then
        load_firewall || return
    fi
    if [ -e "$GUARD/sshd" ]; then
        reload_sshd || return
    fi
}

# guard SECONDS, with the revert program on standard input: from here on, only a confirmation makes the changes stay.
guard() {
    if ! guard_arm "$1" >"$WORK/log" 2>&1; then
        cat "$WORK/log" >>"$LOG"
        mv "$GUARD/armed" "$GUARD/never" 2>/dev/null
        forget_timer
        emit "{\"event\":\"refused\",\"id\":null,\"log\":$(last_words "$WORK/log")}"
        exit 3
    fi
    if ! guard_install >>"$WORK/log" 2>&1; then
        take_back "$WORK/log"
    fi
    cat "$WORK/log" >>"$LOG"
    emit '{"event":"armed"}'
}

# take_back [REASON]: reverts now, and says why: the end of the file REASON, or of sshd's log.
take_back() {
    if ! revert >>"$LOG" 2>&1; then
        while unsettled && timer_runs; do sleep 1; done
    fi
    systemctl stop factoryup-revert.timer 2>/dev/null
    say_reverted "$@"
    exit 3
}

# say_reverted [REASON]: nothing, if nothing was reverted.
say_reverted() {
    [ -e "$GUARD/reverted" ] || return 0
    reason=${1:-$WORK/sshd}
    [ $# -gt 0 ] ||
        journalctl --quiet --no-pager --output=cat --lines=12 --unit=ssh.service >"$reason" 2>/dev/null
    emit "{\"event\":\"reverted\",\"log\":$(last_words "$reason")}"
}

# confirm: whoever runs this has logged in and become root under the new rules.
confirm() {
    if ! mv "$GUARD/armed" "$GUARD/confirmed" 2>/dev/null; then
        say_reverted
        exit 3
    fi
    systemctl stop factoryup-revert.timer >>"$LOG" 2>&1
    forget_timer
    while IFS= read -r path; do
        if [ -e "$GUARD/stage$path" ]; then
            wrote "$path" "$(sha256sum <"$path" | cut -d ' ' -f 1)"
        else
            wrote "$path"
        fi
    done <"$GUARD/files" >>"$LOG" 2>&1
    rm -rf "$GUARD/stage" "$GUARD/trial"
    if [ -e "$GUARD/firewall" ] && [ -e /etc/factory/firewall.nft ]; then
        {
            systemctl daemon-reload
            systemctl enable factory-firewall.service
            systemctl reload-or-restart factory-firewall.service
            nft --numeric --stateless --terse list table inet factoryup >"$STATE/firewall.loaded"
        } >>"$LOG" 2>&1
    fi
}

# settle ID ACTION: a guarded change is there to stay.
settle() {
    # shellcheck disable=SC2034 # journal uses it
    change=$1
    undo_json="{\"how\":\"restore\",\"before\":\"$BACKUPS\"}"
    if ! { record "$1" "$2" "$undo_json" && journal 'done'; } 2>"$WORK/log"; then
        give_up 73
    fi
    emit "{\"event\":\"done\",\"id\":$1,\"undo\":$undo_json}"
}
