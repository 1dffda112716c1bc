# shellcheck shell=sh
# Files, folders and links. In a home folder everything is done as its user, who could have put a link where root would follow.

# as USER COMMAND...: a user gets 20 seconds, who could otherwise have root wait forever for a pipe that nobody writes to.
as() {
    user=$1
    shift
    if [ "$user" = root ]; then
        "$@"
    else
        timeout -k 1 20 runuser -u "$user" -- "$@" && return
        code=$?
        [ "$code" -ne 124 ] || echo "something in the home of $user held this up for 20 seconds" >&2
        return "$code"
    fi
}

# worker USER COMMAND...: for what USER's own files decide about, or what can take long. It runs in USER's slice and so within USER's limits,
# with its own view of the processes, so that all it starts ends with it. Its environment has the host's proxy, which no argument tells.
# $WORK/said gets the end of what it says. All of one run have 10 minutes together. 193 says that it succeeded: systemd-run ends with 0
# too if it loses sight of the service.
worker() {
    user=$1
    shift
    account "$user"
    [ -s "$WORK/until" ] || echo "$(($(date +%s) + 600))" >"$WORK/until"
    time=$(($(cat "$WORK/until") - $(date +%s)))
    code=124
    if [ "$time" -gt 0 ]; then
        code=0
        cat >"$WORK/worker" <<'WORKER'
set -o pipefail
for name in $(compgen -e); do case $name in PATH | *_proxy | *_PROXY) ;; *) unset "$name" ;; esac; done
mapfile -d '' words <"$0.words"
"${words[@]}" 2>&1 | tail -c 2048 && exit 193
code=$?
[ "$code" != 193 ] || code=1
exit "$code"
WORKER
        # shellcheck disable=SC2154 # account sets them
        printf '%s\0' timeout -k 1 "$time" \
            unshare --pid --fork --kill-child --mount-proc setpriv --reuid="$uid" --regid="$gid" --init-groups --inh-caps=-all \
            env HOME="$home" USER="$user" LOGNAME="$user" LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin "$@" >"$WORK/worker.words"
        # Plain words: if systemd reloads its configuration while this is about to start, it reads $ and ; in arguments wrongly.
        systemd-run --quiet --pipe --wait --collect --slice="user-$uid.slice" -p KillSignal=SIGKILL -p LimitFSIZE=4G -p UMask=0027 \
            -p EnvironmentFile="-$WORK/proxy" bash "$WORK/worker" </dev/null >"$WORK/said" 2>&1 || code=$?
    fi
    case $code in
    193) code=0 ;;
    0)
        echo 'lost sight of it while it ran' >"$WORK/said"
        code=69
        ;;
    124 | 137)
        echo 'timed out: clones and downloads of one run have 10 minutes together' >"$WORK/said"
        code=69
        ;;
    esac
    cat "$WORK/said"
    return "$code"
}

# is_kept PATH: only a file or a link is. A pipe, socket or device holds nothing that could be brought back.
is_kept() {
    [ -f "$1" ] || [ -L "$1" ]
}

# mode_of USER PATH: the mode of a file, without setuid, setgid and sticky: a copy can have another owner, and would run as that.
mode_of() {
    mode=000$(as "$1" stat -c %a -- "$2") && printf %s "${mode#"${mode%???}"}"
}

# back_up PATH [USER]: copies the file or link that is there to the same path below BACKUPS; what lies in USER's home, as USER
# can read it, so that no file of root's gets there through a link. The first copy of a run is the one that counts.
back_up() {
    if [ -e "$BACKUPS$1" ] || [ -L "$BACKUPS$1" ]; then
        return 0
    fi
    mkdir -p "$BACKUPS${1%/*}" || return
    if [ "${2:-root}" = root ]; then
        cp -a -- "$1" "$BACKUPS$1" && { [ -L "$1" ] || chmod -- "$(mode_of root "$1")" "$BACKUPS$1"; }
    elif [ -L "$1" ]; then
        ln -s -- "$(as "$2" readlink -n -- "$1")" "$BACKUPS$1"
    else
        as "$2" head -c 16777216 -- "$1" >"$BACKUPS$1" && chmod -- "$(mode_of "$2" "$1")" "$BACKUPS$1"
    fi
}

# wrote PATH [SHA256]: puts on record what is written there, so that an edit can be told from it later; without a digest, that
# nothing is.
wrote() {
    {
        if [ -e "$STATE/written" ]; then
            awk -v path="$1" 'substr($0, 67) != path' "$STATE/written"
        fi && { [ $# -lt 2 ] || printf '%s  %s\n' "$2" "$1"; }
    } >"$STATE/written.new" && sync "$STATE/written.new" && mv -f "$STATE/written.new" "$STATE/written"
}

# keep USER PATH: copies the file that is there, so that it can be brought back, and puts that on record. A folder is no file.
keep() {
    if [ -d "$2" ] && [ ! -L "$2" ]; then
        fail "$2 is a folder where none must be"
    fi
    if is_kept "$2"; then
        back_up "$2" "$1"
        undo "{\"how\":\"restore\",\"before\":\"$BACKUPS$2\"}"
    else
        undo '{"how":"remove"}'
    fi
}

# add_to_record FILE LINE: the record has the line whole, or not at all.
add_to_record() {
    {
        if [ -e "$STATE/$1" ]; then
            cat "$STATE/$1"
        fi && printf '%s\n' "$2"
    } >"$STATE/$1.new" && sync "$STATE/$1.new" && mv -f "$STATE/$1.new" "$STATE/$1"
}

# parents USER PATH: makes the folders above a path, readable for all as /etc is. Those of root's are on record, so that they can go
# again. What lies in a home stays with it.
parents() {
    made=${2%/*}
    while [ "$1" = root ] && [ -n "$made" ] && [ ! -e "$made" ]; do
        grep -qsxF -- "$made" "$STATE/made" || add_to_record made "$made" || return
        made=${made%/*}
    done
    (
        umask 022
        as "$1" mkdir -p -- "${2%/*}"
    )
}

# What makes standard input a new file at $1, whatever lies there: a pipe would be written to forever.
# shellcheck disable=SC2016 # the shell that runs it expands it
NEW_FILE='umask 077; rm -rf -- "$1"; set -C; cat >"$1" || { rm -f -- "$1"; exit 73; }'

# put USER PATH MODE OWNER:GROUP SHA256 [CHECK...]: as USER, makes standard input the content of a file. A reader sees the old
# file or the new one. CHECK is a command that gets the new file's path as its last argument and can refuse it.
put() {
    actor=$1 path=$2 mode=$3 owner=$4 sum=$5
    shift 5
    parents "$actor" "$path"
    new=$path.factoryup-new
    as "$actor" sh -c "$NEW_FILE" sh "$new"
    # shellcheck disable=SC2016 # the inner shell expands it
    as "$actor" sh -c 'printf "%s  %s\n" "$2" "$1" | sha256sum -c --quiet -' sh "$new" "$sum"
    if [ "$actor" = root ]; then
        chown -- "$owner" "$new"
    fi
    as "$actor" chmod -- "$mode" "$new"
    if [ $# -gt 0 ] && ! "$@" "$new"; then
        rm -f -- "$new"
        fail "$path was refused by $1"
    fi
    as "$actor" sync "$new"
    wrote "$path" "$sum"
    as "$actor" mv -fT -- "$new" "$path"
    as "$actor" sync "${path%/*}"
}
