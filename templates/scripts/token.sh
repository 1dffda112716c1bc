# shellcheck shell=sh disable=SC2154
# How a GitLab token renews itself: scripts/renew sources this for the tokens of CI's jobs, factory-renew for those of the agent. They set
# $rest, the address of GitLab's API; $work, a directory that no other user enters, with the token as a header in $work/token; $remedy, what
# to do about a token that is lost, in words; and `refuse TEXT`, which ends the renewal of this token.

# own METHOD PATH [CURL_ARGUMENT]...: GitLab's answer to a token about itself, in $work/own, and its status: 000 if there was none.
# `-q`, which must be first, is for ~/.curlrc: what stands there could show the token, or answer for GitLab.
own() {
    method=$1
    path=$2
    shift 2
    # The answer goes over blanks, in place: neither -o nor > would keep the room that it has.
    printf '%16384s' '' 1<>"$work/own"
    said=$(curl -q -sS -X "$method" -H "@$work/token" -w '%{stderr}%{http_code}' --connect-timeout 10 --max-time 180 "$@" \
        "$rest/personal_access_tokens/self$path" 2>&1 1<>"$work/own") || {
        printf '%s\n' "$said" >&2
        said=000
    }
    status=${said##*[!0-9]}
    case $status in [0-9][0-9][0-9]) ;; *) status=000 ;; esac
}

# An empty answer is blanks, for which `jq -e` without -s succeeds.

# facts: asks GitLab for the token's facts. An answer without them, such as the page of a proxy, is refused here: it says nothing of the token.
facts() {
    own GET ''
    [ "$status" != 200 ] || jq -es '.[0].id | numbers' "$work/own" >/dev/null 2>&1 || refuse "GitLab's answer is about no token"
}

# For jq: the number of a date's day.
day='def day: .[0:10] + "T00:00:00Z" | fromdate / 86400 | floor;'

# left LAST DAYS <FACTS: `due`, or how many days are left. Due is what has LAST days left or fewer, or half its life where that is shorter; and
# what lives longer than DAYS from now. `factoryup apply` goes by the same rule.
left() {
    jq -r --argjson last "$1" --argjson days "$2" "$day"'
        if .expires_at == null then "due" else
            ((.expires_at | day) - (now | todate | day)) as $left |
            ([$days, if .created_at then (.expires_at | day) - (.created_at | day) else $days end] | min) as $life |
            if $left <= ([$last, ($life / 2 | floor)] | min) or $left > $days then "due" else "\($left) days left" end
        end'
}

# rotate DAYS: gives the token a new text, for so many days or as many as GitLab allows; GitLab's answer with it is in $work/own. The old text
# ends with it. It is asked once: to renew an old text looks like theft to GitLab, which then ends the new one.
rotate() {
    own POST /rotate --data-urlencode "expires_at=$(jq -nr --argjson days "$1" 'now + $days * 86400 | strftime("%Y-%m-%d")')"
    if [ "$status" = 400 ]; then
        # The day before the one that GitLab names, but not today.
        ends=$(jq -r '[.. | strings | capture("must be before (?<day>[0-9]{4}-[0-9]{2}-[0-9]{2})")][0].day |
            [(. + "T00:00:00Z" | fromdate - 86400), now + 86400] | max | strftime("%Y-%m-%d")' "$work/own" 2>/dev/null) || ends=
        [ -z "$ends" ] || own POST /rotate --data-urlencode "expires_at=$ends"
    fi
    case $status in
    200 | 201) ;;
    4??) refuse "GitLab answers $status, and does not renew the token" ;;
    *) refuse "GitLab answers $status, and may have ended the token; $remedy" ;;
    esac
    jq -es '.[0] | (.id | type) == "number" and (.token | type) == "string" and (.expires_at | type) == "string"' "$work/own" >/dev/null 2>&1 ||
        refuse "GitLab's answer has no token, and may have ended the old one; $remedy"
}
