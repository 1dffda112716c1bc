//! The wizard in a real terminal: what a person sees, presses and gets.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::home::{CANARY, CTRL_C, CTRL_U, DOWN, ESCAPE, HIDE_CURSOR, Home, KEY, SHOW_CURSOR, UP, take_the_rest};
use crate::pty::Pty;
use factoryup::factory::{AgentKind, HostKind, Tier};

#[test]
fn a_person_is_asked_only_what_is_not_known() {
    let home = Home::new();
    let mut pty = home.wizard();
    pty.answer("Name of the factory [acme]", "");
    take_the_rest(&mut pty);
    pty.expect("yes – write").send("\r").expect("first commit");
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    let plain = console::strip_ansi_codes(&screen).into_owned();
    for known in ["Ada Lovelace  (git config user.name)", "22  (default)", "Found a GitLab token (GITLAB_TOKEN)"] {
        assert!(plain.contains(known), "{known}: {plain}");
    }
    assert!(!plain.contains("CANARY"), "{plain}");
    home.holds_no_token();
    let factory = home.factory();
    assert_eq!(
        (factory.host.address.as_str(), factory.host.authorized_keys.as_slice()),
        ("forge", &[KEY.to_owned()][..])
    );
    assert_eq!(
        (factory.agent.username.as_str(), factory.factory.owner_email.as_str()),
        ("acme-agent", "ada@example.org")
    );
    assert!(!home.0.path().join(".local/state/factoryup/wizard-answers.toml").exists());
}

#[test]
fn escape_and_less_than_go_back_and_keep_what_was_said() {
    let home = Home::new();
    let mut pty = home.wizard();
    pty.expect("Name of the factory").send(ESCAPE).expect("This is the first question.");
    pty.answer("Name of the factory", "forge");
    pty.expect("Where the agent works").send(DOWN).send("\r").expect("> local");
    pty.expect("URL of GitLab").send("<\r");
    pty.expect("Where the agent works").expect("> local").send(ESCAPE);
    pty.answer("Name of the factory [forge]", "other");
    pty.expect("Where the agent works").expect("> local").send(UP).send("\r");
    pty.expect("Address of the host").send(UP).send("\r").expect("> another");
    pty.expect("Address of the host").send(ESCAPE).expect("> forge").send("\r");
    pty.expect("Your public SSH key").send(CTRL_C);
    let (code, _) = pty.end();
    assert_eq!(code, 130);
    assert!(home.is_untouched());
}

#[test]
fn a_wrong_answer_is_named_and_asked_again() {
    let home = Home::new();
    let mut pty = home.wizard();
    pty.answer("Name of the factory", "Acme!");
    pty.expect("! Name of the factory contains `A`").expect("> Acme!").send(CTRL_U).send("shop\r");
    pty.expect("Where the agent works").send("\r");
    pty.expect("Address of the host").send(DOWN).send("\r").expect("> another");
    pty.answer("Address of the host", "root@203.0.113.999");
    pty.expect("contains an account").expect("--host-login").send(CTRL_U).send("203.0.113.9\r");
    pty.expect("Your public SSH key").send(" \r").expect("Without a key you could not log in");
    pty.expect("[x]").send("\r");
    pty.answer("URL of GitLab", "http://gitlab.example.org");
    pty.expect("is plain http").send(CTRL_U).send("gitlab.example.org/\r");
    pty.answer("GitLab group", "dashboard");
    pty.expect("GitLab reserves").send(CTRL_U).send("shop\r");
    pty.answer("GitLab subscription", "");
    pty.answer("Coding agent", "");
    pty.answer("Use Cloudflare", UP);
    pty.answer("Cloudflare account id", "abc");
    pty.expect("has 3 digits").send(CTRL_U).send("0123456789abcdef0123456789abcdef\r");
    pty.answer("Cloudflare zone id", "fedcba9876543210fedcba9876543210");
    pty.answer("Domain of the zone", "shop.example");
    pty.expect("Is this correct?").send("\r").expect("first commit");
    assert_eq!(pty.end().0, 0);
    let factory = home.factory();
    assert_eq!(
        (factory.host.address.as_str(), factory.gitlab.url.as_str()),
        ("203.0.113.9", "https://gitlab.example.org")
    );
    assert!(factory.cloudflare.enabled && factory.cloudflare.zone == "shop.example");
}

#[test]
fn a_question_mark_explains() {
    let home = Home::new();
    let mut pty = home.wizard();
    pty.answer("Name of the factory", "?").expect("Used for the directory").expect("Example: acme").send("\r");
    pty.expect("Where the agent works")
        .send("?")
        .expect("A separate machine is the safest")
        .expect("> ssh")
        .send(CTRL_C);
    assert_eq!(pty.end().0, 130);
}

#[test]
fn a_wizard_that_was_left_can_be_resumed() {
    let home = Home::new();
    let mut pty = home.wizard();
    pty.answer("Name of the factory", "shop");
    pty.expect("Where the agent works").send(DOWN).send(DOWN).expect("> none").send(CTRL_C);
    pty.expect("canceled at: Where the agent works");
    let (code, screen) = pty.end();
    assert_eq!(code, 130);
    let (hidden, shown) = (screen.rfind(HIDE_CURSOR).unwrap(), screen.rfind(SHOW_CURSOR).unwrap());
    assert!(hidden < shown, "the cursor stays hidden: {screen:?}");
    let kept = fs::read_to_string(home.0.path().join(".local/state/factoryup/wizard-answers.toml")).unwrap();
    assert!(kept.contains("\"factory.name\" = \"shop\"") && !kept.contains("CANARY"), "{kept}");
    assert!(home.is_untouched());

    let mut pty = home.wizard();
    pty.expect("Found saved answers for the factory shop in /").expect("/acme.");
    pty.answer("Continue with the saved answers?", "");
    take_the_rest(&mut pty);
    pty.send("\r").expect("first commit");
    let (code, screen) = pty.end();
    assert_eq!(code, 0);
    assert!(!screen.contains("Name of the factory [") && screen.contains("(your last session)"), "{screen}");
    assert_eq!(home.factory().factory.name, "shop");
    home.holds_no_token();
}

#[test]
fn answers_of_another_folder_or_name_are_not_taken_by_enter() {
    let home = Home::new();
    let mut pty = home.wizard();
    pty.answer("Name of the factory", "shop");
    pty.expect("Where the agent works").send(CTRL_C);
    assert_eq!(pty.end().0, 130);

    let other = home.0.path().join("other").display().to_string();
    let start = || Pty::start(home.command(env!("CARGO_BIN_EXE_factoryup"), &["init", &other], &[]), 250);
    let mut pty = start();
    pty.expect("Found saved answers for the factory shop in /").expect("/acme.");
    pty.expect(&format!("You are now in {other}. The wizard writes nothing to the other directory"));
    pty.expect("Continue with the saved answers?").expect(&format!("yes – continue with 1 answer, for {other}"));
    pty.expect("> no – start over; your first answer replaces the saved ones").send("\r");
    pty.expect("Name of the factory [other]").send(CTRL_C);
    assert_eq!(pty.end().0, 130);
    // Nothing was answered, so the saved ones are there still, and can be taken.
    let mut pty = start();
    pty.answer("Continue with the saved answers?", UP);
    pty.expect("Where the agent works").send(DOWN).send("\r").expect("> local");
    pty.expect("URL of GitLab").send(CTRL_C);
    assert_eq!(pty.end().0, 130);

    // By now they are for the other folder. There, another name is another factory.
    let mut pty =
        Pty::start(home.command(env!("CARGO_BIN_EXE_factoryup"), &["init", &other, "--name", "bakery"], &[]), 250);
    pty.expect("Continue with the saved answers?")
        .expect("> no – start over and delete the saved answers")
        .send(CTRL_C);
    assert_eq!(pty.end().0, 130);
    let mut pty = start();
    pty.answer("Continue with the saved answers?", "");
    pty.expect("URL of GitLab").send(CTRL_C);
    assert_eq!(pty.end().0, 130);
}

#[test]
fn a_wizard_that_was_left_can_be_forgotten() {
    let home = Home::new();
    let mut pty = home.wizard();
    pty.answer("Name of the factory", "shop");
    pty.expect("Where the agent works").send(CTRL_C);
    assert_eq!(pty.end().0, 130);
    let mut pty = home.wizard();
    pty.answer("Continue with the saved answers?", DOWN);
    pty.expect("Name of the factory [acme]").send(CTRL_C);
    assert_eq!(pty.end().0, 130);
    let mut pty = home.wizard();
    pty.expect("Name of the factory [acme]").send(CTRL_C);
    assert_eq!(pty.end().0, 130);
}

#[test]
fn flags_are_not_asked_for() {
    let home = Home::new();
    let mut pty = home.start(
        &["--name", "shop", "--host-kind", "none", "--cloudflare=false"],
        &[("FACTORYUP_GITLAB_TIER", "premium")],
        100,
    );
    pty.answer("URL of GitLab", "");
    pty.answer("GitLab group [shop]", "");
    pty.answer("Coding agent", DOWN);
    pty.expect("shop  (--name)").expect("premium  (FACTORYUP_GITLAB_TIER)");
    pty.expect("Is this correct?").send("\r").expect("first commit");
    assert_eq!(pty.end().0, 0);
    let factory = home.factory();
    assert_eq!((factory.gitlab.tier, factory.agent.kind), (Tier::Premium, AgentKind::Codex));
}

#[test]
fn the_review_lets_any_answer_be_changed() {
    let home = Home::new();
    let mut pty = home.wizard();
    pty.answer("Name of the factory", "");
    take_the_rest(&mut pty);
    pty.send(DOWN).send("\r").expect("Which one?").expect("Port of sshd: 22");
    pty.send(&DOWN.repeat(7)).expect("> Port of sshd").send("\r");
    pty.answer("Port of sshd [22]", "70000").expect("is out of range").send(CTRL_U).send("2222\r");
    pty.expect("2222").expect("Is this correct?").send(DOWN).send("\r").expect("Which one?").send(ESCAPE);
    pty.expect("Is this correct?").send(DOWN).send("\r").expect("Which one?").send(&DOWN.repeat(5));
    pty.expect("> Where the agent works: ssh").send("\r").expect("> ssh").send(DOWN).expect("> local").send("\r");
    pty.expect("local").expect("Is this correct?").send("\r").expect("first commit");
    assert_eq!(pty.end().0, 0);
    let factory = home.factory();
    assert_eq!((factory.host.kind, factory.host.address.as_str()), (HostKind::Local, ""));
}

#[test]
fn a_refused_answer_does_not_swallow_the_keys_that_explain_and_go_back() {
    let home = Home::new();
    let mut pty = home.wizard();
    pty.expect("Ctrl-U clears the line");
    pty.answer("Name of the factory", "Not A Name").expect("! ").expect("> Not A Name").send("?\r");
    // What `?` shows, and the line as it was.
    pty.expect("Example: ").expect("> Not A Name").send(CTRL_U).send("shop\r");
    pty.expect("Where the agent works").send(DOWN).send(DOWN).expect("> none").send("\r");
    pty.answer("URL of GitLab", "no url").expect("! ").expect("> no url").send("<\r");
    pty.expect("Where the agent works").expect("> none").send(CTRL_C);
    assert_eq!(pty.end().0, 130);
}

#[test]
fn declining_the_review_writes_nothing() {
    let home = Home::new();
    let mut pty = home.wizard();
    pty.answer("Name of the factory", "shop");
    take_the_rest(&mut pty);
    pty.send(UP).expect("> leave").send("\r").expect("nothing was written");
    assert_eq!(pty.end().0, 130);
    assert!(home.is_untouched());
    let mut pty = home.wizard();
    pty.answer("Continue with the saved answers?", "");
    pty.expect("shop  (your last session)").expect("Is this correct?").send("\r").expect("first commit");
    assert_eq!(pty.end().0, 0);
}

#[test]
fn a_pasted_token_is_neither_shown_nor_kept() {
    let home = Home::new();
    let mut pty = home.wizard();
    pty.expect("Name of the factory").expect("> ").send(CANARY).expect("*****").send("\r");
    pty.expect("contains a GitLab token").expect("> ").send("shop\r");
    pty.expect("Where the agent works").send(CTRL_C);
    let (code, screen) = pty.end();
    assert_eq!(code, 130);
    assert!(!screen.contains("CANARY") && !screen.contains("glpat-C"), "{screen}");
    home.holds_no_token();
}

#[test]
fn the_reference_comes_from_the_binary() {
    let output = Command::new(env!("CARGO_BIN_EXE_factoryup")).args(["schema", "--markdown"]).output().unwrap();
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/factory-toml.md");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), fs::read_to_string(reference).unwrap());
}
