# shellcheck shell=sh
# What the apply is made of: one run at a time, each change on record before and after it is made, and only events on standard
# output. What the host's tools say goes to a log that only root reads.

LOG=$STATE/log/$RUN.log
# shellcheck disable=SC2034 # keep, in files.sh, uses it
BACKUPS=$STATE/backups/$RUN
WORK=$STATE/work
# There when the user wants the run to stop. In memory, so that it needs no room on a full disk.
STOP=/run/factoryup-stop.$RUN

emit() {
    printf '%s\n' "$1"
}

fail() {
    echo "$1" >&2
    return 1
}

cannot_write() {
    echo "nothing was changed: cannot write below $STATE" >&2
    exit 73
}

# begin HEADER: takes the host for this run. A lost connection must not stop it half-way, so its signals are ignored.
begin() {
    trap '' HUP PIPE
    mkdir -p "$STATE/log" "$STATE/backups" || cannot_write
    chown root:root "$STATE"
    chmod 0700 "$STATE"
    exec 9>"$STATE/lock"
    flock -n 9 || wait_for_lock
    rm -rf "$WORK"
    mkdir "$WORK" || cannot_write
    find_proxy
    : >>"$LOG" || cannot_write
    if [ ! -s "$STATE/receipt.json" ]; then
        { printf '%s\n' "$1" ']}' >"$STATE/receipt.new" && put_receipt; } || cannot_write
    fi
}

# find_proxy: from here on, all that this program starts has the proxy that /etc/environment names, as each login has it from pam_env(8).
# sudo would drop it, and no service gets it: $WORK/proxy is for `worker`. No value needs a quote, a backslash or a line break.
find_proxy() {
    sed -nE "s/^[[:blank:]]*(export[[:blank:]]+)?//
        s/[[:space:]]*(#.*)?\$//
        s/^((https?|all|no)_proxy|(HTTPS?|ALL|NO)_PROXY)=[\"']?([^[:cntrl:]\"'\\\\#]{1,2000})[\"']?\$/\\1=\\4/p" \
        /etc/environment >"$WORK/proxy" 2>/dev/null || :
    # Without a line break, the last line ends in what `read` takes for a failure.
    while IFS= read -r line || [ -n "$line" ]; do
        export "${line?}"
    done <"$WORK/proxy"
}

# wait_for_lock: until the run that holds the host ends, or this one is asked to stop.
wait_for_lock() {
    left=${LOCK_WAIT:-300}
    emit "{\"event\":\"waiting\",\"seconds\":$left}"
    until flock -w 1 9; do
        if [ -e "$STOP" ]; then
            rm -f "$STOP"
            emit '{"event":"stopped"}'
            exit 3
        fi
        left=$((left - 1))
        if [ "$left" -le 0 ]; then
            emit '{"event":"busy"}'
            exit 75
        fi
    done
}

# wait_for_cloud_init: it could change what comes next, so its end is waited for; not without end, and only before the first change
# of a run, never while a revert is armed.
wait_for_cloud_init() {
    command -v cloud-init >/dev/null || return 0
    limit=${CLOUD_INIT_WAIT:-600}
    timeout "$limit" cloud-init status --wait >>"$LOG" 2>&1 </dev/null 9>&- &
    waiter=$!
    tries=0
    while kill -0 "$waiter" 2>/dev/null; do
        if [ -e "$STOP" ]; then
            kill "$waiter"
            stop_if_asked
        fi
        [ "$tries" -ne 5 ] || emit "{\"event\":\"cloud-init\",\"seconds\":$limit}"
        tries=$((tries + 1))
        sleep 0.2
    done
    code=0
    wait "$waiter" || code=$?
    [ "$code" -ne 124 ] || emit "{\"event\":\"no-cloud-init\",\"seconds\":$limit}"
}

# stop_if_asked [ID]: between two changes, ends a run that the user wants to stop. With an ID, this change has begun and has
# changed nothing yet.
stop_if_asked() {
    [ -e "$STOP" ] || return 0
    change=${1:-null}
    journal stopped
    rm -rf "$WORK" "$STOP"
    emit "{\"event\":\"stopped\",\"id\":$change}"
    exit 3
}

# journal WHAT: one line about the current change, on disk before the next thing happens; whole, or not at all.
journal() {
    size=$(stat -c %s "$STATE/journal.jsonl" 2>/dev/null || echo 0)
    if ! {
        printf '{"run":"%s","at":"%s","target":"host","event":"%s","change":%s}\n' \
            "$RUN" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" "$change" >>"$STATE/journal.jsonl" &&
            sync "$STATE/journal.jsonl"
    }; then
        truncate -s "$size" "$STATE/journal.jsonl"
        return 1
    fi
}

# put_receipt: what lies beside the receipt takes its place, once it is whole and on disk.
put_receipt() {
    if sync "$STATE/receipt.new" && [ "$(tail -n 1 "$STATE/receipt.new")" = ']}' ]; then
        mv -f "$STATE/receipt.new" "$STATE/receipt.json" && sync "$STATE"
    else
        rm -f "$STATE/receipt.new"
        fail "the receipt cannot be written: is the disk full?"
    fi
}

# record ID ACTION UNDO, all JSON: adds a line to the receipt unless the change has one. The first undo is the one that leads
# back to the state before factoryup. On a full disk it fails, and the receipt is what it was.
record() {
    ! grep -qF "{\"id\":$1," "$STATE/receipt.json" || return 0
    comma=,
    [ "$(wc -l <"$STATE/receipt.json")" -gt 2 ] || comma=
    {
        sed '$d' "$STATE/receipt.json" &&
            printf '%s{"id":%s,"action":%s,"at":"%s","undo":%s}\n]}\n' \
                "$comma" "$1" "$2" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$3"
    } >"$STATE/receipt.new" && put_receipt
}

# undo JSON: how the current change can be undone. On record before the change is made.
undo() {
    printf '%s' "$1" >"$WORK/undo"
    record "$change" "$action" "$1"
}

# give_up CODE: the current change failed, and the run with it.
give_up() {
    emit "{\"event\":\"failed\",\"id\":$change,\"code\":$1,\"log\":$(last_words "$WORK/log")}"
    rm -rf "$WORK" "$STOP"
    exit 3
}

# watch_apt: from now on, passes on what apt says of its progress. tail ends when this shell does, however that happens; so it is not
# waited for. It looks every 0.2 s where it cannot be notified, as on an overlay.
watch_apt() {
    : >"$WORK/apt-status"
    tail -n +1 -f -s 0.2 --pid=$$ "$WORK/apt-status" </dev/null 2>/dev/null 9>&- |
        stdbuf -oL sed -n -e '/^end:/q' -e 's/[[:cntrl:]]/ /g' -e 's/["\\]/\\&/g' -e 's/.*/{"event":"apt","line":"&"}/p' 2>/dev/null 9>&- &
    watcher=$!
}

# end_watch: once all is passed on, which takes no longer than one look at the file; on a host that is too busy for that, after 5 s.
end_watch() {
    echo end: >>"$WORK/apt-status"
    tries=100
    while kill -0 "$watcher" 2>/dev/null && [ "$tries" -gt 0 ]; do
        tries=$((tries - 1))
        sleep 0.05
    done
    kill "$watcher" 2>/dev/null
}

# take ID ACTION FUNCTION [or_leave]: makes one change. One that fails ends the run, unless it is to be left then: in a worker's
# home, where the worker could have seen to that, so that nothing else is made; or where it depends on another server.
take() {
    stop_if_asked
    change=$1
    action=$2
    if ! { journal started && printf '%s\n' "$change" >"$STATE/unfinished" && sync "$STATE/unfinished"; } 2>"$WORK/log"; then
        give_up 73
    fi
    emit "{\"event\":\"started\",\"id\":$change}"
    printf null >"$WORK/undo"
    printf -- '-- %s\n' "$change" >>"$LOG"
    from=$(stat -c %s "$LOG")
    watcher=
    case $change in
        '"package:'*) watch_apt ;;
    esac
    (
        trap - PIPE
        set -eu
        "$3"
    ) >>"$LOG" 2>&1 </dev/null 9>&-
    code=$?
    [ -z "$watcher" ] || end_watch
    [ ! -e "$WORK/untouched" ] || stop_if_asked "$change"
    if [ "$code" -ne 0 ]; then
        tail -c "+$((from + 1))" "$LOG" | tail -n 20 >"$WORK/log"
        journal failed
        [ "${4-}" = or_leave ] || give_up "$code"
        rm -f "$STATE/unfinished"
        emit "{\"event\":\"left\",\"id\":$change,\"code\":$code,\"log\":$(last_words "$WORK/log")}"
        return
    fi
    journal 'done'
    rm -f "$STATE/unfinished"
    if [ -s "$WORK/left" ]; then
        emit "{\"event\":\"left\",\"id\":$change,\"log\":$(last_words "$WORK/left")}"
        rm -f "$WORK/left"
    fi
    emit "{\"event\":\"done\",\"id\":$change,\"undo\":$(cat "$WORK/undo")}"
}

# last_words FILE: the end of a log as a JSON string.
last_words() {
    tail -n 20 "$1" | tail -c 4096 | awk '
        function escape(s,   out, i, c) {
            out = ""
            for (i = 1; i <= length(s); i++) {
                c = substr(s, i, 1)
                if (c == "\"" || c == "\\") c = "\\" c
                else if (c < " ") c = " "
                out = out c
            }
            return out
        }
        BEGIN { printf "\"" }
        { printf "%s%s", (NR > 1 ? "\\n" : ""), escape($0) }
        END { printf "\"" }
    '
}

finish() {
    rm -rf "$WORK" "$STOP"
    emit '{"event":"end"}'
}
