# shellcheck shell=sh

# authorize USER FILE KEY: adds a line, keeps all others.
authorize() {
    # shellcheck disable=SC2016 # the inner shell expands it
    as "$1" sh -c '
        set -eu
        umask 077
        rm -rf -- "$1.factoryup-new"
        set -C
        if [ -f "$1" ]; then sed -e "\$a\\" "$1" >"$1.factoryup-new"; else : >"$1.factoryup-new"; fi
        printf "%s\n" "$2" >>"$1.factoryup-new"
        mv -fT -- "$1.factoryup-new" "$1"
    ' sh "$2" "$3"
}

# stage_without_key USER FILE FINGERPRINT: stages the file without a key, so that it is back if nobody can log in without that.
stage_without_key() {
    [ -f "$2" ] || return 0
    staged "$2"
    # Of several keys that go, each leaves what the one before left.
    if [ -e "$GUARD/stage$2" ]; then
        cp -- "$GUARD/stage$2" "$GUARD/keys"
    else
        as "$1" head -c 16777216 -- "$2" >"$GUARD/keys"
    fi
    while IFS= read -r line || [ -n "$line" ]; do
        printf '%s\n' "$line" | ssh-keygen -lf - 2>/dev/null | grep -qF " $3 " || printf '%s\n' "$line"
    done <"$GUARD/keys" >"$GUARD/stage$2"
    chmod 0600 "$GUARD/stage$2"
    chown -- "$1:" "$GUARD/stage$2"
}

# undo_key USER FILE FINGERPRINT
undo_key() {
    [ -f "$2" ] || return 0
    back_up "$2" "$1"
    as "$1" head -c 16777216 -- "$2" >"$WORK/keys-before"
    while IFS= read -r line || [ -n "$line" ]; do
        printf '%s\n' "$line" | ssh-keygen -lf - 2>/dev/null | grep -qF " $3 " || printf '%s\n' "$line"
    done <"$WORK/keys-before" >"$WORK/keys"
    if [ ! -s "$WORK/keys" ]; then
        as "$1" rm -f -- "$2"
        return
    fi
    as "$1" sh -c "$NEW_FILE" sh "$2.factoryup-new" <"$WORK/keys"
    as "$1" mv -fT -- "$2.factoryup-new" "$2"
}
