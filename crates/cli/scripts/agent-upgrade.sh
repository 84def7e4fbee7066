#!/bin/sh
# Upgrades the Graywave agent of this machine with its package manager: apt, dnf, yum or zypper.
#
# Parameters: version, package, allow_downgrade, override_hold, rollback, lock_seconds.
#
# The first run starts an installer outside of the agent's unit and waits for its result. So a
# restart of the agent, and the end of this script, leave the installer alone. A second run while
# an installer works waits for that one. docs/upgrade.md lists the exit codes.
set -u

version=${GRAYWAVE_PARAM_VERSION:?the parameter version is missing}
package=${GRAYWAVE_PARAM_PACKAGE:-graywave-agent}
allow_downgrade=${GRAYWAVE_PARAM_ALLOW_DOWNGRADE:-false}
override_hold=${GRAYWAVE_PARAM_OVERRIDE_HOLD:-false}
rollback=${GRAYWAVE_PARAM_ROLLBACK:-true}
lock_seconds=${GRAYWAVE_PARAM_LOCK_SECONDS:-900}

# The agent passes none of its own environment to scripts, so only tests set this prefix.
root=${GRAYWAVE_UPGRADE_ROOT:-}
state=$root/run/graywave-agent-upgrade
unit=graywave-agent.service
installer_unit=graywave-agent-upgrade.service
# A service that is active for this time after a start counts as working.
settle_seconds=${GRAYWAVE_UPGRADE_SETTLE:-10}

bad_parameter=64 downgrade=65 not_available=66 held=67 failed=70 did_not_start=71 locked=75
not_root=77 no_manager=78

say() { printf '%s\n' "$*"; }
fail() {
    code=$1
    shift
    say "error: $*"
    exit "$code"
}

# Versions of packages write a pre-release after a tilde, so that it precedes its release.
upstream=$(printf '%s' "$version" | sed 's/-/~/')

find_manager() {
    for manager in apt-get dnf yum zypper; do
        command -v "$manager" >/dev/null 2>&1 && return
    done
    fail $no_manager "found none of apt-get, dnf, yum and zypper: install the agent in another way"
}

has_systemd() { [ -d "$root/run/systemd/system" ] && command -v systemctl >/dev/null 2>&1; }

# Prints the installed version as the package manager spells it; nothing without the package.
installed() {
    if [ "$manager" = apt-get ]; then
        # A removed package keeps its configuration and has a version, too.
        dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$package" 2>/dev/null |
            sed -nE 's/^(installed|unpacked|half-configured|half-installed|triggers-[a-z]*) //p'
    else
        rpm -q --queryformat '%{VERSION}-%{RELEASE}\n' "$package" 2>/dev/null | grep -v ' '
    fi
}

# Prints the upstream part of a package's version: without the epoch and the revision.
upstream_of() { printf '%s\n' "$1" | sed 's/^[0-9]*://; s/-[^-]*$//'; }

# Reports whether dpkg left the package in the middle of an installation.
is_half_installed() {
    [ "$manager" = apt-get ] || return 1
    word=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)
    [ -n "$word" ] && [ "$word" != installed ]
}

# Succeeds if version $1 precedes version $2.
precedes() {
    [ "$1" = "$2" ] && return 1
    if [ "$manager" = apt-get ]; then
        dpkg --compare-versions "$1" lt "$2"
    else
        # The sort order of versions has the tilde of a pre-release first, as rpm has.
        [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
    fi
}

main_pid() { systemctl show -p MainPID "$unit" 2>/dev/null | sed -n 's/^MainPID=\([1-9][0-9]*\)$/\1/p'; }

# Reports whether the service runs a program file that is still the installed one.
runs_installed_program() {
    has_systemd || return 0
    pid=$(main_pid)
    [ -n "$pid" ] || return 1
    case $(readlink "$root/proc/$pid/exe" 2>/dev/null) in
    *' (deleted)') return 1 ;;
    esac
}

# ---- installer: runs detached, writes $state/log and, as its last act, $state/result ----------

# Prints the seconds since the boot, which a corrected clock does not change.
uptime_seconds() {
    read -r up _ </proc/uptime
    printf '%s\n' "${up%%.*}"
}

# Runs a package manager again while another one has its lock: old versions do not wait.
with_lock() {
    first_try=$(uptime_seconds)
    while :; do
        "$@" >"$state/output" 2>&1 </dev/null
        code=$?
        cat "$state/output"
        is_locked "$code" || return "$code"
        # New versions of apt wait by themselves, so count seconds and not tries.
        [ $(($(uptime_seconds) - first_try)) -lt "$lock_seconds" ] || return $locked
        say "another package manager has the lock; trying again in 5 seconds"
        sleep 5
    done
}

is_locked() {
    case $manager in
    apt-get)
        [ "$1" -ne 0 ] && grep -qE 'Could not get lock|Unable to (acquire|lock)|lock was locked by' "$state/output"
        ;;
    zypper) [ "$1" -eq 7 ] ;;
    *) [ "$1" -ne 0 ] && grep -qE 'another copy is running|lock is held|Failed to obtain.*lock' "$state/output" ;;
    esac
}

# Changed configuration files stay, and nothing asks a question.
apt_get() {
    with_lock apt-get -q -y -o "DPkg::Lock::Timeout=$lock_seconds" \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

# Prints the newest full version of the package in the repositories with this upstream version.
available() {
    case $manager in
    apt-get) apt-cache madison "$package" 2>/dev/null | awk -F '|' '{ gsub(/ /, "", $2); print $2 }' ;;
    dnf | yum)
        "$manager" -q --showduplicates list "$package" 2>/dev/null |
            awk -v name="$package" 'index($1, name ".") == 1 { print $2 }' | sort -rV
        ;;
    zypper)
        zypper --non-interactive search -s --match-exact "$package" 2>/dev/null |
            awk -F '|' '{ gsub(/ /, "", $4); print $4 }' | sort -rV
        ;;
    esac | while read -r full; do
        if [ "$(upstream_of "$full")" = "$upstream" ]; then
            say "$full"
            break
        fi
    done
}

# Installs exactly this full version of the package.
install_version() {
    is_down=false
    [ -n "$(installed)" ] && precedes "$1" "$(installed)" && is_down=true
    case $manager in
    apt-get)
        set -- "$package=$1"
        [ "$allow_downgrade" = true ] && set -- --allow-downgrades "$@"
        [ "$override_hold" = true ] && set -- --allow-change-held-packages "$@"
        apt_get install --no-install-recommends "$@"
        ;;
    dnf | yum)
        # `install` of an older version succeeds and does nothing.
        verb=install
        [ "$is_down" = true ] && verb=downgrade
        with_lock "$manager" -y "$verb" "$package-$1"
        ;;
    zypper)
        set -- "$package=$1"
        [ "$is_down" = true ] && set -- --oldpackage "$@"
        with_lock zypper --non-interactive install "$@"
        code=$?
        # The installation succeeded, and a restart of the machine or of zypper is suggested.
        case $code in 102 | 103) return 0 ;; *) return "$code" ;; esac
        ;;
    esac
}

# Starts the service on the installed program. A package may leave the service stopped, disabled by
# policy, or on the old program: it does not restart an agent that runs a script, such as this one.
start_service() {
    has_systemd || {
        say "this machine does not run systemd: the package's own scripts restart the agent"
        return 0
    }
    systemctl daemon-reload
    systemctl cat "$unit" >/dev/null 2>&1 || {
        say "error: the package has no service $unit"
        return 1
    }
    if [ "$(main_pid)" = "$pid_before" ] || ! runs_installed_program; then
        systemctl reset-failed "$unit" 2>/dev/null
        say "restarting $unit; running scripts go on"
        systemctl restart "$unit" || {
            say "error: $unit does not start:"
            systemctl --no-pager -n 20 status "$unit"
            return 1
        }
    fi
    pid=$(main_pid)
    sleep "$settle_seconds"
    if [ -z "$pid" ] || [ "$(main_pid)" != "$pid" ]; then
        say "error: $unit started and ended again:"
        systemctl --no-pager -n 20 status "$unit"
        return 1
    fi
}

return_to() {
    if [ "$rollback" != true ] || [ -z "$1" ]; then
        return
    fi
    say "returning to $1"
    allow_downgrade=true
    pid_before=
    if install_version "$1" && start_service; then
        say "the agent works again with $1"
    else
        say "error: cannot return to $1"
    fi
}

install() {
    export DEBIAN_FRONTEND=noninteractive APT_LISTCHANGES_FRONTEND=none NEEDRESTART_SUSPEND=1 UCF_FORCE_CONFFOLD=1
    before=$(installed)
    pid_before=$(main_pid)
    if is_half_installed; then
        say "an earlier installation was interrupted; completing it"
        with_lock dpkg --configure -a || say "dpkg cannot complete it; going on"
    fi
    case $manager in
    apt-get) apt_get update ;;
    dnf | yum) with_lock "$manager" -y makecache ;;
    zypper) with_lock zypper --non-interactive refresh ;;
    esac
    code=$?
    [ $code -eq $locked ] && {
        say "error: another package manager kept its lock for $lock_seconds seconds"
        return $locked
    }
    # One broken repository of others must not keep the agent from its own.
    [ $code -eq 0 ] || say "some repositories cannot be read; looking at the others"
    if [ "$manager" = apt-get ] && [ "$override_hold" != true ] && apt-mark showhold | grep -qx "$package"; then
        say "error: $package is on hold. Run apt-mark unhold $package, or pass --override-hold"
        return $held
    fi
    full=$(available)
    [ -n "$full" ] || {
        say "error: no repository of this machine has $package $version"
        return $not_available
    }
    say "installing $package $full; before: ${before:-none}"
    install_version "$full"
    code=$?
    now=$(installed)
    if [ $code -ne 0 ] || is_half_installed || [ "$(upstream_of "${now:-none}")" != "$upstream" ]; then
        say "error: $manager ended with $code, and $package is ${now:-not installed}"
        [ "$now" != "$before" ] && return_to "$before"
        [ $code -eq $locked ] && return $locked
        return $failed
    fi
    start_service && return 0
    return_to "$before"
    return $did_not_start
}

if [ "${1:-}" = install ]; then
    find_manager
    # A result in mid-write would be read as another number.
    install >"$state/log" 2>&1 </dev/null
    echo $? >"$state/result.new"
    mv "$state/result.new" "$state/result"
    exit 0
fi

# ---- the script of the rollout ------------------------------------------------------------------

printf '%s' "$version" | grep -qxE '[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?' ||
    fail $bad_parameter "version $version is not MAJOR.MINOR.PATCH"
printf '%s' "$package" | grep -qxE '[a-z0-9][a-z0-9+.-]*' || fail $bad_parameter "package $package is no name"
printf '%s' "$lock_seconds" | grep -qxE '[0-9]+' || fail $bad_parameter "lock_seconds $lock_seconds is no number"
[ "$(id -u)" -eq 0 ] || fail $not_root "only root installs packages, and this script runs as $(id -un)"
find_manager

is_alive() {
    if has_systemd; then
        case $(systemctl is-active "$installer_unit" 2>/dev/null) in active | activating) return 0 ;; esac
        return 1
    fi
    pid=$(cat "$state/pid" 2>/dev/null) && kill -0 "$pid" 2>/dev/null
}

# An installer with a result is about to end.
is_installing() { [ ! -e "$state/result" ] && is_alive; }

# Waits for the end of an installer with a result: its unit's name is in use until then.
await_end() {
    tries=10
    while [ "$tries" -gt 0 ] && is_alive; do
        sleep 1
        tries=$((tries - 1))
    done
}

if ! is_installing; then
    now=$(installed)
    if [ -n "$now" ]; then
        if [ "$(upstream_of "$now")" = "$upstream" ] && ! is_half_installed && runs_installed_program; then
            say "$package $now is installed already"
            exit 0
        fi
        if [ "$allow_downgrade" != true ] && precedes "$upstream" "$(upstream_of "$now")"; then
            fail $downgrade "$now is newer than $version: pass --allow-downgrade"
        fi
    fi
    await_end
    umask 077
    mkdir -p "$state" || fail $failed "cannot create $state"
    rm -f "$state/result" "$state/log" "$state/pid"
    printf '%s\n' "$version" >"$state/version"
    cp "$0" "$state/upgrade.sh" || fail $failed "cannot write $state/upgrade.sh"
    export GRAYWAVE_PARAM_VERSION="$version" GRAYWAVE_PARAM_PACKAGE="$package"
    if has_systemd; then
        # A unit of its own is outside of the agent's cgroup and of its sandbox.
        systemctl reset-failed "$installer_unit" 2>/dev/null
        systemd-run --quiet --unit="$installer_unit" --description="Upgrade of the Graywave agent" \
            --setenv=GRAYWAVE_PARAM_VERSION="$version" --setenv=GRAYWAVE_PARAM_PACKAGE="$package" \
            --setenv=GRAYWAVE_PARAM_ALLOW_DOWNGRADE="$allow_downgrade" \
            --setenv=GRAYWAVE_PARAM_OVERRIDE_HOLD="$override_hold" \
            --setenv=GRAYWAVE_PARAM_ROLLBACK="$rollback" --setenv=GRAYWAVE_PARAM_LOCK_SECONDS="$lock_seconds" \
            --setenv=PATH="$PATH" /bin/sh "$state/upgrade.sh" install ||
            fail $failed "systemd cannot start the installer"
    else
        # Without the variable, the runner does not count the installer among the script's processes.
        setsid env -u GRAYWAVE_EXECUTION /bin/sh "$state/upgrade.sh" install >/dev/null 2>&1 </dev/null &
        echo $! >"$state/pid"
    fi
elif [ "$(cat "$state/version" 2>/dev/null)" != "$version" ]; then
    fail $locked "an upgrade to $(cat "$state/version") is running: try again when it has ended"
else
    say "an upgrade to $version is running; waiting for it"
fi

while [ ! -e "$state/result" ]; do
    # The result is written before the installer ends, so look again after its end.
    is_installing || {
        [ -e "$state/result" ] && break
        cat "$state/log" 2>/dev/null
        fail $failed "the installer ended without a result"
    }
    sleep 1
done
cat "$state/log" 2>/dev/null
exit "$(cat "$state/result")"
