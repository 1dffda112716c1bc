# shellcheck shell=sh
# What the scripts of this repository share. It is sourced, not run.

# What scripts/tools installed, not an older one of the system.
PATH=${HOME:+$HOME/.local/bin:}$PATH

# The comment that opens the calling script is its help text.
usage() {
    awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$0"
}

# die CODE MESSAGE: the codes are those of sysexits(3).
die() {
    code=$1
    shift
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit "$code"
}

# In a subshell, so that its loop variable stays its own.
need() (
    for tool; do
        command -v "$tool" >/dev/null || die 69 "$tool is missing; run: scripts/tools install $tool"
    done
)

# files PATHSPEC...: what is in the repository or about to be, without links and without factoryup's own records.
files() {
    git -c core.quotePath=false ls-files --cached --others --exclude-standard -- "$@" | sort -u | while IFS= read -r path; do
        case $path in .factory/*) continue ;; esac
        if [ -f "$path" ] && [ ! -L "$path" ]; then
            printf '%s\n' "$path"
        fi
    done
}

# field FILE NAME: a value of the front matter, without quotes; nothing when it is not there.
field() {
    awk -v name="$2" '
        NR == 1 { if ($0 != "---") exit; next }
        /^---$/ { exit }
        index($0, name ":") == 1 {
            value = substr($0, length(name) + 2)
            gsub(/^[ \t]+|[ \t]+$/, "", value)
            gsub(/^"|"$/, "", value)
            print value
            exit
        }' "$1"
}

engine() {
    awk '$1 == "tofu" || $1 == "terraform" { print $1; exit }' toolchain.lock
}

uri() {
    printf %s "$1" | jq -Rr '@uri'
}

# base: the commit that a merge request of this branch is compared with. In a job GitLab names it; elsewhere it is where the branch left
# origin's default branch. Nothing if there is none.
base() {
    if [ -n "${CI:-}${CI_MERGE_REQUEST_DIFF_BASE_SHA:-}" ]; then
        printf '%s\n' "${CI_MERGE_REQUEST_DIFF_BASE_SHA:-}"
    else
        git merge-base HEAD refs/remotes/origin/HEAD 2>/dev/null || true
    fi
}

# Whether GitLab would start no pipeline for a commit with this text.
skips_ci() {
    printf '%s\n' "$@" | grep -qiE '\[(skip[ _-]ci|ci[ _-]skip)\]'
}

# Sets $api, $protocol and $host: the job's, else those of origin.
address() {
    need curl git jq
    url=$(git remote get-url origin)
    case $url in
    http://* | https://*)
        protocol=${url%%://*}
        host=${url#*://}
        host=${host#*@}
        path=${host#*/}
        host=${host%%/*}
        ;;
    ssh://*)
        protocol=https
        host=${url#*://}
        host=${host#*@}
        path=${host#*/}
        host=${host%%[:/]*}
        ;;
    *@*:*)
        protocol=https
        host=${url#*@}
        path=${host#*:}
        host=${host%%:*}
        ;;
    *) [ -n "${CI_API_V4_URL:-}" ] || die 69 "origin is not a GitLab project: $url" ;;
    esac
    if [ -n "${CI_API_V4_URL:-}" ]; then
        api=$CI_API_V4_URL/projects/${CI_PROJECT_ID:?}
    else
        api=$protocol://$host/api/v4/projects/$(uri "${path%.git}")
    fi
}

# Makes `get` ready to read from GitLab's API. In a job, address and token are the job's; else those that git uses for origin.
api_ready() {
    address
    kind=PRIVATE-TOKEN
    token=${GITLAB_TOKEN:-}
    if [ -z "$token" ] && [ -n "${CI_JOB_TOKEN:-}" ]; then
        kind=JOB-TOKEN
        token=$CI_JOB_TOKEN
    fi
    [ -n "$token" ] || token=$(printf 'protocol=%s\nhost=%s\n\n' "$protocol" "$host" |
        GIT_TERMINAL_PROMPT=0 git credential fill 2>/dev/null | sed -n 's/^password=//p') || true
    [ -n "$token" ] || die 77 "no token for $host: store one with git, or set GITLAB_TOKEN"
    sign_in
}

# Makes `send` ready to write as the account for the agent's issues and reviews. The file with its token names the GitLab that it is for.
desk_ready() {
    address
    kind=PRIVATE-TOKEN
    token=${GITLAB_TOKEN:-}
    credential=${HOME:-}/.config/factory/desk-credential
    if [ -z "${CI_API_V4_URL:-}" ] && [ -f "$credential" ]; then
        # Below the same path too: another program may answer at the root of that address.
        base=$(sed -n 's/^gitlab=//p' "$credential")
        case $protocol://$host/$path in
        "$base"/?*) ;;
        *) die 77 "the token in $credential is for $base, and origin is at $protocol://$host" ;;
        esac
        project=$protocol://$host/${path%.git}
        api=$base/api/v4/projects/$(uri "${project#"$base"/}")
        token=$(sed -n 's/^password=//p' "$credential")
    fi
    [ -n "$token" ] || die 77 "no account may write issues and answers here (docs/identities.md); ask instead: scripts/propose --question TITLE TEXT"
    sign_in
}

header=
answer=
# Signs in with $token, as $kind.
sign_in() {
    header=${header:-$(mktemp)}
    answer=${answer:-$(mktemp)}
    trap 'rm -f "$header" "$answer"' EXIT
    trap 'exit 130' INT TERM
    # In a file, since arguments can be read by every user of the machine.
    printf '%s: %s\n' "$kind" "$token" >"$header"
}

# get PATH: what GitLab answers, in the file "$answer".
get() {
    curl -sS --fail-with-body --connect-timeout 10 --max-time 120 -H "@$header" "$api/$1" >"$answer" ||
        die 69 "$api/$1: $(jq -r '.message // .error // empty' "$answer" 2>/dev/null)"
}

# send METHOD PATH: the JSON from standard input; what GitLab answers is in "$answer".
send() {
    body=$(cat)
    [ -n "$body" ] || die 70 "nothing to send to $2"
    printf %s "$body" | curl -sS --fail-with-body --connect-timeout 10 --max-time 120 -X "$1" -H "@$header" -H 'Content-Type: application/json' --data-binary @- "$api/$2" >"$answer" ||
        die 69 "$api/$2: $(jq -r '.message // .error // empty' "$answer" 2>/dev/null)"
    # A page of a proxy, or a redirect to one, is no answer of GitLab's.
    jq -e 'type == "object"' "$answer" >/dev/null 2>&1 || die 69 "$api/$2: the answer is not GitLab's"
}

# text: standard input, for GitLab to show. A line that GitLab would take for a command, such as /close, gets a blank in front.
text() {
    [ ! -t 0 ] || die 64 "the text is read from standard input, such as <<'END'"
    text=$(plain | sed 's|^/| /|')
    [ -n "$(printf %s "$text" | tr -d '[:space:]')" ] || die 64 "there is no text on standard input"
    printf '%s\n' "$text"
}

# ask_state METHOD NAME [CURL_ARGUMENT]...: GitLab's answer about a state that it keeps is in "$answer", its status in $status: 000 if there
# was none, or not all of it. States know a job's token by this login only.
ask_state() {
    method=$1
    name=$2
    shift 2
    if [ "$kind" = JOB-TOKEN ]; then
        login="user = \"gitlab-ci-token:$token\""
    else
        login="header = \"PRIVATE-TOKEN: $token\""
    fi
    # shellcheck disable=SC2034 # for the script that calls
    status=$(printf '%s\n' "$login" | curl -sS -K - -X "$method" -o "$answer" -w '%{http_code}' --connect-timeout 10 --max-time 120 \
        --retry 3 --retry-connrefused "$@" "$api/terraform/state/$name") || status=000
}

# merge_request BRANCH: the number of its open merge request; nothing when there is none.
merge_request() {
    get "merge_requests?state=opened&source_branch=$(uri "$1")&per_page=1"
    jq -r '.[0].iid // empty' "$answer"
}

# Text of others, without what a terminal would obey: control characters, those that UTF-8 writes in two bytes too, and what turns the
# direction of text. A `?` takes the place of the latter, since what is around one that is deleted could become another.
plain() {
    LC_ALL=C tr -d '\000-\010\013-\037\177' | LC_ALL=C awk '{ gsub(/\302[\200-\237]|\342\200[\252-\256]|\342\201[\246-\251]/, "?"); print }'
}
