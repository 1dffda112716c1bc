//! Which keys and users are tried, and what is tried no more once a login is known.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use factoryup::Kind;
use factoryup::dialog::Silent;
use factoryup::factory::Factory;
use factoryup::host::{HostTarget, Reach};
use factoryup::plan::Target as _;
use factoryup::transport::{ConfigFile, Ssh, SshOptions, Transport, Who};

use crate::support::dialog::Scripted;
use crate::support::lab::{ADMIN_PASSWORD, Keys, stdout};
use crate::support::wait_until;
use crate::{Lab, alone, connect, error, lab, works};

/// A configuration with strangers' keys, in a folder with all that belongs to it.
struct Setup {
    folder: tempfile::TempDir,
    keys: Keys,
}

impl Setup {
    fn new(lab: &Lab, at: SocketAddr, lines: &str) -> Self {
        let setup = Self { folder: tempfile::tempdir().unwrap(), keys: Keys::new() };
        let known = setup.folder.path().join("known");
        fs::write(&known, format!("[{}]:{} {}\n", at.ip(), at.port(), lab.host.host_key())).unwrap();
        let mut config = format!(
            "Host box\n HostName {}\n Port {}\n IdentityAgent none\n UserKnownHostsFile {}\n{lines}",
            at.ip(),
            at.port(),
            known.display()
        );
        for name in ["one", "two", "three", "four"] {
            config += &format!(" IdentityFile {}\n", setup.keys.make(name, "ed25519", "").display());
        }
        config += &format!(" IdentityFile {}\n", lab.keys.path("id").display());
        fs::write(setup.folder.path().join("config"), config).unwrap();
        setup
    }

    fn options(&self) -> SshOptions {
        let mut options = SshOptions::new("box", self.folder.path().join("own"));
        options.config = ConfigFile::Path(self.folder.path().join("config"));
        options.last_login = Some(self.folder.path().join("login.json"));
        options
    }
}

fn log(lab: &Lab) -> String {
    stdout(&lab.host.run_inside(&["journalctl", "-q", "-o", "cat", "-t", "sshd"]).unwrap())
}

/// The keys that sshd refused, each as often as it did.
fn refused_keys(lab: &Lab) -> Vec<String> {
    let log = log(lab);
    let failed = log.lines().filter(|line| line.starts_with("Failed publickey "));
    failed.filter_map(|line| line.split(' ').find(|word| word.starts_with("SHA256:"))).map(str::to_owned).collect()
}

/// What sshd's log says that fail2ban and sshd's own penalties count.
fn failures(lab: &Lab) -> usize {
    let log = log(lab);
    let counts = |line: &&str| {
        ["Failed ", "Invalid user", "Connection closed by authenticating", "maximum authentication", "by invalid user"]
            .iter()
            .any(|sign| line.contains(sign))
    };
    log.lines().filter(counts).count()
}

/// One that uses the journal must not run beside others that fail to log in, so all of them are in one test.
#[test]
fn a_known_login_fails_no_attempt() {
    let Some(host) = alone() else { return };
    let at = host.sshd(2230, &["LogLevel=VERBOSE"]);
    let users = ["operator".to_owned(), "root".to_owned()];
    let mut factory: Factory = toml::from_str(
        "schema = 1\n[factory]\nname = \"acme\"\nowner_name = \"Ada\"\nowner_email = \"ada@example.org\"\n[gitlab]\ngroup = \"acme\"\n",
    )
    .unwrap();
    factory.host.address = "box".into();
    factory.host.authorized_keys = vec![host.keys.public("id").trim().to_owned()];
    for by_client in [false, true] {
        let setup = Setup::new(&host, at, if by_client { " BindAddress 0.0.0.0\n" } else { "" });
        let dial = |who: &Who<'_>| {
            let mut ssh = Ssh::new(setup.options().logging_in(who), &Silent).unwrap();
            assert_eq!(ssh.uses_client_because().is_some(), by_client);
            ssh.connect().unwrap().user().to_owned()
        };
        let plan = || {
            let options = || setup.options();
            let reach = Reach::Remote(Box::new(move |who| Ok(Box::new(Ssh::new(options().logging_in(who), &Silent)?))));
            HostTarget::new(&factory, reach, None).unwrap().observe(&Silent).unwrap();
        };
        let before = failures(&host);
        plan();
        let first = failures(&host);
        assert!(first > before, "{before} {first}");
        for who in [Who::Any(&users), Who::Only("root")] {
            assert_eq!(dial(&who), "root");
        }
        plan();
        assert_eq!(failures(&host), first);
        // Who has a place in the order keeps it.
        assert_eq!(dial(&Who::InOrder(&users)), "root");
        assert!(failures(&host) > first);
        // A key that is refused is not tried again. Of users that do not exist, sshd logs no keys.
        let before = refused_keys(&host).len();
        assert_eq!(dial(&Who::InOrder(&["nobody".to_owned(), "root".to_owned()])), "root");
        let refused = refused_keys(&host).split_off(before);
        assert_eq!(refused.len(), 5, "{refused:?}");
        assert!(refused.iter().all(|key| refused.iter().filter(|other| *other == key).count() == 1), "{refused:?}");
    }
    an_agent_adds_its_own_keys_alone(&host, at);
}

/// The agent's other keys would be tried before the file of the last login, so that file has a login of its own.
fn an_agent_adds_its_own_keys_alone(host: &Lab, at: SocketAddr) {
    let setup = Setup::new(host, at, " BindAddress 0.0.0.0\n");
    let socket = setup.folder.path().join("agent");
    let mut agent = Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    wait_until("the agent", || UnixStream::connect(&socket).is_ok());
    let stranger = setup.keys.make("stranger", "ed25519", "");
    let add = Command::new("ssh-add").arg("-q").arg(stranger).env("SSH_AUTH_SOCK", &socket).status();
    let path = setup.folder.path().join("config");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("IdentityAgent none", &format!("IdentityAgent {}", socket.display()));
    // No key but the first is in the configuration.
    let keep =
        |line: &&str| !line.contains("IdentityFile") || line.ends_with(&format!("{}", host.keys.path("id").display()));
    fs::write(&path, text.lines().filter(keep).collect::<Vec<_>>().join("\n") + "\n").unwrap();
    let dial = |who: &Who<'_>, options: SshOptions| {
        Ssh::new(options.logging_in(who), &Silent)
            .and_then(|mut ssh| ssh.connect())
            .map(|session| session.user().to_owned())
    };
    let users = ["nobody".to_owned(), "root".to_owned()];
    let one = dial(&Who::Only("root"), setup.options());
    let before = refused_keys(host).len();
    let known = dial(&Who::Only("root"), setup.options());
    let none = refused_keys(host).split_off(before);
    let mut options = setup.options();
    options.identity = Some(setup.keys.path("one"));
    let before = refused_keys(host).len();
    let two = dial(&Who::InOrder(&users), options);
    let refused = refused_keys(host).split_off(before);
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert!(add.unwrap().success());
    assert_eq!((one.unwrap(), known.unwrap(), two.unwrap()), ("root".into(), "root".into(), "root".into()));
    assert_eq!(none, [""; 0]);
    // The key of the last login twice, since ssh has no other order, and the two others once.
    assert_eq!(refused.len(), 4, "{refused:?}");
}

#[test]
fn a_wanted_key_comes_before_others() {
    let Some(lab) = lab() else { return };
    let at = lab.sshd(2231, &["MaxAuthTries=3"]);
    let setup = Setup::new(lab, at, "");
    let mut options = setup.options();
    options.users = vec!["root".into()];
    let refused = error(options.clone());
    assert!(refused.to_string().contains("the server closed the connection"), "{refused}");
    options.authorized_keys = vec![lab.keys.public("id")];
    connect(options.clone()).unwrap();
    // A key that was named comes before them, and is not the only one.
    options.authorized_keys.clear();
    fs::remove_file(setup.folder.path().join("login.json")).unwrap();
    options.identity = Some(lab.keys.path("id"));
    connect(options.clone()).unwrap();
    let (mut options, _folder) = lab.known(lab.direct());
    options.config = setup.options().config;
    options.host = "box".into();
    options.port = Some(at.port());
    options.identity = Some(setup.keys.path("one"));
    options.authorized_keys = vec![lab.keys.public("id")];
    connect(options).unwrap();
}

#[test]
fn the_user_of_the_alias_is_tried() {
    let Some(lab) = lab() else { return };
    lab.sshd(2232, &[]);
    let setup = Setup::new(lab, SocketAddr::new(lab.host.address(), 2232), " User admin\n");
    let users = ["operator".to_owned(), "nobody".to_owned()];
    for who in [Who::Any(&users), Who::InOrder(&users)] {
        assert_eq!(connect(setup.options().logging_in(&who)).unwrap().user(), "admin");
    }
    // What the configuration says about that user alone counts.
    let with = |line: &str| {
        let path = setup.folder.path().join("config");
        let text = fs::read_to_string(&path).unwrap();
        let own = format!(" IdentityFile {}\n", lab.keys.path("id").display());
        fs::write(&path, format!("{}Match user admin\n{own}", text.replace(&own, line))).unwrap();
    };
    with("");
    assert_eq!(connect(setup.options().logging_in(&Who::InOrder(&users))).unwrap().user(), "admin");
    let setup = Setup::new(lab, SocketAddr::new(lab.host.address(), 2232), " User admin\n");
    connect(setup.options().logging_in(&Who::Any(&users))).unwrap();
    // Not where one user is asked for.
    assert_eq!(error(setup.options().logging_in(&Who::Only("nobody"))).kind(), Kind::NotPermitted);
    let attempt = Ssh::new(setup.options().logging_in(&Who::Only("root")), &Silent).unwrap().attempt().unwrap();
    assert_eq!(attempt, factoryup::transport::Attempt::LoggedIn);
    // That login was a test, and says nothing about the next one.
    assert!(fs::read_to_string(setup.folder.path().join("login.json")).unwrap().contains("\"admin\""));
}

#[test]
fn a_question_after_the_key_is_answered() {
    let Some(lab) = lab() else { return };
    let settings = ["AuthenticationMethods=publickey,keyboard-interactive", "KbdInteractiveAuthentication=yes"];
    let at = lab.sshd(2233, &[settings[0], settings[1], "UsePAM=yes"]);
    let (mut options, _folder) = lab.known(at);
    options.users = vec!["admin".into()];
    let dialog = Scripted::new().secrets(&[ADMIN_PASSWORD]);
    works(&mut *Ssh::new(options.clone(), &dialog).unwrap().connect().unwrap());
    assert_eq!(dialog.asked(), ["Password (the host asks this for admin)"]);

    let wrong = Scripted::new().secrets(&["wrong", "wrong", "wrong"]);
    let refused = Ssh::new(options.clone(), &wrong).unwrap().connect().map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("id: accepted, but the host rejected the answer"), "{refused}");
    let refused = error(options);
    assert!(refused.to_string().contains("(keyboard-interactive), and there is no terminal"), "{refused}");
    assert!(refused.hints()[0].contains("in a terminal"), "{refused:?}");
}
