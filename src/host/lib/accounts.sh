# shellcheck shell=sh
# Users as passwd(5) has them, looked up once, so that a path in a home folder can be used before anything is known of it.

# look_up USER...
look_up() {
    accounts=$(getent passwd "$@") || :
}

# shellcheck disable=SC2034 # the caller uses what account sets
# account USER: sets uid, gid and home; for a user who is not there, a number that nobody has and the home it would get.
account() {
    uid=none
    gid=none
    home=/home/$1
    case "
$accounts" in
        *"
$1:"*)
            fields="
$accounts"
            fields=${fields#*"
$1:"*:}
            uid=${fields%%:*}
            fields=${fields#*:}
            gid=${fields%%:*}
            fields=${fields#*:*:}
            home=${fields%%:*}
            ;;
    esac
}

# ranges_of USER UID: the subordinate ids of USER, subuid(5), as words FROM-TO.
ranges_of() {
    [ ! -e /etc/subuid ] || awk -F: -v name="$1" -v uid="$2" \
        '($1 == name || $1 == uid) && $3 > 0 { printf "%.0f-%.0f\n", $2, $2 + $3 - 1 }' /etc/subuid
}

# What awk knows of words FROM-TO in `ranges`.
WITHIN='
    BEGIN { count = split(ranges, range, " ") }
    function within(from, to,   i, ends) {
        for (i = 1; i <= count; i++) {
            split(range[i], ends, "-")
            if (from + 0 <= ends[2] + 0 && to + 0 >= ends[1] + 0) return 1
        }
        return 0
    }'

# processes FROM-TO...: "PID UID STATE" of each process that has one of these user numbers: as real, effective, saved or filesystem's.
processes() {
    grep -EHs '^(State|Uid):' /proc/[0-9]*/status | awk -v ranges="$*" "$WITHIN"'
        { split($1, path, "/") }
        $1 ~ /:State:$/ { state = $2; next }
        { for (i = 2; i <= 5; i++) if (within($i, $i)) print path[3], $i, state }'
}

# mapped FROM-TO...: PID of each process whose user namespace holds one of these numbers, user_namespaces(7): it could take it at
# any time. The namespace of the host itself, which holds all, is none of them.
mapped() {
    grep -Hs . /proc/[0-9]*/uid_map | awk -v ranges="$*" "$WITHIN"'
        { split($1, path, "/") }
        $4 != 4294967295 && within($3, $3 + $4 - 1) { print path[3] }'
}

# end_holders FROM-TO...: ends what runs under these numbers or could, for some 10 seconds. What has ended and was not waited for
# yet runs no more.
end_holders() {
    [ $# -gt 0 ] || return 0
    tries=100
    while holders=$(processes "$@" | awk '$3 != "Z" { print $1 }'; mapped "$@") && [ -n "$holders" ]; do
        [ "$tries" -gt 0 ] || return 1
        tries=$((tries - 1))
        # shellcheck disable=SC2086 # one word for each
        kill -s KILL $holders 2>/dev/null || :
        sleep 0.1
    done
}
