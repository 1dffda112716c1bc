#!/bin/sh
# Runs the tool whose name it is called by, once for each different input, and answers every later call as that run did.
#
# What a call gives the tool makes up the key: its name, the arguments, the folder, the variables that it heeds, and name and
# content of every file that it can read. So two calls share an answer only where the tool would be given the same bytes.
#
#   ONCE       the folder where answers are kept; each call adds "ran TOOL" or "shared TOOL" to its file calls
#   ONCE_PATH  where the tool itself is found
set -eu
tool=${0##*/}

# The scripts that these source, and those that they source.
sourced() {
    found=$(sed -nE 's/^[[:space:]]*(\.|source)[[:space:]]+([^[:space:];]+).*/\2/p; s/^[[:space:]]*#.*source=([^[:space:]]+).*/\1/p' "$@")
    set -f
    for path in $found; do
        case "$files " in
        *" $path "*) ;;
        *)
            [ ! -f "$path" ] || { files="$files $path" && sourced "$path"; }
            ;;
        esac
    done
}

# The folders of the modules that this folder's files name, and of those that they name.
modules() (
    sed -nE 's/^[[:space:]]*source[[:space:]]*=[[:space:]]*"(\.[^"]*)".*/\1/p' "$1"/*.tf "$1"/*.tofu "$1"/tests/*.hcl 2>/dev/null |
        sort -u | while IFS= read -r path; do
        printf '%s\n' "$1/$path"
        modules "$1/$path"
    done
)

inputs() {
    printf '%s\n' "$tool" "$@"
    case $tool in
    shellcheck | yamllint)
        for last; do :; done
        files=" $last"
        [ "$tool" = yamllint ] || sourced "$last"
        for settings in .shellcheckrc .yamllint .yamllint.yaml .yamllint.yml; do
            [ ! -f "$settings" ] || files="$files $settings"
        done
        # shellcheck disable=SC2086 # names without blanks
        sha256sum $files
        ;;
    terraform | tofu)
        git rev-parse --show-prefix
        env | grep '^TF_' | grep -v '^TF_REATTACH_PROVIDERS=' | sort
        folders=$(for argument; do [ ! -d "$argument" ] || printf '%s\n' "$argument"; done)
        # All but what init leaves there, and values, which neither init nor validate reads.
        values=none
        case ${1:-} in init | validate) values='*.tfvars' ;; esac
        printf '%s\n' "${folders:-$(echo . && modules .)}" | sort -u | while IFS= read -r folder; do
            find "$folder" -type f ! -path '*/.terraform/*' ! -name init.log ! -name "$values" -print0 | sort -z | xargs -0 sha256sum
        done
        ;;
    *)
        echo "$tool: what does it read?" >&2
        exit 70
        ;;
    esac
}

# run NAME ARGUMENT...: the tool itself, with its answer under that name.
run() {
    mkdir "$1.$$"
    answer=$1
    shift
    code=0
    PATH=$ONCE_PATH "$tool" "$@" >"$answer.$$/stdout" 2>"$answer.$$/stderr" || code=$?
    echo "$code" >"$answer.$$/code"
    # Two at the same time have the same answer.
    mv -T "$answer.$$" "$answer" 2>/dev/null || rm -r "$answer.$$"
}

key=$(inputs "$@" | sha256sum)
answer=$ONCE/${key%% *}
word=shared
if [ ! -d "$answer" ]; then
    word=ran
    case ${1:-} in
    validate | test)
        # A shared answer of init left nothing here for this one.
        [ -d "${TF_DATA_DIR:-.terraform}" ] || PATH=$ONCE_PATH "$tool" init -backend=false -no-color >/dev/null
        ;;
    esac
    run "$answer" "$@"
fi
echo "$word $tool" >>"$ONCE/calls"
[ ! -s "$answer/stdout" ] || cat "$answer/stdout"
[ ! -s "$answer/stderr" ] || cat "$answer/stderr" >&2
read -r code <"$answer/code"
exit "$code"
