# shellcheck shell=sh
# What both programs begin with. A program is one function, called by its last line with a word that only the whole text holds:
# a text that was cut on the way defines nothing, or calls nothing.

umask 077
cd / || exit 70
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HOME=/root
DEBIAN_FRONTEND=noninteractive
NEEDRESTART_MODE=l
export LC_ALL PATH HOME DEBIAN_FRONTEND NEEDRESTART_MODE
# shellcheck disable=SC2034 # what follows uses it
STATE=/var/lib/factoryup
