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
