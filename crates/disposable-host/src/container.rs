//! One running host.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use sha2::{Digest, Sha256};

use crate::cleanup::{Keeper, state_dir};
use crate::command::{command, run, tail};
use crate::delay_proxy::{self, DelayProxy};
use crate::error::{Error, Result};
use crate::image::{Image, outer_proxy, write};
use crate::network::{self, Slot, namespace};
use crate::way_back::WayBack;

/// A host needs about 1 s to come up on an idle machine.
const BOOT_LIMIT: Duration = Duration::from_secs(30);

/// Puts itself into control groups of the host's own, so that its processes can be told from all others, then becomes the
/// container. Arguments: the id, then the container's command.
const LAUNCH: &str = r#"set -eu
id=$1
shift
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then tops=/sys/fs/cgroup; else tops="/sys/fs/cgroup/systemd /sys/fs/cgroup/unified"; fi
for top in $tops; do
    [ -d "$top" ] || continue
    mkdir -p "$top/factoryup-$id"
    echo $$ >"$top/factoryup-$id/cgroup.procs"
done
exec "$@"
"#;

/// A user that is on the host from the start, beside root.
#[derive(Clone, Debug)]
pub struct ExtraUser {
    /// The login name, as in `admin`.
    pub name: String,
    /// The password, which sudo asks for.
    pub password: String,
}

/// What the host is like.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Lines of `authorized_keys` for root and for every extra user.
    pub authorized_key: String,
    /// Users that may use sudo with their password.
    pub users: Vec<ExtraUser>,
    /// Round-trip time that lies between this machine and the host's sshd; none for the bare network.
    pub delay: Option<Duration>,
}

/// A running host. It is taken away with all that belongs to it when it is [stopped](Self::stop), when it is dropped, and when
/// this process ends in whatever way.
#[derive(Debug)]
pub struct DisposableHost {
    // Order matters: the keeper takes away what the container and the slot stand for.
    keeper: Keeper,
    container: Child,
    id: String,
    leader: u32,
    address: SocketAddr,
    proxy: Option<DelayProxy>,
    ways_back: Vec<WayBack>,
    host_key: String,
    fingerprint: String,
    slot: Slot,
}

impl DisposableHost {
    /// Starts a host and waits until its sshd answers and lets users in: about 1 s, 30 s at most.
    ///
    /// # Errors
    /// [`Error::Boot`] if it does not come up, another error if something of it cannot be created. Then nothing of it is left.
    pub fn start(image: &Image, options: &Options) -> Result<Self> {
        crate::sweep()?;
        let slot = Slot::take_any()?;
        let random = getrandom::u32().map_err(Error::Random)?;
        let id = format!("{:02}{random:08x}", slot.number());
        network::register(&state_dir(&id))?;
        // From here on, leaving this function in any way takes away what was made.
        let keeper = Keeper::start(&id)?;
        let root = prepare(&id, image, options)?;
        network::make(&id, &slot)?;
        let host_key = fs::read_to_string(root.join("etc/ssh/ssh_host_ed25519_key.pub"))
            .map_err(Error::io("read", root.join("etc/ssh/ssh_host_ed25519_key.pub")))?;
        let fingerprint = fingerprint(&host_key)?;
        let container = launch(&id, &root)?;
        let address = SocketAddr::new(slot.address().into(), 22);
        let mut host = Self {
            keeper,
            container,
            id,
            leader: 0,
            address,
            proxy: None,
            ways_back: Vec::new(),
            host_key,
            fingerprint,
            slot,
        };
        host.wait_until_up()?;
        if let Some(rtt) = options.delay {
            let proxy = delay_proxy::start(address, rtt)
                .map_err(|source| Error::Port { what: "a port for the delay proxy".into(), source })?;
            host.proxy = Some(proxy);
        }
        Ok(host)
    }

    /// The address to log in to: the host's own, or that of the delay proxy before it.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.proxy.as_ref().map_or(self.address, DelayProxy::address).ip()
    }

    /// The port to log in to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.proxy.as_ref().map_or(self.address, DelayProxy::address).port()
    }

    /// The host's own address and port, without delay.
    #[must_use]
    pub fn direct(&self) -> SocketAddr {
        self.address
    }

    /// The proxy before the host when there is a delay; it counts connections and can cut them.
    #[must_use]
    pub fn proxy(&self) -> Option<&DelayProxy> {
        self.proxy.as_ref()
    }

    /// The Ed25519 host key's fingerprint as `ssh-keygen -l` shows it: `SHA256:` and 43 characters.
    #[must_use]
    pub fn host_key_fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The Ed25519 host key as in a `.pub` file: type, base64, comment.
    #[must_use]
    pub fn host_key(&self) -> &str {
        self.host_key.trim_end()
    }

    /// The directory on this machine for what belongs to the host. It is removed with the host.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        state_dir(&self.id)
    }

    /// The host's files as this machine sees them. What systemd mounts inside, such as `/run` and `/proc`, is not among them.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        state_dir(&self.id).join("disk/root")
    }

    /// Opens `port` on the host's own loopback, which leads to the same port of this machine's, until the host is gone.
    ///
    /// # Errors
    /// [`Error::Port`] if the port cannot be opened there.
    pub fn lead_back(&mut self, port: u16) -> Result<()> {
        let way_back = WayBack::open(&namespace(&self.id), port).map_err(|source| Error::Port {
            what: format!("port {port} on the loopback of the disposable host"),
            source,
        })?;
        self.ways_back.push(way_back);
        Ok(())
    }

    /// Runs a command inside as root, without going through SSH, and waits for it. Its exit status is for the caller to judge.
    ///
    /// # Errors
    /// [`Error::Spawn`] if it cannot be started.
    pub fn run_inside<S: AsRef<OsStr>>(&self, words: &[S]) -> Result<Output> {
        let nsenter = which::which("nsenter").unwrap_or_else(|_| "/usr/bin/nsenter".into());
        command(nsenter)
            .args(["--all", "--target", &self.leader.to_string(), "--"])
            .args(words)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .map_err(Error::spawn("nsenter"))
    }

    /// Cuts the host's power and starts it again: nothing is stopped in order, and what was in memory only is gone. Returns when
    /// logins are open again.
    ///
    /// # Errors
    /// [`Error::Spawn`] if it cannot be started, [`Error::Boot`] if it does not come up within 30 s.
    pub fn cut_power(&mut self) -> Result<()> {
        // The kernel's packet filter belongs to the network namespace, which outlives the container.
        self.run_inside(&["sh", "-c", "nft flush ruleset; systemctl reboot --force --force"])?;
        // Outside of a unit of its own, systemd-nspawn ends where the machine would start again.
        self.container.wait().map_err(Error::spawn("systemd-nspawn"))?;
        self.container = launch(&self.id, &self.rootfs())?;
        self.wait_until_up()
    }

    /// Stops the host at once and takes everything of it away.
    ///
    /// # Errors
    /// [`Error::Leftover`] if something stays; the message names it.
    pub fn stop(mut self) -> Result<()> {
        self.take_away()
    }

    fn take_away(&mut self) -> Result<()> {
        self.proxy = None;
        self.ways_back.clear();
        let finished = self.keeper.finish();
        let _ = self.container.wait();
        finished
    }

    fn wait_until_up(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let Some(state) = self.not_up_yet() else { return Ok(()) };
            let ended = self.container.try_wait().ok().flatten();
            if begun.elapsed() > BOOT_LIMIT || ended.is_some() {
                let console = fs::read(state_dir(&self.id).join("console.log")).unwrap_or_default();
                return Err(Error::Boot {
                    waited_s: begun.elapsed().as_secs(),
                    state: ended.map_or(state, |status| format!("the container ended ({status})")),
                    console: tail(&console, 20),
                });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What is still missing; none when the host can be used.
    fn not_up_yet(&mut self) -> Option<String> {
        let Some(leader) = leader(self.container.id()) else { return Some("no init process".into()) };
        self.leader = leader;
        if !speaks_ssh(self.address) {
            return Some(format!("no sshd answers at {}", self.address));
        }
        // pam_nologin(8) keeps all but root out until systemd takes this file away.
        let nologin = PathBuf::from(format!("/proc/{leader}/root/run/nologin"));
        nologin.exists().then(|| "logins are not open yet".into())
    }
}

impl Drop for DisposableHost {
    fn drop(&mut self) {
        let _ = self.take_away();
        // Only now may another host have the address.
        let _ = &self.slot;
    }
}

/// Lays the overlay and makes the host's own files; returns its root.
fn prepare(id: &str, image: &Image, options: &Options) -> Result<PathBuf> {
    let disk = state_dir(id).join("disk");
    let make = |path: &Path| fs::create_dir(path).map_err(Error::io("make", path));
    make(&disk)?;
    // In memory: dpkg syncs every file, and a disposable disk has nothing to keep.
    run(command("mount").args(["-t", "tmpfs", "-o", "size=4g,mode=0755", "factoryup"]).arg(&disk), &[])?;
    for name in ["upper", "work", "root"] {
        make(&disk.join(name))?;
    }
    let root = disk.join("root");
    let layers = format!("lowerdir={},upperdir={d}/upper,workdir={d}/work", image.path().display(), d = disk.display());
    run(command("mount").args(["-t", "overlay", "-o", &layers, "factoryup"]).arg(&root), &[])?;

    let keys = format!("{}\n", options.authorized_key.trim_end());
    write(&root, "root/.ssh/authorized_keys", &keys, 0o600)?;
    write(&root, "etc/resolv.conf", &resolvers(), 0o644)?;
    if let Some((scheme, proxy)) = outer_proxy() {
        write(&root, "etc/apt/apt.conf.d/01proxy", &format!("Acquire::{scheme}::Proxy \"{proxy}\";\n"), 0o644)?;
    }
    let inside = || {
        let mut command = command("chroot");
        command.arg(&root).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
        command
    };
    run(inside().args(["ssh-keygen", "-q", "-A"]), &[])?;
    for user in &options.users {
        let name = &user.name;
        run(inside().args(["useradd", "--create-home", "--shell", "/bin/bash", "--groups", "sudo", "--", name]), &[])?;
        let entry = format!("{name}:{}\n", user.password);
        run(inside().arg("chpasswd"), entry.as_bytes())?;
        run(
            inside().args(["install", "-d", "-m", "0700", "-o", name, "-g", name, &format!("/home/{name}/.ssh")]),
            &[],
        )?;
        let list = format!("/home/{name}/.ssh/authorized_keys");
        run(
            inside().args(["install", "-m", "0600", "-o", name, "-g", name, "/root/.ssh/authorized_keys", &list]),
            &[],
        )?;
    }
    Ok(root)
}

/// This machine's resolvers as far as another network namespace can reach them.
fn resolvers() -> String {
    // systemd-resolved's stub listens on loopback only; this file names what it asks.
    ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .map(|text| {
            let local =
                |line: &str| line.starts_with("nameserver") && (line.contains(" 127.") || line.contains(" ::1"));
            text.lines().filter(|line| !local(line)).fold(String::new(), |kept, line| kept + line + "\n")
        })
        .find(|text| text.contains("nameserver"))
        .unwrap_or_default()
}

fn launch(id: &str, root: &Path) -> Result<Child> {
    let path = state_dir(id).join("console.log");
    let console = File::create(&path).map_err(Error::io("write", &path))?;
    let errors = console.try_clone().map_err(Error::io("write", &path))?;
    command("sh")
        .args(["-c", LAUNCH, "launch", id, "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit"])
        .arg(format!("--machine=factoryup-{id}"))
        .arg(format!("--network-namespace-path={}", namespace(id)))
        .args([
            "--capability=CAP_NET_ADMIN",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
            "--console=pipe",
        ])
        .arg("--directory")
        .arg(root)
        // A host of its own has its own network settings; the kernel's others stay read-only.
        .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network")
        // As Debian has it since 11, whatever this machine has; systemd from 256 on refuses the older layouts.
        .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(console)
        .stderr(errors)
        .spawn()
        .map_err(Error::spawn("sh"))
}

/// Whether a server at this address says that it speaks SSH (RFC 4253, section 4.2).
fn speaks_ssh(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return false };
    let mut banner = [0; 4];
    stream.set_read_timeout(Some(Duration::from_secs(5))).is_ok()
        && stream.read_exact(&mut banner).is_ok()
        && &banner == b"SSH-"
}

/// The container's first process: the child of systemd-nspawn that is number 1 in a process namespace of its own.
fn leader(nspawn: u32) -> Option<u32> {
    fs::read_dir("/proc").ok()?.filter_map(std::io::Result::ok).find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::split_whitespace);
        let parent = field("PPid:")?.next()?.parse().ok();
        (parent == Some(nspawn) && field("NSpid:")?.next_back() == Some("1")).then_some(pid)
    })
}

/// As OpenSSH shows it: the SHA-256 of the key's blob, in base64 without padding.
fn fingerprint(public_key: &str) -> Result<String> {
    let blob = public_key
        .split_whitespace()
        .nth(1)
        .and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok())
        .ok_or_else(|| Error::HostKey(public_key.trim_end().to_owned()))?;
    Ok(format!("SHA256:{}", base64::engine::general_purpose::STANDARD_NO_PAD.encode(Sha256::digest(blob))))
}

#[cfg(test)]
mod tests {
    #[test]
    fn fingerprint_is_as_ssh_keygen_shows_it() {
        // Made with `ssh-keygen -t ed25519`, shown with `ssh-keygen -lf`.
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ x";
        assert_eq!(super::fingerprint(key).ok().as_deref(), Some("SHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE"));
        assert!(super::fingerprint("ssh-ed25519").is_err());
    }
}
