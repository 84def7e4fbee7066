#!/bin/sh
# Installs, upgrades and removes the Graywave agent on a Linux machine: sh install.sh --help
#
# Everything is in functions, and the last line calls them. A download that stops half-way defines
# some of them and runs nothing.

API_URL=@API_URL@
ARTEFACTS_URL=@ARTEFACTS_URL@
AGENTS_URLS=@AGENTS_URLS@
# SHA-256 of each accepted CA certificate (DER), and of the file SHA256SUMS.
CA_SHA256=@CA_SHA256@
SUMS_SHA256=@SUMS_SHA256@

usage() {
    cat <<'USAGE'
Install, upgrade or remove the Graywave agent of this machine.

Usage: install.sh [OPTIONS]

  --token-file FILE      enrolment token in a file of mode 600; - reads one line of standard input
                         [default: ask on the terminal]; an enrolled machine needs none
  --desktop-id ID        desktop id to propose [default: the host name]
  --ca-fingerprint HEX   SHA-256 of the control plane's CA, from a source that you trust; repeat for more
  --api-ca FILE          CA of the API's own HTTPS certificate [default: the CAs of this machine]
  --version VERSION      version to install [default: the newest]
  --method METHOD        package or tarball [default: package where dpkg or rpm manages this machine]
  --root DIR             install into a directory, such as the tree of an image; starts nothing
  --no-start             neither enable nor start the service
  --uninstall            remove the agent; its settings and its data stay
  --purge                with --uninstall: remove settings, identity and results too
  --help                 print this text

Downloads honour HTTPS_PROXY, HTTP_PROXY and NO_PROXY. The agent gets HTTPS_PROXY and NO_PROXY too.
USAGE
}

say() {
    printf 'graywave: %s\n' "$*"
}

fail() {
    printf 'graywave: error: %s\n' "$*" >&2
    exit 1
}

misuse() {
    printf 'graywave: error: %s\nTry: install.sh --help\n' "$*" >&2
    exit 2
}

has() {
    command -v "$1" >/dev/null 2>&1
}

read_options() {
    token_file='' desktop_id='' ca_given='' api_ca='' version='' method=''
    root=${GRAYWAVE_INSTALL_ROOT:-} start=yes action=install purge=no
    while [ $# -gt 0 ]; do
        case $1 in
            --token-file | --desktop-id | --ca-fingerprint | --api-ca | --version | --method | --root)
                [ $# -ge 2 ] || misuse "$1 needs a value"
                set_option "$1" "$2"
                shift
                ;;
            --token | --token=*)
                misuse 'a token is no argument, because every user of this machine can read arguments: use --token-file' ;;
            --no-start) start=no ;;
            --uninstall) action=uninstall ;;
            --purge) purge=yes ;;
            --help | -h)
                usage
                exit 0
                ;;
            *) misuse "unknown option: $1" ;;
        esac
        shift
    done
    check_options
}

set_option() {
    [ -n "$2" ] || misuse "$1 needs a value that is not empty"
    case $1 in
        --token-file) token_file=$2 ;;
        --desktop-id) desktop_id=$2 ;;
        --ca-fingerprint) ca_given="$ca_given $2" ;;
        --api-ca) api_ca=$2 ;;
        --version) version=$2 ;;
        --method) method=$2 ;;
        --root) root=$2 ;;
    esac
}

check_options() {
    case $method in '' | package | tarball) ;; *) misuse "--method is $method; use package or tarball" ;; esac
    case $desktop_id in *[!A-Za-z0-9._-]*) misuse "--desktop-id has characters other than A-Z a-z 0-9 . _ -" ;; esac
    case $version in *[!A-Za-z0-9.+~-]*) misuse "--version has characters other than A-Z a-z 0-9 . + ~ -" ;; esac
    [ "$purge" = no ] || [ "$action" = uninstall ] || misuse '--purge needs --uninstall'
    [ -z "$api_ca" ] || [ -r "$api_ca" ] || misuse "--api-ca: cannot read $api_ca"
    if [ -n "$root" ]; then
        [ -d "$root" ] || misuse "--root: $root is no directory"
        root=$(CDPATH='' cd -- "$root" && pwd) || exit 1
        [ "$root" != / ] || root=''
    fi
    if [ -n "$root" ]; then
        start=no
        [ "$method" != package ] || misuse '--method package and --root exclude each other'
        method=tarball
    elif [ "$(id -u)" != 0 ]; then
        fail 'only root can install the agent: run the script with sudo, or into a directory with --root'
    fi
}

# Paths below the root.
set_paths() {
    etc=$root/etc/graywave
    env_file=$etc/agent.env
    ca_file=$etc/agent-ca.crt
    kept_token=$etc/enrolment-token
    data_dir=$root/var/lib/graywave-agent
    bin_dir=$root/usr/local/bin
    unit=$root/etc/systemd/system/graywave-agent.service
}

detect_machine() {
    [ "$(uname -s)" = Linux ] ||
        fail "this script is for Linux, and this machine runs $(uname -s); docs/install.md has the other ways"
    case $(uname -m) in
        x86_64 | amd64) deb_arch=amd64 rpm_arch=x86_64 ;;
        aarch64 | arm64) deb_arch=arm64 rpm_arch=aarch64 ;;
        *) fail "there is no agent for the processor $(uname -m); the agent needs x86_64 or aarch64" ;;
    esac
    if [ -z "$method" ] || [ "$method" = package ]; then
        # The package manager that manages this machine; the other one may exist as a mere tool.
        if has dpkg-query && dpkg-query -W dpkg >/dev/null 2>&1; then
            method=deb
        elif has rpm && rpm -q rpm >/dev/null 2>&1; then
            method=rpm
        elif [ "$method" = package ]; then
            fail 'neither dpkg nor rpm manages this machine: use --method tarball'
        else
            method=tarball
        fi
    fi
}

# --- Downloads ------------------------------------------------------------------------------------

# Downloads a URL to standard output. The shell writes the file: a curl from a snap may not.
transfer() {
    if has curl; then
        case $1 in https://*) protocols='=https' ;; *) protocols='=http,https' ;; esac
        set -- -fsSL --proto "$protocols" --connect-timeout 15 --max-time 900 --max-filesize 1073741824 -- "$1"
        [ -z "$api_ca" ] || set -- --cacert "$api_ca" "$@"
        curl "$@"
    elif has wget; then
        set -- -q -T 60 -O - -- "$1"
        [ -z "$api_ca" ] || set -- --ca-certificate="$api_ca" "$@"
        wget "$@"
    else
        fail 'neither curl nor wget is installed: install one of them'
    fi
}

fetch() {
    attempt=1
    until transfer "$1" >"$2"; do
        if [ "$attempt" -ge 3 ]; then
            fail "downloading $1 failed $attempt times; check the address, the firewall, HTTPS_PROXY and NO_PROXY" \
                '(sudo removes both: sudo -E keeps them), and --api-ca for a private CA'
        fi
        attempt=$((attempt + 1))
        sleep 1
    done
}

# Prints the SHA-256 of standard input in lower-case hex.
sha256() {
    if has sha256sum; then
        sha256sum | cut -d ' ' -f 1
    elif has openssl; then
        openssl dgst -sha256 -r | cut -d ' ' -f 1
    else
        fail 'neither sha256sum nor openssl is installed: install coreutils'
    fi
}

decode_base64() {
    if has base64; then base64 -d; else openssl base64 -d -A; fi
}

# Every certificate of the downloaded CA file must have an accepted fingerprint.
check_ca() {
    accepted=$CA_SHA256
    [ -z "$ca_given" ] || accepted=$(printf '%s' "$ca_given" | tr -d : | tr 'A-F' 'a-f')
    body='' inside=no count=0 carriage_return=$(printf '\r')
    while IFS= read -r line || [ -n "$line" ]; do
        line=${line%"$carriage_return"}
        case $line in
            '-----BEGIN CERTIFICATE-----') body='' inside=yes ;;
            '-----END CERTIFICATE-----')
                fingerprint=$(printf '%s' "$body" | decode_base64 | sha256)
                case " $accepted " in
                    *" $fingerprint "*) ;;
                    *) fail "the CA of $API_URL has the SHA-256 fingerprint $fingerprint, and $accepted is expected;" \
                        'the CA has changed, or another server answers: download the script again' ;;
                esac
                inside=no count=$((count + 1))
                ;;
            *) [ "$inside" = no ] || body=$body$line ;;
        esac
    done <"$1"
    [ "$count" -gt 0 ] || fail "$API_URL/ca.crt has no certificate"
}

# Sets `artefact` to the newest listed file of a pattern; empty without one.
find_artefact() {
    artefact=''
    # Packages write a pre-release after a tilde.
    spelling=$(printf '%s' "$version" | sed 's/-/~/')
    while read -r _ name; do
        name=${name#\*}
        # shellcheck disable=SC2254 # The argument is a pattern.
        case $name in
            $1) ;;
            *) continue ;;
        esac
        case $name in *[_-]"$version"[_-]* | *[_-]"$spelling"[_-]* | "$name$version") artefact="$artefact$name
" ;; esac
    done <"$work/SHA256SUMS"
    # A pre-release (~ in packages, - in tarballs) is older than its release: -rc precedes -x86_64,
    # and -zz64 stands for -aarch64.
    artefact=$(printf '%s' "$artefact" | sed 's/-aarch64/-zz64/' | sort -V 2>/dev/null | tail -n 1 |
        sed 's/-zz64/-aarch64/')
}

choose_artefact() {
    case $method in
        deb) find_artefact "graywave-agent_*_$deb_arch.deb" ;;
        rpm) find_artefact "graywave-agent-*.$rpm_arch.rpm" ;;
    esac
    if [ "$method" = tarball ] || [ -z "$artefact" ]; then
        find_artefact "graywave-agent-*$rpm_arch*.tar.gz"
        [ -n "$artefact" ] || find_artefact "graywave-agent-*$deb_arch*.tar.gz"
        [ "$method" = tarball ] || [ -z "$artefact" ] ||
            say "there is no .$method package for this machine; installing the tarball"
        [ -z "$artefact" ] || method=tarball
    fi
    [ -n "$artefact" ] ||
        fail "$ARTEFACTS_URL has no agent${version:+ $version} for Linux on $rpm_arch; it lists:" \
            "$(while read -r _ name; do printf '%s ' "$name"; done <"$work/SHA256SUMS")"
}

download() {
    fetch "$API_URL/ca.crt" "$work/ca.crt"
    check_ca "$work/ca.crt"
    fetch "$ARTEFACTS_URL/SHA256SUMS" "$work/SHA256SUMS"
    sums=$(sha256 <"$work/SHA256SUMS")
    [ "$sums" = "$SUMS_SHA256" ] ||
        fail "SHA256SUMS of $ARTEFACTS_URL has the SHA-256 $sums, and $SUMS_SHA256 is expected;" \
            'a newer version may have been put there: download the script again'
    choose_artefact
    say "downloading $artefact"
    fetch "$ARTEFACTS_URL/$artefact" "$work/$artefact"
    expected=$(while read -r hash name; do [ "${name#\*}" != "$artefact" ] || printf '%s' "$hash"; done <"$work/SHA256SUMS")
    actual=$(sha256 <"$work/$artefact")
    [ "$actual" = "$expected" ] ||
        fail "$artefact has the SHA-256 $actual, and $expected is expected; nothing was installed"
}

# --- Token ----------------------------------------------------------------------------------------

needs_token() {
    [ ! -s "$data_dir/identity/certificate.pem" ] || return 1
    # A certificate that an administrator issued by hand.
    ! has_setting GRAYWAVE_AGENT_CERT_FILE
}

# Sets `token`; empty if the machine needs none.
read_token() {
    token=''
    if [ -z "$token_file" ] && { ! needs_token || [ -s "$kept_token" ]; }; then
        return
    elif [ "$token_file" = - ]; then
        IFS= read -r token || [ -n "$token" ] || fail '--token-file -: standard input is empty'
    elif [ -n "$token_file" ]; then
        check_token_file
        token=$(cat -- "$token_file") || exit 1
    else
        ask_token
    fi
    token=$(printf '%s' "$token" | tr -d ' \t\r\n')
    case $token in
        '') fail 'the enrolment token is empty' ;;
        *[!A-Za-z0-9._-]*) fail 'the enrolment token has characters other than A-Z a-z 0-9 . _ -: copy the whole token' ;;
    esac
    [ ${#token} -le 512 ] || fail "the enrolment token has ${#token} characters, and at most 512 are possible"
}

check_token_file() {
    [ -f "$token_file" ] || fail "--token-file: $token_file does not exist, or is no file"
    [ -r "$token_file" ] || fail "--token-file: cannot read $token_file"
    case $(ls -ldL -- "$token_file") in
        ????------*) ;;
        *) fail "--token-file: other users can read $token_file; run: chmod 600 $token_file" ;;
    esac
}

ask_token() {
    # Standard input may be the script itself.
    if ! (: </dev/tty >/dev/tty) 2>/dev/null; then
        fail 'no enrolment token: create one with "graywave desktops enrol", and name its file with --token-file'
    fi
    printf 'Enrolment token: ' >/dev/tty
    stty -echo </dev/tty
    IFS= read -r token </dev/tty
    stty echo </dev/tty
    printf '\n' >/dev/tty
}

# --- Settings -------------------------------------------------------------------------------------

# Replaces a file by standard input if that differs, and then sets `changed`.
put() {
    cat >"$work/new" || fail "cannot write $work/new"
    if [ -f "$1" ] && [ "$(sha256 <"$work/new")" = "$(sha256 <"$1")" ]; then
        return
    fi
    changed=yes
    # A running program keeps its file: the new one only takes its name.
    cp "$work/new" "$1.new" || fail "cannot write $1.new"
    chmod "$2" "$1.new" || fail "cannot write $1.new"
    mv -f "$1.new" "$1" || fail "cannot write $1"
}

# Creates directories that all users can read, as others have files there too.
make_directories() {
    (umask 022 && mkdir -p "$@") || fail "cannot create $*"
}

# Prints the settings of this script.
wanted_settings() {
    printf 'GRAYWAVE_AGENT_WORKER=%s\n' "$AGENTS_URLS"
    printf 'GRAYWAVE_AGENT_CA_FILE=/etc/graywave/agent-ca.crt\n'
    has_setting GRAYWAVE_AGENT_CERT_FILE ||
        printf 'GRAYWAVE_AGENT_ENROLMENT_TOKEN_FILE=/etc/graywave/enrolment-token\n'
    [ -z "$desktop_id" ] || printf 'GRAYWAVE_AGENT_DESKTOP_ID=%s\n' "$desktop_id"
    proxy_setting HTTPS_PROXY "${HTTPS_PROXY:-${https_proxy:-${ALL_PROXY:-${all_proxy:-}}}}"
    proxy_setting NO_PROXY "${NO_PROXY:-${no_proxy:-}}"
}

has_setting() {
    [ -r "$env_file" ] && grep -qi "^$1=." "$env_file"
}

# A proxy of the administrator stays.
proxy_setting() {
    [ -n "$2" ] || return 0
    ! has_setting "$1" || return 0
    case $2 in *[!A-Za-z0-9._~:/@%,*+-]*) return 0 ;; esac
    # The agent refuses other schemes.
    case $1:$2 in HTTPS_PROXY:http://* | NO_PROXY:*) printf '%s=%s\n' "$1" "$2" ;; esac
}

# Prints agent.env with the wanted settings in their places. All other lines stay.
settings() {
    wanted_settings >"$work/wanted"
    if [ -r "$env_file" ]; then
        while IFS= read -r line || [ -n "$line" ]; do
            case $line in
                GRAYWAVE_AGENT_*=*) grep "^${line%%=*}=" "$work/wanted" || printf '%s\n' "$line" ;;
                *) printf '%s\n' "$line" ;;
            esac
        done <"$env_file"
    fi
    while IFS= read -r line; do
        [ -r "$env_file" ] && grep -q "^${line%%=*}=" "$env_file" || printf '%s\n' "$line"
    done <"$work/wanted"
}

configure() {
    make_directories "$etc"
    put "$ca_file" 644 <"$work/ca.crt"
    settings >"$work/settings"
    put "$env_file" 600 <"$work/settings"
    if [ -n "$token" ]; then
        printf '%s\n' "$token" >"$work/token"
        put "$kept_token" 600 <"$work/token"
    fi
}

# --- Programs -------------------------------------------------------------------------------------

install_package() {
    before=$(package_version)
    case $method in
        deb)
            if has apt-get; then
                # A first boot often holds the lock.
                DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 \
                    -o Dpkg::Options::=--force-confold --allow-downgrades install "$work/$artefact"
            else
                DEBIAN_FRONTEND=noninteractive dpkg --force-confold -i "$work/$artefact"
            fi
            ;;
        rpm) rpm -U --replacepkgs --oldpackage "$work/$artefact" ;;
    esac </dev/null || fail "installing $artefact failed; the lines above have the reason"
    [ "$(package_version)" = "$before" ] || changed=yes
}

package_version() {
    case $method in
        deb) dpkg-query -W -f '${Version}' graywave-agent 2>/dev/null ;;
        rpm) rpm -q graywave-agent 2>/dev/null ;;
    esac
}

install_tarball() {
    mkdir "$work/tree" || exit 1
    tar -xzf "$work/$artefact" -C "$work/tree" || fail "cannot unpack $artefact"
    make_directories "$bin_dir" "${unit%/*}"
    for program in graywave-agent graywave-runner; do
        from=$(find "$work/tree" -type f -name "$program" | head -n 1)
        if [ -n "$from" ]; then
            put "$bin_dir/$program" 755 <"$from"
        elif [ "$program" = graywave-agent ]; then
            fail "$artefact has no $program"
        fi
    done
    from=$(find "$work/tree" -type f -name graywave-agent.service | head -n 1)
    [ -n "$from" ] || fail "$artefact has no graywave-agent.service"
    sed 's|/usr/bin/graywave-|/usr/local/bin/graywave-|g' "$from" >"$work/unit"
    put "$unit" 644 <"$work/unit"
    if [ -z "$root" ]; then
        "$bin_dir/graywave-agent" --version >/dev/null ||
            fail 'the agent does not run on this machine: it needs a system with a current glibc, and musl is not supported'
    fi
}

has_systemd() {
    [ -z "$root" ] && [ -d /run/systemd/system ] && has systemctl
}

agent() {
    if [ -x /usr/bin/graywave-agent ]; then /usr/bin/graywave-agent "$@"; else "$bin_dir/graywave-agent" "$@"; fi
}

start_agent() {
    if [ "$start" = no ]; then
        say 'the service was not started'
        return
    elif ! has_systemd; then
        say 'this machine does not run systemd: start graywave-agent with the variables of /etc/graywave/agent.env'
        return
    fi
    systemctl daemon-reload
    systemctl -q enable graywave-agent.service || fail 'systemctl enable failed'
    if ! systemctl -q is-active graywave-agent.service; then
        systemctl start graywave-agent.service || fail 'the service does not start: journalctl -u graywave-agent'
    elif [ "$settings_changed" = yes ]; then
        # Scripts go on under their runners.
        systemctl restart graywave-agent.service || fail 'the service does not start: journalctl -u graywave-agent'
    elif [ "$programs_changed" = yes ] && [ "$method" = tarball ]; then
        # A busy agent restarts later. A package does the same by itself.
        agent restart --data-dir "$data_dir" || systemctl restart graywave-agent.service
    fi
    wait_attached
}

wait_attached() {
    waited=0
    until agent --data-dir "$data_dir" healthcheck >/dev/null 2>&1; do
        if [ "$waited" -ge 60 ]; then
            has journalctl && journalctl -u graywave-agent --no-pager -n 10 >&2
            fail "the agent is installed, and has not attached to $AGENTS_URLS within 60 s;" \
                'the lines above have the reason, and it goes on trying'
        fi
        waited=$((waited + 1))
        sleep 1
    done
    # Its certificate replaces the token.
    rm -f "$kept_token"
    say 'the agent is attached'
}

install_agent() {
    detect_machine
    read_token
    download
    if [ "$method" = tarball ]; then
        refuse_second_copy
        install_tarball
        [ -n "$root" ] || { mkdir -p "$data_dir" && chmod 700 "$data_dir"; }
    else
        install_package
    fi
    programs_changed=$changed changed=no
    configure
    settings_changed=$changed
    if [ -z "$root" ] && has restorecon; then
        restorecon -R "$etc" "$bin_dir" "$unit" 2>/dev/null || :
    fi
    case $programs_changed$settings_changed in
        nono) say "$artefact was installed already" ;;
        *) say "installed $artefact" ;;
    esac
    start_agent
}

refuse_second_copy() {
    [ -z "$root" ] || return 0
    if [ "$(installed_package)" != none ]; then
        fail 'the agent is installed as a package: remove it first, or leave out --method tarball'
    fi
}

installed_package() {
    if has dpkg-query && dpkg-query -W -f '${Status}' graywave-agent 2>/dev/null | grep -q 'ok installed'; then
        echo deb
    elif has rpm && rpm -q graywave-agent >/dev/null 2>&1; then
        echo rpm
    else
        echo none
    fi
}

# --- Removal --------------------------------------------------------------------------------------

uninstall_agent() {
    if has_systemd; then
        # Running scripts go on under their runners.
        systemctl -q disable --now graywave-agent.service 2>/dev/null || :
    fi
    package=none
    [ -n "$root" ] || package=$(installed_package)
    case $package in
        deb) DEBIAN_FRONTEND=noninteractive dpkg -r graywave-agent ;;
        rpm) rpm -e graywave-agent ;;
        none) rm -f "$bin_dir/graywave-agent" "$bin_dir/graywave-runner" "$unit" ;;
    esac </dev/null || fail 'removing the agent failed; the lines above have the reason'
    ! has_systemd || systemctl daemon-reload
    if [ "$purge" = yes ]; then
        # Also settings of a package that was removed earlier.
        if [ -z "$root" ] && has dpkg-query && dpkg-query -W graywave-agent >/dev/null 2>&1; then
            dpkg --purge graywave-agent </dev/null || :
        fi
        # A file system that a script mounted there is not deleted. The rm of BusyBox has no such option.
        if rm --help 2>&1 | grep -q one-file-system; then
            rm -rf --one-file-system "$data_dir"
        else
            rm -rf "$data_dir"
        fi
        rm -f "$env_file" "$ca_file" "$kept_token"
        rmdir "$etc" 2>/dev/null || :
        say 'the agent, its settings, its identity and its results are removed;' \
            'retire the desktop: graywave desktops retire'
    else
        say "the agent is removed; $env_file and $data_dir stay (--purge removes them)"
    fi
}

# shellcheck disable=SC2317 # The trap calls it.
clean_up() {
    [ -z "${work:-}" ] || rm -rf "$work"
    # A prompt that was interrupted.
    [ ! -t 1 ] || stty echo 2>/dev/null || :
}

main() {
    set -u
    umask 077
    changed=no
    read_options "$@"
    set_paths
    if [ "$action" = uninstall ]; then
        uninstall_agent
        return
    fi
    work=$(mktemp -d) || fail 'cannot create a temporary directory: set TMPDIR'
    trap clean_up EXIT
    trap 'exit 130' HUP INT TERM
    install_agent
}

{ main "$@"; exit; }
