//! The wizard where there is no usual terminal: none at all, a plain one, a narrow one, one that goes away.

use std::fs;
use std::process::{Command, Stdio};

use crate::home::{DOWN, ESCAPE, Home, KEY, UP, take_the_rest};
use crate::pty::Pty;
use factoryup::factory::{AgentKind, HostKind};

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let home = Home::new();
    let binary = env!("CARGO_BIN_EXE_factoryup");
    let settings = "stty -a | tr ' ;' '\\n\\n' | grep -x -e echo -e icanon | tr '\\n' ' '";
    let script = format!("{binary} init acme; code=$?; {settings}; echo code $code");
    let mut pty = Pty::start(home.command("sh", &["-c", &script], &[]), 100);
    pty.expect("Name of the factory").expect("> ");
    let pid = rustix::process::Pid::from_raw(home.process(binary).parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    pty.expect("icanon").expect("echo").expect("code 130");
    let (_, screen) = pty.end();
    let (on, off) = (screen.rfind("\u{1b}[?2004h").unwrap(), screen.rfind("\u{1b}[?2004l").unwrap());
    assert!(on < off, "what is pasted is still marked: {screen:?}");
    assert!(home.is_untouched());
}

#[test]
fn keys_come_from_the_terminal_when_standard_input_is_a_pipe() {
    let home = Home::new();
    let script = format!("echo 'not an answer' | {} init acme", env!("CARGO_BIN_EXE_factoryup"));
    let mut pty = Pty::start(home.command("sh", &["-c", &script], &[]), 100);
    pty.answer("Name of the factory [acme]", "piped");
    take_the_rest(&mut pty);
    pty.send("\r").expect("first commit");
    assert_eq!(pty.end().0, 0);
    assert_eq!(home.factory().factory.name, "piped");
}

fn without_a_terminal(home: &Home, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new("setsid")
        .args(["--wait", env!("CARGO_BIN_EXE_factoryup"), "init", "acme"])
        .args(arguments)
        .current_dir(home.0.path())
        .env_clear()
        .envs(home.environment())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn without_a_terminal_all_that_is_missing_is_listed() {
    let home = Home::new();
    let (code, said) = without_a_terminal(&home, &[]);
    assert_eq!(code, Some(64));
    insta::assert_snapshot!("no_terminal", said);
    assert!(home.is_untouched());
    let (code, said) = without_a_terminal(&home, &["--name", "Acme", "--host-port", "0"]);
    assert_eq!(code, Some(64));
    insta::assert_snapshot!("no_terminal_bad_flags", said);
}

#[test]
fn without_a_place_to_ask_nothing_is_asked() {
    let home = Home::new();
    let script = format!("{} init acme 2>said; echo code $?", env!("CARGO_BIN_EXE_factoryup"));
    let mut pty = Pty::start(home.command("sh", &["-c", &script], &[]), 100);
    pty.expect("code 64");
    pty.end();
    assert!(fs::read_to_string(home.0.path().join("said")).unwrap().contains("--host-address"));
}

#[test]
fn without_a_terminal_flags_or_defaults_are_enough() {
    let home = Home::new();
    let (code, said) = without_a_terminal(&home, &["--defaults", "--host-address", "forge"]);
    assert_eq!(code, Some(0), "{said}");
    let factory = home.factory();
    assert_eq!(
        (factory.factory.name.as_str(), factory.host.authorized_keys.as_slice()),
        ("acme", &[KEY.to_owned()][..])
    );
    home.holds_no_token();

    let home = Home::new();
    let (code, said) = without_a_terminal(&home, &["--name", "shop", "--host-kind", "none", "--gitlab-group", "shop"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(home.factory().host.kind, HostKind::None);
}

#[test]
fn a_dumb_terminal_gets_plain_lines() {
    for variables in [[("TERM", "dumb")], [("NO_COLOR", "1")]] {
        let home = Home::new();
        let mut pty = home.start(&[], &variables, 80);
        pty.answer("Name of the factory [acme]", "shopx\u{7f}");
        pty.expect("1) ssh")
            .expect("3) none")
            .answer("(a number, or Enter for 1)", "?")
            .expect("A separate machine")
            .send("9\r");
        pty.expect("! write a number").send("none\r");
        pty.answer("URL of GitLab", "<").expect("Where the agent works").answer("Enter for 3", "3");
        pty.answer("URL of GitLab [https://gitlab.com]", "").expect("> https://gitlab.com");
        pty.answer("GitLab group [shop]", "");
        pty.answer("GitLab subscription", "").expect("> free");
        pty.answer("Coding agent", "2");
        pty.answer("Use Cloudflare", "no");
        pty.expect("Is this correct?").expect("(a number, or Enter for 1)").send("\r");
        // That what is pasted is marked is not to be seen.
        let asked = pty.raw().replace("\u{1b}[?2004h", if variables[0].0 == "TERM" { ESCAPE } else { "" });
        assert!(!asked.contains(ESCAPE), "{variables:?}: {asked:?}");
        pty.expect("first commit");
        assert_eq!(pty.end().0, 0);
        assert_eq!((home.factory().factory.name.as_str(), home.factory().agent.kind), ("shop", AgentKind::Codex));
    }
}

#[test]
fn a_narrow_window_is_enough_and_may_become_narrower() {
    let home = Home::new();
    let mut pty = home.start(&[], &[], 80);
    let name = "a-name-that-is-quite-long-really";
    pty.answer("Name of the factory", name);
    pty.expect("none – no host now").resize(40).send(DOWN).expect("> local").send(UP).expect("> ssh").send("\r");
    pty.expect("Address of the host").send(UP).send("\r").expect("> another").expect("Address of the host");
    let long = format!("{}.example.org", "a-long-label".repeat(4));
    pty.send(&long).expect("example.org").send("\r");
    pty.expect("Your public SSH key").send("\r");
    for question in ["URL of GitLab", "GitLab group", "GitLab subscription", "Coding agent", "Use Cloudflare"] {
        pty.answer(question, "");
    }
    pty.expect("Is this correct?").send("\r").expect("first commit");
    let (code, screen) = pty.end();
    assert_eq!(code, 0);
    let since = screen.rfind("Address of the host\u{1b}").unwrap();
    let drawn = screen[since..].split("Your public SSH key").next().unwrap();
    for line in drawn.split("\u{1b}[2K").map(|line| console::strip_ansi_codes(line).into_owned()) {
        let line = line.split('\r').next().unwrap().to_owned();
        assert!(console::measure_text_width(&line) < 40, "does not fit: {line:?}");
    }
    assert_eq!((home.factory().factory.name.as_str(), home.factory().host.address.as_str()), (name, long.as_str()));
}

#[test]
fn a_factory_toml_that_is_there_is_taken_as_it_is() {
    let home = Home::new();
    fs::create_dir(home.folder()).unwrap();
    let written = "# mine\nschema = 1\n[factory]\nname = \"acme\"\nowner_name = \"Ada\"\nowner_email = \"ada@example.org\"\n\
                   [host]\nkind = \"none\" # for now\n[gitlab]\ngroup = \"acme\"\n";
    let file = home.folder().join("factory.toml");
    fs::write(&file, written).unwrap();
    let (code, said) = without_a_terminal(&home, &["--gitlab-group", "other", "--name", "acme"]);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("acme/factory.toml has different values for: --gitlab-group\n"), "{said}");
    let (code, said) = without_a_terminal(&home, &["--name", "acme"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), written);
}
