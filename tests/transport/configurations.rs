//! Where ssh logs in, factoryup does, as the same user: over configurations as people have them, in `configurations.txt`.
//!
//! They run in a home directory of their own, which a mount namespace puts in the place of the user's: ssh finds its home in the
//! password file, whatever `HOME` says.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use factoryup::dialog::Silent;
use factoryup::transport::{ConfigFile, Ssh, SshOptions, Transport};
use tempfile::TempDir;

use crate::support::lab::stdout;
use crate::{Lab, exec, lab, support};

const CONFIGURATIONS: &str = include_str!("configurations.txt");
/// The ports of the additional servers.
const PORTS: [u16; 10] = [2210, 2211, 2212, 2213, 2214, 2215, 2216, 2217, 2218, 2219];
/// How many are tried at once.
const AT_ONCE: usize = 4;
/// The seconds after which an ssh that does not end is ended, and the longest that one login of factoryup may take.
const LIMIT: u64 = 30;

/// Makes keys, certificates and the two agents, in the directory `~/.ssh`. `root` is the lab's key for root and admin.
const KEYS: &str = r#"set -eu
cp "$1" id_ed25519; cp "$1.pub" id_ed25519.pub; cp "$1.pub" apart.pub
key() { ssh-keygen -q -t "$2" -N "$3" -C "$1" -f "$1"; }
key work ecdsa ''; key deploy.pem rsa ''; key locked ed25519 'open sesame'
for name in held signed user_ca host_ca other one two three four five; do key "$name" ed25519 ''; done
ssh-keygen -q -s user_ca -I test -n certified signed.pub apart.pub
mkdir agents; mv one two three four five held agents; rm one.pub two.pub three.pub four.pub five.pub apart.pub
"#;

/// Makes the accounts and the servers on the host. Its arguments are lines of public keys.
const HOST: &str = r#"set -eu
account() { useradd -m -s /bin/bash "$1"; mkdir -m 0700 "/home/$1/.ssh"; printf '%s\n' "$2" >"/home/$1/.ssh/authorized_keys"; chown -R "$1:" "/home/$1/.ssh"; }
account deploy "$1"; account ada "$2"; account held "$3"; account certified ''
printf '%s\n' "$4" >/etc/ssh/user_ca.pub
serve() { port=$1; shift; /usr/sbin/sshd -p "$port" -o PidFile=none "$@"; }
serve 2210
serve 2211 -o TrustedUserCAKeys=/etc/ssh/user_ca.pub -o AuthorizedKeysFile=none
serve 2212 -o HostCertificate=/etc/ssh/ssh_host_ed25519_key-cert.pub
serve 2213 -o KexAlgorithms=sntrup761x25519-sha512@openssh.com
serve 2214 -o MaxAuthTries=3
serve 2215 -h /etc/ssh/ssh_host_rsa_key
serve 2216 -o AuthenticationMethods=publickey,keyboard-interactive -o KbdInteractiveAuthentication=yes
serve 2217 -o Ciphers=aes128-cbc
serve 2218 -o Ciphers=aes256-ctr -o MACs=umac-128@openssh.com
serve 2219 -o Ciphers=chacha20-poly1305@openssh.com
"#;

/// A configuration, and what is known about it.
#[derive(Default)]
struct Case {
    name: String,
    host: String,
    user: Option<String>,
    args: Vec<String>,
    stricter: bool,
    files: Vec<(String, String)>,
    config: String,
}

/// Reads the cases. `fill` adds what is known at run time only.
fn cases(fill: &dyn Fn(&str) -> String) -> Vec<Case> {
    let (_, text) = CONFIGURATIONS.split_once("\n=== ").unwrap();
    text.split("\n=== ").map(|block| case(&fill(block))).collect()
}

fn case(block: &str) -> Case {
    let mut case = Case::default();
    let mut lines = block.lines();
    lines.next().unwrap().clone_into(&mut case.name);
    let (mut crlf, mut in_config) = (false, false);
    for line in lines {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            _ if in_config => case.config += &format!("{line}\n"),
            "host" => rest.clone_into(&mut case.host),
            "in" => case.user = Some(rest.to_owned()).filter(|user| user != "refused"),
            "args" => case.args = rest.split(' ').map(str::to_owned).collect(),
            "stricter" => case.stricter = true,
            "crlf" => crlf = true,
            "config" => in_config = true,
            "file" => case.files.push((rest.to_owned(), String::new())),
            _ => case.files.last_mut().unwrap_or_else(|| panic!("{}: {line}", case.name)).1 += &format!("{line}\n"),
        }
    }
    if crlf {
        case.config = case.config.replace('\n', "\r\n");
    }
    case
}

/// What stands for the home directory, its agents, and what the cases are filled with.
struct Home {
    dir: TempDir,
    agents: Vec<Child>,
}

impl Home {
    fn new(lab: &Lab) -> Self {
        let mut home = Self { dir: tempfile::tempdir().unwrap(), agents: Vec::new() };
        fs::create_dir(home.ssh()).unwrap();
        let mut make = Command::new("sh");
        make.args(["-c", KEYS, "keys"]).arg(lab.keys.path("id")).current_dir(home.ssh());
        stdout(&make.output().unwrap());
        home.agent("agent.sock", &["one", "two", "held"]);
        home.agent("crowded.sock", &["one", "two", "three", "four", "five", "held"]);

        let keys = ["deploy.pem", "work", "held", "user_ca"].map(|name| home.read(&format!("{name}.pub")));
        let host_key = lab.host.rootfs().join("etc/ssh/ssh_host_ed25519_key.pub");
        let mut sign = Command::new("ssh-keygen");
        sign.args(["-q", "-s"]).arg(home.ssh().join("host_ca")).args(["-I", "test", "-h"]).arg(host_key);
        stdout(&sign.output().unwrap());
        let [deploy, work, held, authority] = &keys;
        stdout(&lab.host.run_inside(&["sh", "-c", HOST, "host", deploy, work, held, authority]).unwrap());
        for port in PORTS {
            lab.listening(port);
        }
        home.write_known_hosts(lab);
        home
    }

    fn ssh(&self) -> PathBuf {
        self.dir.path().join(".ssh")
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.ssh().join(name)).unwrap().trim().to_owned()
    }

    fn agent(&mut self, socket: &str, keys: &[&str]) {
        let (socket, agents) = (self.ssh().join(socket), self.ssh().join("agents"));
        self.agents
            .push(Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap());
        // The socket is there before anybody listens on it.
        support::wait_until("the agent", || UnixStream::connect(&socket).is_ok());
        for key in keys {
            let added = Command::new("ssh-add").arg("-q").arg(agents.join(key)).env("SSH_AUTH_SOCK", &socket).status();
            assert!(added.unwrap().success());
        }
    }

    fn write_known_hosts(&self, lab: &Lab) {
        let (address, usual) = (lab.host.address(), lab.host.host_key());
        let rsa = fs::read_to_string(lab.host.rootfs().join("etc/ssh/ssh_host_rsa_key.pub")).unwrap();
        let mut known = format!("{address} {usual}\ninner {usual}\n[{address}]:2215 {rsa}");
        for port in PORTS.into_iter().filter(|port| *port != 2215) {
            known += &format!("[{address}]:{port} {usual}\n");
        }
        fs::write(self.ssh().join("known_hosts"), &known).unwrap();
        fs::write(self.ssh().join("hashed"), &known).unwrap();
        let mut hash = Command::new("ssh-keygen");
        stdout(&hash.arg("-H").arg("-f").arg(self.ssh().join("hashed")).output().unwrap());
        fs::remove_file(self.ssh().join("hashed.old")).unwrap();
    }

    /// What the names between two `@` in the cases stand for, one a line.
    fn names(&self, lab: &Lab, real: &Path) -> String {
        let address = lab.host.address().to_string();
        let (net, last) = address.rsplit_once('.').unwrap();
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect((lab.host.address(), 9)).unwrap();
        let key = |text: &str| text.split(' ').take(2).collect::<Vec<_>>().join(" ");
        [
            ("HOME", real.display().to_string()),
            ("NET", net.to_owned()),
            ("LAST", last.to_owned()),
            ("GATEWAY", socket.local_addr().unwrap().ip().to_string()),
            ("HOST_KEY", key(lab.host.host_key())),
            ("OTHER_KEY", key(&self.read("other.pub"))),
            ("HOST_AUTHORITY", key(&self.read("host_ca.pub"))),
            ("WORK", self.read("work").replace('\n', "|")),
            ("ADDRESS", address),
        ]
        .map(|(name, value)| format!("{name}={value}\n"))
        .concat()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for agent in &mut self.agents {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

#[test]
fn factoryup_logs_in_where_ssh_does() {
    if !support::available(&["mount", "unshare", "ssh-agent", "ssh-add"]) || !support::root() {
        return;
    }
    let Some(lab) = lab() else { return };
    let home = Home::new(lab);
    let real = std::env::home_dir().unwrap();
    // This program may be below the home directory, and is not there any more once another one is in its place.
    let inside = r#"exec 3<"$1" && mount --bind "$2" "$3" && exec /proc/self/fd/3 --ignored --exact --nocapture configurations::compare"#;
    let child = Command::new("unshare")
        .args(["--mount", "sh", "-c", inside, "inside"])
        .args([&std::env::current_exe().unwrap(), home.dir.path(), &real])
        .env("NAMES", home.names(lab, &real))
        .env("SSH_AUTH_SOCK", real.join(".ssh/agent.sock"))
        .env("AGENT_SOCKET", real.join(".ssh/agent.sock"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(said.contains("1 passed"), "{said}\n{}", String::from_utf8_lossy(&child.stderr));
}

/// Not a test of its own: what [`factoryup_logs_in_where_ssh_does`] runs in another home directory.
#[test]
#[ignore = "is run by another test"]
fn compare() {
    let names = std::env::var("NAMES").unwrap();
    let fill = |text: &str| {
        let pairs = names.lines().filter_map(|line| line.split_once('='));
        pairs.fold(text.to_owned(), |text, (name, value)| text.replace(&format!("@{name}@"), &value.replace('|', "\n")))
    };
    let only = std::env::var("ONLY").unwrap_or_default();
    let todo: Vec<Case> = cases(&fill).into_iter().filter(|case| case.name.contains(&only)).collect();
    assert!(todo.len() >= 40 || !only.is_empty());
    let (todo, failures) = (Mutex::new(todo), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = { todo.lock().unwrap().pop() } {
                    if let Err(failure) = try_case(&case) {
                        failures.lock().unwrap().push(format!("{}: {failure}", case.name));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// That both have the same result, which is the expected one.
fn try_case(case: &Case) -> Result<(), String> {
    let ssh_dir = std::env::home_dir().unwrap().join(".ssh");
    let own = tempfile::tempdir_in(&ssh_dir).unwrap();
    let config = own.path().join("config");
    let text = case.config.replace("@CONFIG@", &config.display().to_string());
    fs::write(&config, text).unwrap();
    for (name, content) in &case.files {
        let path = ssh_dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    let mut ssh = Command::new("timeout");
    ssh.args([&LIMIT.to_string(), "ssh", "-F"]).arg(&config).args(["-o", "BatchMode=yes"]).args(&case.args);
    let ssh = ssh.args(["--", &case.host, "id", "-un"]).stdin(Stdio::null()).output().unwrap();
    let by_ssh = ssh.status.success().then(|| String::from_utf8_lossy(&ssh.stdout).trim().to_owned());
    if by_ssh != case.user {
        return Err(format!("by ssh: {by_ssh:?}\n{}", String::from_utf8_lossy(&ssh.stderr)));
    }

    let begun = Instant::now();
    let mut options = SshOptions::new(&case.host, own.path().join("own"));
    options.config = ConfigFile::Path(config);
    options.timeouts.question = Duration::from_secs(LIMIT);
    let session = Ssh::new(options, &Silent).and_then(|mut ssh| ssh.connect());
    let (by_factoryup, why) = match session {
        Ok(mut session) => {
            let user = session.user().to_owned();
            let (lines, exit) = exec(&mut *session, "sh -s", b"id -un\n");
            let is_same = lines == [user.clone()];
            (Some(user), if is_same { String::new() } else { format!("{lines:?} {exit:?}") })
        }
        Err(error) => (None, error.to_string()),
    };
    let wanted = if case.stricter { None } else { by_ssh };
    if by_factoryup != wanted || by_factoryup.is_some() && !why.is_empty() {
        return Err(format!("by factoryup: {by_factoryup:?} {why}"));
    }
    let took = begun.elapsed();
    if took > Duration::from_secs(LIMIT) { Err(format!("took {took:?}")) } else { Ok(()) }
}
